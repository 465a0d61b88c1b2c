"""`pattern_kwargs`: match no node with a keyword argument that the pattern ignores.

Symptom: A fusion returns **wrong values**, because its pattern ignores a keyword
argument of the node. A pattern for `add(x, y)` matches `add(x, y, alpha=3)`, and the
replacement drops `alpha`. Patterns of torch do the same, as for `addmm(x, a, b,
beta=0)`.
Upstream: in torch 2.15.0. pytorch#196577 is one case.
Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.

A pattern may ignore a keyword argument that has its default, or that changes nothing:
`dtype=torch.float32` in a sum of float32 values. torch 2.15 gives up such matches, too,
and has named more keywords in its own patterns.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..patching.patch import Wrapper, original_of
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_MATCHER = "torch._inductor.pattern_matcher"
_TARGET = f"{_MATCHER}:_TargetArgsExpr._match"
_POST_GRAD = "torch._inductor.fx_passes.post_grad"

# These say how a tensor is made. An op may make the same tensor without them.
_DESCRIPTIVE = {
    "device",
    "dtype",
    "layout",
    "memory_format",
    "non_blocking",
    "pin_memory",
}


def _replace_match(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `_match` give up a match if the pattern ignores what changes the value."""
    failed = wrapper.original.__globals__["FailedMatch"]

    def _match(pattern: Any, node: Any, ctx: Any) -> Any:
        match = wrapper.next(pattern, node, ctx)
        if not match or not node.kwargs:
            return match
        ignored = {k: v for k, v in node.kwargs.items() if k not in pattern.kwargs}
        if _changes_value(node, ignored) and not _is_read_by_replacement(pattern):
            return failed("undeclared_kwarg: node={}, pattern={}", node, pattern)
        return match

    return _match


def _changes_value(node: Any, ignored: Mapping[str, Any]) -> bool:
    """Return whether the node might have another value without these arguments."""
    higher = sys.modules["torch"].ops.higher_order
    wraps = node.target in (higher.auto_functionalized, higher.auto_functionalized_v2)
    op = node.args[0] if wraps and node.args else node.target
    rest = [name for name, value in ignored.items() if not _is_default(op, name, value)]
    if wraps or not _DESCRIPTIVE.issuperset(rest):
        return bool(rest)
    return bool(rest) and not _has_same_meta_without(node, rest)


def _is_default(op: Any, name: str, value: Any) -> bool:
    torch = sys.modules["torch"]
    if isinstance(value, (torch.fx.Node, torch.SymInt, torch.SymFloat, torch.SymBool)):
        return False  # a comparison would install a guard
    if (name == "layout" and value is torch.strided) or (
        name == "pin_memory" and value is False
    ):
        value = None
    if not isinstance(op, torch._ops.OpOverload):
        known = [s.parameters for s in _signatures(op) if name in s.parameters]
        return any(_equal(parameters[name].default, value) for parameters in known)
    for argument in op._schema.arguments:
        if argument.name == name and argument.has_default_value():
            return _equal(argument.default_value, value)
        if argument.name == name:
            return value is None and isinstance(argument.type, torch.OptionalType)
    return False


def _equal(default: Any, value: Any) -> bool:
    if isinstance(default, sys.modules["torch"].Tensor):
        return default is value
    return isinstance(default, bool) == isinstance(value, bool) and default == value


def _signatures(op: Any) -> list[inspect.Signature]:
    """Return the signatures of a function; none for the name of a method."""
    try:
        return [inspect.signature(op)]
    except (TypeError, ValueError):  # a function of torch in C++
        schemas = sys.modules["torch.fx.operator_schemas"]
        found = schemas.get_signature_for_torch_op(op) if callable(op) else None
        return list(found or ())


def _has_same_meta_without(node: Any, names: list[str]) -> bool:
    """Return whether the op makes a tensor of the same kind without these arguments."""
    torch, value = sys.modules["torch"], node.meta.get("val")
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if node.target._schema.is_mutable or not hasattr(value, "fake_mode"):
        return False
    kwargs = {k: v for k, v in node.kwargs.items() if k not in names}
    tensors = [one.meta.get("val") for one in node.all_input_nodes]
    if not any(isinstance(one, torch.Tensor) for one in tensors):
        # The pattern leaves open on which device the op makes a tensor.
        kwargs.update({k: v for k, v in node.kwargs.items() if k == "device"})
    try:
        args, kwargs = torch.fx.map_arg((node.args, kwargs), lambda n: n.meta["val"])
        with value.fake_mode:
            other = node.target(*args, **dict(kwargs))
        return _same_kind(value, other)
    except Exception:  # noqa: BLE001 (the op cannot do without the arguments)
        return False


def _same_kind(one: Any, other: Any) -> bool:
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    fixed = ("dtype", "device", "layout", "ndim")
    if any(getattr(one, name) != getattr(other, name) for name in fixed):
        return False
    pairs = zip(one.stride(), other.stride())
    return all(symbolic.statically_known_true(a == b) for a, b in pairs)


def _is_read_by_replacement(pattern: Any) -> bool:
    """Return whether it is the pattern whose replacement reads keywords of the node.

    torch 2.14 has one: its rewrite of a cumulative sum keeps the node's dtype.
    """
    passes = sys.modules.get(_POST_GRAD)
    rewrite = getattr(passes, "pointless_cumsum_replacement", None)
    cumsum = sys.modules["torch"].ops.aten.cumsum.default
    if not inspect.isfunction(rewrite) or cumsum not in pattern.fns:
        return False
    names = original_of(rewrite).__code__
    entries = [
        entry
        for patterns in passes.pass_patterns  # type: ignore[union-attr]
        for entry in patterns.patterns.get(("call_function", cumsum), ())
    ]
    keeps = "out_dtype" in (*names.co_varnames, *names.co_cellvars)
    return keeps and any(entry.pattern is pattern for entry in entries)


SHIM = Shim(
    name="pattern_kwargs",
    kind="fix",
    upstream="torch 2.15.0",
    changes_codegen=True,
    revision=1,
    native=(Refers(_TARGET, "_has_undeclared_non_default_kwarg"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "node", "ctx")),
        Refers(_TARGET, "normalize_function"),
        Symbol(f"{_MATCHER}:FailedMatch", "class"),
        Symbol("torch.fx.operator_schemas:get_signature_for_torch_op"),
    ),
    replacements={_TARGET: _replace_match},
)
