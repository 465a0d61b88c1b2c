"""`compat.api.mark_unbacked`: the same options on every torch, each for every dimension."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.graphs import raised
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat

SINCE = {"shape_id": (2, 11), "min": (2, 12), "max": (2, 12)}
VALUES: dict[str, Any] = {"shape_id": "rows", "min": 2, "max": 64}
LACKING = [name for name, release in SINCE.items() if release > RELEASE]


def mark(tensor: torch.Tensor, index: Any, **options: Any) -> torch.Tensor:
    compat.api.mark_unbacked(tensor, index, **options)
    return tensor


def runs_of(function: Any, inputs: list[tuple[torch.Tensor, ...]]) -> list[Any]:
    """Return the results of a compiled function, or what it raises; and last the number of compiles."""
    torch._dynamo.reset()
    compiles: list[Any] = []

    def backend(gm: Any, given: Any) -> Any:
        compiles.append(gm)
        return gm

    compiled = torch.compile(function, backend=backend, fullgraph=True)
    results: list[Any] = []
    for given in inputs:
        error = raised(lambda given=given: results.append(compiled(*given).shape))  # type: ignore[misc]
        if error:
            results.append(error.partition(":")[0])
    return [*results, len(compiles)]


def compile_unbacked() -> Any:
    first = mark(torch.ones(4, 6), (0, 1), hint_override=1024)
    return runs_of(lambda x: x * 2, [(first,), (torch.ones(9, 3),), (torch.ones(1, 1),)])


def test_marked_dimensions_take_every_size_without_another_compile(warm: Warm) -> None:
    assert warm(compile_unbacked) == [(4, 6), (9, 3), (1, 1), 1]


def compile_strict() -> Any:
    function = lambda x: x + torch.ones(4, 6)  # noqa: E731
    marked = (mark(torch.ones(4, 6), 0, strict=True), mark(torch.ones(4, 6), (1,), strict=True))
    return [runs_of(function, [(one,)])[-2] != (4, 6) for one in (torch.ones(4, 6), *marked)]


def test_specialized_strict_dimension_is_an_error(warm: Warm) -> None:
    assert warm(compile_strict) == [False, True, True]


def compile_with_one_shape_id() -> Any:
    def pair(rows: int, more: int) -> tuple[torch.Tensor, torch.Tensor]:
        return mark(torch.ones(rows, 2), [0], shape_id="rows"), mark(torch.ones(more, 2), 0, shape_id="rows")

    return runs_of(torch.add, [pair(4, 4), pair(7, 7)]), runs_of(torch.add, [pair(4, 4), pair(7, 1)])[1]


@pytest.mark.skipif("shape_id" in LACKING, reason="torch takes shape_id from 2.11 on")
def test_dimensions_of_one_shape_id_have_one_size(warm: Warm) -> None:
    assert warm(compile_with_one_shape_id) == ([(4, 2), (7, 2), 1], "AssertionError")


def compile_with_bounds() -> Any:
    inside, outside = ([(mark(torch.ones(n, 2), (0,), min=0, max=8),) for n in sizes] for sizes in ((4, 0), (4, 9)))
    return runs_of(lambda x: x * 2, inside), runs_of(lambda x: x * 2, outside)[1]


@pytest.mark.skipif("min" in LACKING, reason="torch takes min and max from 2.12 on")
def test_size_beyond_the_bounds_is_an_error(warm: Warm) -> None:
    assert warm(compile_with_bounds) == ([(4, 2), (0, 2), 1], "AssertionError")


def test_every_option_holds_for_every_dimension() -> None:
    tensor = mark(torch.ones(2, 2, 2), [0, 2], hint_override=7, specialize_on=[bool])
    assert tensor._dynamo_unbacked_indices == {0, 2}
    assert tensor._specialize_on[2] == [bool]  # torch forgets those of an earlier dimension
    if RELEASE >= (2, 10):
        assert tensor._dynamo_hint_overrides == {0: 7, 2: 7}
    assert mark(torch.ones(2, 2), (0, 1), strict=True)._dynamo_strict_unbacked_indices == {0, 1}


@pytest.mark.parametrize("name", SINCE)
def test_option_that_this_torch_lacks_is_an_unsupported_error(name: str) -> None:
    tensor = torch.ones(2, 2)
    if name in LACKING:
        with pytest.raises(compat.UnsupportedError, match=rf"^mark_unbacked: torch .* takes no {name}; leave it out"):
            mark(tensor, (0, 1), **{name: VALUES[name]})
    else:
        mark(tensor, (0, 1), **{name: VALUES[name]})
    assert hasattr(tensor, "_dynamo_unbacked_indices") is (name not in LACKING)
    (row,) = [row for row in compat.status() if row.name == "mark_unbacked"]
    assert row.mode == ("backport" if LACKING else "native")


def call_in_a_graph() -> tuple[str, str]:
    from torch._dynamo.decorators import mark_unbacked

    def text(function: Any) -> str:
        torch._dynamo.reset()
        compiled = torch.compile(lambda x: function(x, 0), backend="eager")
        return raised(lambda: compiled(torch.ones(2))).partition("<")[0]

    return text(compat.api.mark_unbacked), text(mark_unbacked)


def test_traced_call_is_refused_as_torchs_own_is(warm: Warm) -> None:
    ours, torchs = warm(call_in_a_graph)
    assert ours == torchs
    assert "forbidden callable" in ours


def test_missing_function_is_an_unsupported_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo.decorators

    monkeypatch.delattr(torch._dynamo.decorators, "mark_unbacked")
    monkeypatch.setattr("compat.selection._selected", {})
    with pytest.raises(compat.UnsupportedError, match="decorators:mark_unbacked does not exist"):
        mark(torch.ones(2), 0)
