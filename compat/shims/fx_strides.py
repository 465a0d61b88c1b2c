"""`fx_strides`: custom ops tagged `needs_fixed_stride_order` get every tensor in the strides that eager code gave it.

Symptom: A custom op with fixed strides gets **wrong values** from a list of tensors. Up
to 2.12 the tensors of a `Tensor[]` argument arrive in the strides that Inductor chose
for them, and the op counts on other strides. On 2.11 an argument that is not a tensor,
such as an opaque object, fails the compile, because Inductor asks for its strides.
Upstream: in 2.12.0 what is no tensor is left alone; in 2.13.0 lists are looked into. Affected: up to 2.12.1.
Removal: when no supported torch is older than 2.13.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch._inductor.lowering:constrain_to_fx_strides"


def _constraining(wrapper: Wrapper) -> Callable[..., Any]:
    """Torch's function does the one tensor that it does right, for each one that there is."""

    def constrained(given: Any, seen: Any) -> Any:
        """given: what is to be lowered. seen: what stands there in the FX graph, a node or its value."""
        meta = getattr(seen, "meta", None)
        value = meta.get("val") if isinstance(meta, dict) else seen
        if isinstance(value, sys.modules["torch"].Tensor):
            node = SimpleNamespace(args=(SimpleNamespace(meta={"val": value}),), kwargs={})
            (done,), _ = wrapper.next(node, given)
            return done
        if isinstance(given, (list, tuple)) and isinstance(value, (list, tuple)):
            return type(given)([constrained(*pair) for pair in zip(given, value)])
        if isinstance(given, dict) and isinstance(value, dict):
            return {key: constrained(given[key], value[key]) for key in given}
        return given

    def constrain_to_fx_strides(fx_node: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (
            tuple([constrained(*pair) for pair in zip(args, fx_node.args)]),
            {key: constrained(value, fx_node.kwargs[key]) for key, value in kwargs.items()},
        )

    return constrain_to_fx_strides


SHIM = Shim(
    name="fx_strides",
    kind="fix",
    upstream="lists in torch 2.13.0, values that are no tensors in torch 2.12.0",
    changes_codegen=True,
    revision=1,
    # All that the function does is to pair up arguments and to tell them apart by what they are: it names the kinds
    # that it knows. `list` came with the one change, `Tensor` with the other.
    native=(Refers(_TARGET, "Tensor"), Refers(_TARGET, "list")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("fx_node",)),
        Refers(_TARGET, "meta"),
        Refers(_TARGET, "require_stride_order"),
        # Copies what an op has written into a tensor of a list back to where it came from.
        Symbol("torch._inductor.graph:GraphLowering.propagate_mutation", "function"),
    ),
    replacements={_TARGET: _constraining},
)
