"""`full_of_bool`: make True or False of a symbolic number that becomes a bool.

Symptom: Sums of bools that stand for a symbolic number have **wrong values**. That of
`torch.full(size, n, dtype=torch.bool)` with a symbolic `n` adds up `n`, not True. The
same goes for `torch.full(size, n).to(torch.bool)` and `torch.arange(n).bool()`. A
cumulative sum of such a `full` takes a zero for True. If Inductor fuses the bools into
the code that reads them, it keeps the number and changes only its dtype.
Upstream: pytorch#194062 is open; pytorch#194096 and pytorch#196571 are proposals.
Affected: every torch so far (2.15).
Removal: when every supported torch has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Parameters, Refers, Symbol
from .base import Shim

_FULL = "torch._inductor.lowering:_full"
_PROPAGATION = "torch._inductor.index_propagation"
_FUNCTIONS = "torch.utils._sympy.functions"
_EXPRESSION = f"{_PROPAGATION}:SymPyOps.index_expr"
_CONVERT = f"{_PROPAGATION}:SymPyOps.to_dtype"
_CUMSUM = "torch._inductor.fx_passes.post_grad:pointless_cumsum_replacement"


def _replace_index_expr(wrapper: Wrapper) -> Callable[..., Any]:
    """Have an expression of dtype bool be 1 or 0."""

    def index_expr(value: Any, dtype: Any) -> Any:
        sympy = sys.modules["sympy"]
        is_number = isinstance(value, sympy.Expr) and not value.is_number
        if is_number and dtype is sys.modules["torch"].bool:
            where = sys.modules[_FUNCTIONS].Where
            value = where(sympy.Ne(value, 0), sympy.S.One, sympy.S.Zero)
        return wrapper.next(value, dtype)

    return index_expr


def _replace_to_dtype(wrapper: Wrapper) -> Callable[..., Any]:
    """Leave the conversion of an expression to bool to the generated code."""

    def to_dtype(value: Any, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        boolean = sys.modules["torch"].bool
        if dtype is boolean and value.dtype is not boolean and not value.is_constant():
            return NotImplemented
        return wrapper.next(value, dtype, *args, **kwargs)

    return to_dtype


def _replace_cumsum(wrapper: Wrapper) -> Callable[..., Any]:
    """Skip the rewrite of a cumulative sum if it would take a number for a bool."""
    converts = "bool" in wrapper.original.__code__.co_names  # from torch 2.14 on

    def pointless_cumsum_replacement(match: Any, *args: Any, **kwargs: Any) -> Any:
        fill = match.kwargs.get("fill_value")
        is_bool = match.kwargs.get("dtype") is sys.modules["torch"].bool
        if isinstance(fill, sys.modules["torch.fx"].Node):
            # torch takes any node for True, and fails if the dtype is not bool.
            right = is_bool and converts and _never_zero(fill)
        else:
            right = converts or not is_bool or fill in (0, 1)
        return wrapper.next(match, *args, **kwargs) if right else None

    return pointless_cumsum_replacement


def _never_zero(node: Any) -> bool:
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    value = node.meta.get("val")
    return value is not None and bool(symbolic.statically_known_true(value != 0))


class _Code:
    """Calculate like generated code, in which the symbol `n` is 6."""

    def __init__(self, n: Any) -> None:
        self._n, self._bool = n, sys.modules["torch"].bool

    def index_expr(self, expr: Any, dtype: Any) -> Any:
        # Generated code ignores the dtype here.
        return int(sys.modules["sympy"].sympify(expr).subs(self._n, 6))

    def value_expr(self, expr: Any, dtype: Any) -> Any:
        return self.to_dtype(self.index_expr(expr, dtype), dtype)

    def constant(self, value: Any, dtype: Any) -> Any:
        return self.to_dtype(value, dtype)

    def to_dtype(self, value: Any, dtype: Any, *_: Any, **__: Any) -> Any:
        return bool(value) if dtype is self._bool else int(value)

    def ne(self, one: Any, other: Any) -> bool:
        return bool(one != other)


def _explain_failure(full: Callable[..., Any]) -> str | None:
    """Convert 6 to bool and back, through `full` and through `to_dtype`, in 1 ms."""
    torch, sympy = sys.modules["torch"], sys.modules["sympy"]
    virtualized = sys.modules["torch._inductor.virtualized"]
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    n, ops = sympy.Symbol("n", integer=True), virtualized.ops
    graph = SimpleNamespace(sizevars=SimpleNamespace(shape_env=symbolic.ShapeEnv()))
    with virtualized.V.set_graph_handler(graph):
        code = sys.modules[_PROPAGATION].IndexPropagation(_Code(n), {}, {})
        with virtualized.V.set_ops_handler(code):
            box = full(n, torch.device("cpu"), torch.bool, [sympy.Integer(2)])
            filled = box.data.data.inner_fn([sympy.Integer(0)])
            converted = ops.to_dtype(ops.index_expr(n, torch.int64), torch.bool)
            for value in (filled, converted):
                number = code.unwrap(ops.to_dtype(value, torch.int64).value)
                if number != 1:
                    return f"6 counts {number} as a bool"
    return None


SHIM = Shim(
    name="full_of_bool",
    kind="fix",
    upstream="pytorch#194062, open",
    changes_codegen=True,
    revision=1,
    native=(Behaves(_FULL, "makes a bool of a symbolic number", _explain_failure),),
    backport=(
        Symbol(_EXPRESSION, "function"),
        Parameters(_EXPRESSION, ("value", "dtype")),
        Parameters(f"{_FUNCTIONS}:Where.eval", ("cls", "c", "p", "q")),
        Symbol(_CONVERT, "function"),
        Parameters(_CONVERT, ("value", "dtype")),
        Parameters(f"{_PROPAGATION}:TypedExpr.is_constant", ("self",)),
        Symbol(_CUMSUM, "function"),
        Refers(_CUMSUM, "is_boolean_dtype"),
    ),
    replacements={
        _EXPRESSION: _replace_index_expr,
        _CONVERT: _replace_to_dtype,
        _CUMSUM: _replace_cumsum,
    },
)
