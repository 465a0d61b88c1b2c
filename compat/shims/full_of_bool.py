"""`full_of_bool`: a symbolic number that becomes a bool is True or False, also where it is
fused into what reads it.

Symptom: wrong values. `torch.full(size, n, dtype=torch.bool).sum()` with a symbolic `n`
adds up `n`, not True. The same goes for `torch.full(size, n).to(torch.bool)` and
`torch.arange(n).bool()`. A cumulative sum of such a `full` takes a zero for True.
Upstream: pytorch#194062, open; pytorch#194096 and pytorch#196571 are proposals.
Affected: every torch up to 2.15.0.
Removal: when every supported torch has it.

Inductor calculates with symbolic values as expressions. `index_expr(n, bool)`, and the
conversion of an expression to bool, give the expression another label and no other value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..cache import KEYED
from ..patch import Layer
from ..replacing import replacing
from ..requirements import Behaves, Parameters, Refers, Symbol

_FULL = "torch._inductor.lowering:_full"
_PROPAGATION = "torch._inductor.index_propagation"
_CONVERT = f"{_PROPAGATION}:SymPyOps.to_dtype"
_CUMSUM = "torch._inductor.fx_passes.post_grad:pointless_cumsum_replacement"


def _filling(layer: Layer) -> Callable[..., Any]:
    lowering = layer.own.__globals__

    def _full(fill_value: Any, device: Any, dtype: Any, size: Any) -> Any:
        of_bool = dtype is sys.modules["torch"].bool
        number = _dtype_of(fill_value) if of_bool else None
        if number is None:
            return layer.below.call(fill_value, device, dtype, size)
        numbers = layer.below.call(fill_value, device, number, size)
        return lowering["to_dtype"](numbers, dtype)

    return _full


def _dtype_of(fill_value: Any) -> Any:
    """The dtype of a symbolic number or of a tensor. None for a bool, and for constants."""
    torch, sympy, value = sys.modules["torch"], sys.modules["sympy"], fill_value
    if not isinstance(value, (int, float)) and hasattr(value, "value"):
        value = value.value
    if isinstance(value, (int, float)):
        return None
    if isinstance(value, sympy.Expr):
        return torch.int64 if value.is_integer else torch.float64
    dtype = None if isinstance(value, sympy.Basic) else value.get_dtype()
    return None if dtype is torch.bool else dtype


def _converting(layer: Layer) -> Callable[..., Any]:
    def to_dtype(value: Any, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        boolean = sys.modules["torch"].bool
        if dtype is boolean and value.dtype is not boolean and not value.is_constant():
            return NotImplemented  # then the generated code converts it
        return layer.below.call(value, dtype, *args, **kwargs)

    return to_dtype


def _counting(layer: Layer) -> Callable[..., Any]:
    """Replaces a cumulative sum of equal elements by a multiplication."""
    converts = "bool" in layer.own.__code__.co_names  # from torch 2.13 on

    def pointless_cumsum_replacement(match: Any, *args: Any, **kwargs: Any) -> Any:
        fill = match.kwargs.get("fill_value")
        of_bool = match.kwargs.get("dtype") is sys.modules["torch"].bool
        if isinstance(fill, sys.modules["torch.fx"].Node):
            # Torch takes any node for True, and fails if the dtype is not bool.
            stock = of_bool and converts and _never_zero(fill)
        else:
            stock = converts or not of_bool or fill in (0, 1)
        return layer.below.call(match, *args, **kwargs) if stock else None

    return pointless_cumsum_replacement


def _never_zero(node: Any) -> bool:
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    value = node.meta.get("val")
    return value is not None and bool(symbolic.statically_known_true(value != 0))


class _Code:
    """Does with numbers what generated code does. `n` is 6 there."""

    def __init__(self, n: Any) -> None:
        self._n, self._bool = n, sys.modules["torch"].bool

    def index_expr(self, expr: Any, dtype: Any) -> Any:
        return int(sys.modules["sympy"].sympify(expr).subs(self._n, 6))  # without dtype

    def value_expr(self, expr: Any, dtype: Any) -> Any:
        return self.to_dtype(self.index_expr(expr, dtype), dtype)

    def constant(self, value: Any, dtype: Any) -> Any:
        return self.to_dtype(value, dtype)

    def to_dtype(self, value: Any, dtype: Any, *_: Any, **__: Any) -> Any:
        return bool(value) if dtype is self._bool else int(value)

    def ne(self, one: Any, other: Any) -> bool:
        return bool(one != other)


def _objection(full: Callable[..., Any]) -> str | None:
    """Convert 6 to bool and back, by way of `full` and of `to_dtype`. This takes 1 ms."""
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


SHIM = replacing(
    {_FULL: _filling, _CONVERT: _converting, _CUMSUM: _counting},
    name="full_of_bool",
    kind="fix",
    upstream="pytorch#194062, open",
    changes_codegen=True,
    revision=1,
    native=(Behaves(_FULL, "makes a bool of a symbolic number", _objection),),
    backport=(
        *KEYED,
        Symbol(_FULL, "function"),
        Parameters(_FULL, ("fill_value", "device", "dtype", "size")),
        Refers(_FULL, "index_expr"),
        Symbol("torch._inductor.lowering:to_dtype", "function"),
        Symbol(_CONVERT, "function"),
        Parameters(_CONVERT, ("value", "dtype")),
        Parameters(f"{_PROPAGATION}:TypedExpr.is_constant", ("self",)),
        Symbol(_CUMSUM, "function"),
        Refers(_CUMSUM, "is_boolean_dtype"),
    ),
)
