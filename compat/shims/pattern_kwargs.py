"""`pattern_kwargs`: a pattern does not match a node whose keyword argument it does not
name, if that argument changes the value.

Symptom: wrong values. A fusion pattern for `add(x, y)` matches `add(x, y, alpha=3)`, and
the replacement drops `alpha`. So do patterns of torch: `addmm(x, a, b, beta=0)`.
Upstream: in torch 2.15.0. pytorch#196577 is one case.
Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.

A keyword argument may be left out of a pattern if it has its default. So may one that
says what the node is anyway: `dtype=torch.float32` in a sum of float32, `memory_format`
where the layout is that one already. Torch 2.15 withdraws such matches, too, although
their values were right.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..cache import KEYED
from ..patch import Layer
from ..replacing import replacing
from ..requirements import Parameters, Refers, Symbol

_MATCHER = "torch._inductor.pattern_matcher"
_TARGET = f"{_MATCHER}:_TargetArgsExpr._match"

# They say how a tensor is laid out or computed. The value without them may be the same.
_DESCRIPTIVE = frozenset({"dtype", "device", "layout", "memory_format", "pin_memory"})
_HARMLESS = frozenset({"non_blocking", "requires_grad"})


def _matching(layer: Layer) -> Callable[..., Any]:
    failed = layer.own.__globals__["FailedMatch"]

    def _match(pattern: Any, node: Any, ctx: Any) -> Any:
        found = layer.below.call(pattern, node, ctx)
        # The last question, so that only matches cost anything.
        if not found or not node.kwargs:
            return found
        rest = {k: v for k, v in node.kwargs.items() if k not in pattern.kwargs}
        if rest and not _is_trivial(pattern, node, rest):
            return failed("keyword arguments that {} lacks: {}", pattern, node)
        return found

    return _match


def _is_trivial(pattern: Any, node: Any, rest: Mapping[str, Any]) -> bool:
    """Return whether the node has the same value without these keyword arguments."""
    torch, op = sys.modules["torch"], node.target
    higher = torch.ops.higher_order
    wraps = op in (higher.auto_functionalized, higher.auto_functionalized_v2)
    if wraps and node.args:
        op = node.args[0]
    rest = {
        name: value
        for name, value in rest.items()
        if name not in _HARMLESS
        and not (_is_default(op, name, value) or (wraps and _only_base(node, name, value)))
    }
    if not rest:
        return True
    if _replacement_reads_keywords(pattern):
        return True
    return not wraps and rest.keys() <= _DESCRIPTIVE and _same_without(node, rest)


def _is_default(op: Any, name: str, value: Any) -> bool:
    torch = sys.modules["torch"]
    if isinstance(value, (torch.fx.Node, torch.SymInt, torch.SymFloat, torch.SymBool)):
        return False  # a comparison would install a guard
    if (name == "layout" and value is torch.strided) or (
        name == "pin_memory" and value is False
    ):
        value = None
    if isinstance(op, torch._ops.OpOverload):
        for argument in op._schema.arguments:
            if argument.name == name:
                if argument.has_default_value():
                    return _equal(argument.default_value, value)
                return value is None and isinstance(argument.type, torch.OptionalType)
        return False
    return any(
        name in signature.parameters and _equal(signature.parameters[name].default, value)
        for signature in _signatures(op)
    )


def _equal(default: Any, value: Any) -> bool:
    if isinstance(default, sys.modules["torch"].Tensor):
        return default is value
    return bool(default == value) and isinstance(default, bool) == isinstance(value, bool)


def _signatures(op: Any) -> list[inspect.Signature]:
    try:
        return [inspect.signature(op)]
    except (TypeError, ValueError):  # a function of torch in C++, or the name of a method
        schemas = sys.modules["torch.fx.operator_schemas"]
        found = schemas.get_signature_for_torch_op(op) if callable(op) else None
        return list(found or ())


def _only_base(node: Any, name: str, value: Any) -> bool:
    """Whether this is auto_functionalized_v2's word for "the one base, all of it"."""
    if value is None:
        return True
    bases = node.kwargs.get("_all_bases")
    return name.endswith("_base_index") and bases is not None and len(bases) == 1


def _replacement_reads_keywords(pattern: Any) -> bool:
    """Torch 2.13 and 2.14 have one pattern whose replacement reads them from the node."""
    passes = sys.modules.get("torch._inductor.fx_passes.post_grad")
    replacement = getattr(passes, "pointless_cumsum_replacement", None)
    code = getattr(replacement, "__code__", None)
    if passes is None or code is None:
        return False
    cumsum = sys.modules["torch"].ops.aten.cumsum.default
    return any(
        entry.pattern is pattern and "out_dtype" in _variables(replacement)
        for patterns in passes.pass_patterns
        for entry in patterns.patterns.get(("call_function", cumsum), ())
    )


def _variables(function: Any) -> tuple[str, ...]:
    code = _original(function)
    return (*code.co_varnames, *code.co_cellvars)


def _original(function: Any) -> Any:
    from ..patch import unpatched

    return unpatched(function).__code__


def _same_without(node: Any, rest: Mapping[str, Any]) -> bool:
    """Return whether the op itself would make the same of its other arguments."""
    torch, value = sys.modules["torch"], node.meta.get("val")
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    if not isinstance(value, torch.Tensor) or not hasattr(value, "fake_mode"):
        return False
    if not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable:
        return False
    creates = not any(
        isinstance(one.meta.get("val"), torch.Tensor) for one in node.all_input_nodes
    )
    # A pattern that leaves the device of a new tensor open stands for every device.
    kwargs = {k: v for k, v in node.kwargs.items() if k not in rest}
    if creates and "device" in rest:
        kwargs["device"] = rest["device"]
    try:
        args, kwargs = torch.fx.map_arg((node.args, kwargs), lambda n: n.meta["val"])
        with value.fake_mode:
            other = node.target(*args, **kwargs)
        return (
            other.dtype == value.dtype
            and other.device == value.device
            and other.layout == value.layout
            and other.dim() == value.dim()
            and all(
                symbolic.statically_known_true(symbolic.sym_eq(a, b))
                for a, b in zip(other.stride(), value.stride())
            )
        )
    except Exception:  # noqa: BLE001 (an op that cannot do without them needs them)
        return False


SHIM = replacing(
    {_TARGET: _matching},
    name="pattern_kwargs",
    kind="fix",
    upstream="torch 2.15.0",
    changes_codegen=True,
    revision=1,
    native=(Refers(_TARGET, "_has_undeclared_non_default_kwarg"),),
    backport=(
        *KEYED,
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "node", "ctx")),
        Refers(_TARGET, "normalize_function"),
        Symbol(f"{_MATCHER}:FailedMatch", "class"),
        Symbol("torch.fx.operator_schemas:get_signature_for_torch_op"),
    ),
)
