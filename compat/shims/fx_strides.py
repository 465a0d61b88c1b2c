"""`fx_strides`: give custom ops with fixed strides every tensor in eager's strides.

Symptom: A custom op with fixed strides gets **wrong values** from a list of tensors. Up
to 2.12 the tensors of a `Tensor[]` argument arrive in the strides that Inductor chose
for them, and the op counts on other strides. On 2.11 an argument that is not a tensor,
such as an opaque object, fails the compile, because Inductor asks for its strides.
Such ops have the tag `needs_fixed_stride_order`.
Upstream: 2.12.0 leaves arguments alone that are not tensors. 2.13.0 looks into lists.
Affected: up to 2.12.1.
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


def _replace_constrain(wrapper: Wrapper) -> Callable[..., Any]:
    """Call torch's function once for each tensor, which it handles correctly."""

    def constrained(given: Any, seen: Any) -> Any:
        """Constrain one argument.

        Args:
            given: the argument to lower.
            seen: its place in the FX graph, a node or its value.

        """
        meta = getattr(seen, "meta", None)
        value = meta.get("val") if isinstance(meta, dict) else seen
        if isinstance(value, sys.modules["torch"].Tensor):
            node = SimpleNamespace(
                args=(SimpleNamespace(meta={"val": value}),), kwargs={}
            )
            (done,), _ = wrapper.next(node, given)
            return done
        if isinstance(given, (list, tuple)) and isinstance(value, (list, tuple)):
            return type(given)([constrained(*pair) for pair in zip(given, value)])
        if isinstance(given, dict) and isinstance(value, dict):
            return {key: constrained(given[key], value[key]) for key in given}
        return given

    def constrain_to_fx_strides(fx_node: Any, *args: Any, **kwargs: Any) -> Any:
        return (
            tuple([constrained(*pair) for pair in zip(args, fx_node.args)]),
            {
                key: constrained(value, fx_node.kwargs[key])
                for key, value in kwargs.items()
            },
        )

    return constrain_to_fx_strides


SHIM = Shim(
    name="fx_strides",
    kind="fix",
    upstream="lists in torch 2.13.0, values that are no tensors in torch 2.12.0",
    changes_codegen=True,
    revision=1,
    # The function only pairs up arguments and tells their types apart, so it refers to
    # the types that it handles. `Tensor` came with 2.12.0, `list` with 2.13.0.
    native=(Refers(_TARGET, "Tensor"), Refers(_TARGET, "list")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("fx_node",)),
        Refers(_TARGET, "meta"),
        Refers(_TARGET, "require_stride_order"),
        # If an op writes into a tensor of a list, this method copies the result back to
        # the tensor's own storage.
        Symbol("torch._inductor.graph:GraphLowering.propagate_mutation", "function"),
    ),
    replacements={_TARGET: _replace_constrain},
)
