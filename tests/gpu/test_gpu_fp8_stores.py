"""Values that are clamped to fp8 and stored by rows and by columns: triton#11111.

Triton is reported to corrupt the store by columns if the clamp is `tl.minimum` and `tl.maximum` with
`PropagateNan.ALL`, which Inductor writes from torch 2.14 on. The store by rows is right, so each test compares the two.
A corrupted store is an expected failure here, with the numbers as its reason: no shim repairs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from helpers.device import DEVICE, ON_CPU, card
from helpers.this_torch import needs_compiler

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore"), needs_compiler]
DTYPES = (torch.float8_e5m2, torch.float8_e4m3fn)
SHAPES = ((64, 64), (256, 256), (4096, 1024), (1000, 520))
Record = Callable[[str, object], None]


@pytest.fixture(params=DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found: torch.dtype = request.param
    if torch.device(DEVICE).type == "cuda" and torch.version.cuda and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("Triton converts to fp8 from compute capability 8.9 on")
    return found


def values(shape: tuple[int, int]) -> torch.Tensor:
    """Make values inside and outside of the range of fp8, some of them infinite or NaN."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e4
    x[0, :3] = torch.tensor([float("inf"), float("-inf"), float("nan")])
    return x.to(DEVICE)


def different(results: tuple[torch.Tensor, torch.Tensor], expected: torch.Tensor) -> list[int]:
    """Count the values that differ from the expected ones: by rows, and by columns."""
    by_rows, by_columns = (result.float().cpu() for result in (results[0], results[1].t()))
    right = expected.float().cpu()
    return [int((~torch.isclose(one, right, 0, 0, equal_nan=True)).sum()) for one in (by_rows, by_columns)]


def told(wrong: dict[str, list[int]], record: Record) -> None:
    """Record the outcome. If Triton has corrupted a store by columns alone, the test fails as expected."""
    record("card", card())
    record("wrong values by rows, by columns", wrong)
    assert {case: counts for case, counts in wrong.items() if counts[0]} == {}
    corrupted = {case: by_columns for case, (_, by_columns) in wrong.items() if by_columns}
    if corrupted:
        assert not ON_CPU
        pytest.xfail(f"triton#11111 on {card()}, torch {torch.__version__}: wrong values {corrupted}")


def test_inductor_stores_fp8_by_columns_as_by_rows(dtype: torch.dtype, record_property: Record) -> None:
    limit = torch.finfo(dtype).max

    def clamped(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = x.clamp(-limit, limit).to(dtype)
        return value, value.t().contiguous()

    wrong = {}
    for shape in SHAPES:
        torch._dynamo.reset()
        x = values(shape)
        results = torch.compile(clamped, fullgraph=True, dynamic=False)(x)
        wrong[str(shape)] = different(results, clamped(x)[0])
    told(wrong, record_property)


@pytest.mark.skipif(ON_CPU, reason="a user's Triton kernel needs a GPU")
def test_triton_stores_fp8_by_columns_as_by_rows(dtype: torch.dtype, record_property: Record) -> None:
    kernels = pytest.importorskip("triton_kernels", reason="triton is not installed")
    limit, wrong = torch.finfo(dtype).max, {}
    for shape, block, warps in itertools.product(SHAPES, (16, 32, 64, 128), (1, 2, 4, 8)):
        x = values(shape)
        results = torch.empty(shape, device=DEVICE, dtype=dtype), torch.empty(shape[::-1], device=DEVICE, dtype=dtype)
        grid = (-(-shape[0] // block), -(-shape[1] // block))
        kernels.store_twice[grid](x, *results, *shape, limit, block=block, num_warps=warps)
        expected = x.clamp(-limit, limit).to(dtype)
        wrong[f"{shape}, block {block}, {warps} warps"] = different(results, expected)
    told(wrong, record_property)
