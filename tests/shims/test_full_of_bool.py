"""`full_of_bool`: bools made of symbolic numbers are 0 or 1, and other rewrites stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sympy
import torch
from helpers.this_torch import needs_compiler
from torch._inductor import lowering
from torch._inductor.index_propagation import IndexPropagation, SymPyOps, TypedExpr
from torch._inductor.utils import fresh_cache
from torch._inductor.virtualized import V, ops
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.functions import Where

import compat
from compat.selfcheck.quick import compile_quickly
from compat.shims.full_of_bool import _explain_failure, _replace_cumsum

BOOL = torch.bool
Form = Callable[[torch.Tensor, int], torch.Tensor]
FORMS: dict[str, Form] = {
    "sum": lambda x, n: torch.full((4,), n, dtype=BOOL).sum(),
    "product": lambda x, n: torch.full((4,), n, dtype=BOOL) * x[:4],
    "output": lambda x, n: torch.full((4,), n, dtype=BOOL),
    "and": lambda x, n: (torch.full((4,), n, dtype=BOOL) & (x[:4] > 0)).int(),
    "new_full": lambda x, n: (x > 0).new_full((3,), n) * 3,
    "full_like": lambda x, n: torch.full_like(x > 0, n).sum(),
    "fill_": lambda x, n: (x > 0).fill_(n).long(),
    "expression": lambda x, n: torch.full((4,), n // 2 - x.shape[0], dtype=BOOL).long(),
    "float": lambda x, n: torch.full((4,), n * 0.5, dtype=BOOL).long(),
    "size": lambda x, n: torch.full((3,), x.shape[0], dtype=BOOL).long() * 3,
    "view": lambda x, n: torch.full((4,), n, dtype=BOOL)[1:].expand(2, 3).float(),
    "product_of_matrices": lambda x, n: torch.full((2, 2), n, dtype=BOOL).float() @ x[:4].view(2, 2),
    "scalar": lambda x, n: torch.scalar_tensor(n, dtype=BOOL) * x,
    "conversion": lambda x, n: torch.full((4,), n).to(BOOL).long(),
    "range": lambda x, n: (torch.arange(x.shape[0]) - n).bool().sum(),
    "index": lambda x, n: x[torch.arange(x.shape[0]).bool().long()],
    "copy": lambda x, n: torch.zeros(4, dtype=BOOL).copy_(torch.full((4,), n)) * 2,
    "cumulative sum": lambda x, n: torch.full((3,), n, dtype=BOOL).cumsum(0),
    "cumulative sum of full_like": lambda x, n: torch.full_like(x > 0, n).cumsum(0),
    "cumulative sum of a constant": lambda x, n: torch.full((3,), 3, dtype=BOOL).cumsum(0),
}


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def installed() -> Iterator[None]:
    import torch._inductor.compile_fx  # noqa: F401 (the shim waits for it)

    compat.install("full_of_bool")
    yield
    compat.uninstall("full_of_bool")


@pytest.mark.slow
@needs_compiler
def test_every_form_counts_one_for_a_number(installed: None) -> None:
    def all_forms(x: torch.Tensor, n: int) -> list[torch.Tensor]:
        return [form(x, n) for form in FORMS.values()]

    wrong = set()
    with fresh_cache(), compile_quickly():
        compiled = torch.compile(all_forms, fullgraph=True, dynamic=True)
        for n in (3, 0, -2):
            x = torch.arange(6.0) - 2
            results = zip(FORMS, all_forms(x, n), compiled(x, n))
            wrong |= {name for name, one, other in results if not torch.equal(one, other)}
    assert wrong == set()


@pytest.mark.parametrize(
    "form",
    [lambda: torch.full((3,), 2).cumsum(0), lambda: torch.full((3,), True, dtype=BOOL).cumsum(0)],
    ids=["numbers", "bools"],
)
def test_right_cumulative_sums_are_still_rewritten(form: Any, installed: None) -> None:
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.fx_passes.post_grad import pass_patterns

    counts = []

    def run_pass(module: torch.fx.GraphModule, *_: Any, **__: Any) -> Any:
        counts.append(sum(patterns.apply(module.graph) for patterns in pass_patterns))
        return module.forward

    torch.compile(form, fullgraph=True, backend=lambda m, i: compile_fx(m, i, inner_compile=run_pass))()
    assert counts == [1]


N = sympy.Symbol("n", integer=True)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: SymPyOps.index_expr(N, BOOL).expr, Where(sympy.Ne(N, 0), 1, 0)),
        (lambda: SymPyOps.index_expr(N, torch.int64).expr, N),
        (lambda: SymPyOps.index_expr(sympy.Integer(3), BOOL).expr, True),
        (lambda: SymPyOps.index_expr(N > 2, BOOL).expr, N > 2),
        (lambda: SymPyOps.to_dtype(TypedExpr(N, torch.int64), BOOL), NotImplemented),
        (lambda: SymPyOps.to_dtype(TypedExpr(N, torch.int64), torch.int32).expr, N),
        (lambda: SymPyOps.to_dtype(TypedExpr(N, BOOL), BOOL).expr, N),
        (lambda: SymPyOps.to_dtype(TypedExpr(3, torch.int64), BOOL).expr, True),
    ],
)
def test_only_numbers_that_become_bools_are_changed(result: Any, expected: Any, installed: None) -> None:
    assert result() == expected


def test_check_finds_the_defect_and_the_repair() -> None:
    assert _explain_failure(lowering._full) == "6 counts 6 as a bool"
    compat.install("full_of_bool")
    try:
        assert _explain_failure(lowering._full) is None
    finally:
        compat.uninstall("full_of_bool")


def differs_from_zero(n: Any, dtype: Any) -> Any:
    return ops.ne(ops.index_expr(n, torch.int64), ops.constant(0, torch.int64))


def value_of_dtype(n: Any, dtype: Any) -> Any:
    return ops.value_expr(n, dtype)


@pytest.mark.parametrize("make", [differs_from_zero, value_of_dtype])
def test_check_accepts_a_repair_of_another_form(make: Any, installed: None) -> None:
    def full(n: Any, device: Any, dtype: Any, size: Any) -> Any:
        return SimpleNamespace(data=SimpleNamespace(data=SimpleNamespace(inner_fn=lambda index: make(n, dtype))))

    assert _explain_failure(full) is None


def node_of(value: Any) -> torch.fx.Node:
    node = torch.fx.Graph().placeholder("fill")
    if value is not None:
        node.meta["val"] = value
    return node


# `fill_value`; then three facts: the dtype is bool, torch converts the value to it, and torch may rewrite the sum.
SUMS = [
    (3, False, False, True),
    (3, True, False, False),
    (1, True, False, True),
    (3, True, True, True),
    (node_of(3), True, True, True),
    (node_of(3), True, False, False),
    (node_of(3), False, True, False),
    (node_of(0), True, True, False),
    (node_of(None), True, True, False),
]


@pytest.mark.parametrize(("fill", "is_bool", "converts", "rewritten"), SUMS)
def test_cumulative_sum_is_rewritten_if_that_is_right(
    fill: Any, is_bool: bool, converts: bool, rewritten: bool
) -> None:
    code = compile("bool" if converts else "int", "torch", "eval")
    wrapper: Any = SimpleNamespace(original=SimpleNamespace(__code__=code), next=lambda match: "rewritten")
    match = SimpleNamespace(kwargs={"fill_value": fill, "dtype": BOOL if is_bool else torch.int64})
    assert _replace_cumsum(wrapper)(match) == ("rewritten" if rewritten else None)


def test_conversion_is_left_to_generated_code(installed: None) -> None:
    converted: list[Any] = []
    code = SimpleNamespace(
        index_expr=lambda value, dtype: value, to_dtype=lambda *given, **_: converted.append(given) or "bool"
    )
    graph: Any = SimpleNamespace(sizevars=SimpleNamespace(shape_env=ShapeEnv()))
    with V.set_graph_handler(graph):
        propagation = IndexPropagation(code, {}, {})
        number = propagation.index_expr(N, torch.int64)
        result = propagation.to_dtype(number, BOOL)
    assert propagation.unwrap(result) == "bool"
    assert converted[0][:2] == (N, BOOL)
