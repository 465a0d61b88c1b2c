"""cpp_indirect_assert: which masks it makes vectors of. What comes of that the reproducer shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from compat.patch import Layer
from compat.requirements import Found, Mentions
from compat.shims.cpp_indirect_assert import SHIM, _checking

TYPE = "at::vec::VecMask<int64_t,2>"


class Variable:
    def __init__(self, name: str, is_vec: bool) -> None:
        self.name, self.is_vec, self.dtype = name, is_vec, torch.int64

    def __str__(self) -> str:
        return self.name


class Kernel:
    """As much of a CppKernel as is looked at."""

    def __init__(self, var: Variable, mask: Variable | None) -> None:
        self._load_mask, self.var = mask, var

    def indirect_assert(self, var: Any, lower: Any, upper: Any, mask: Any = None) -> str:
        return f"{var} {lower} {upper} {mask}"


class VecKernel(Kernel):
    def _get_mask_type(self, dtype: torch.dtype = torch.float) -> str:
        assert dtype == torch.int64
        return TYPE


def stock(self: Any, expr: Any, size: Any, lower: Any, upper: Any) -> Any:
    if expr is None:
        raise ValueError("no expression")
    return self.indirect_assert(self.var, "0", "40", self._load_mask)


def check(kernel: Kernel, expr: Any = 1, layers: int = 1) -> Any:
    over = Layer(stock, lambda _: stock)
    for _ in range(layers):
        over, under = Layer(stock, _checking), over
        over.below = under
    before = dict(vars(kernel))
    try:
        return over.call(kernel, expr, 1, True, True)
    finally:
        assert vars(kernel) == before


@pytest.mark.parametrize("layers", [1, 2], ids=["once", "with one of another version over it"])
def test_a_scalar_mask_is_a_vector_for_the_check_of_a_vector(layers: int) -> None:
    kernel = VecKernel(Variable("tmp1", True), Variable("tmp0", False))
    assert check(kernel, layers=layers) == f"tmp1 0 40 {TYPE}::from(tmp0)"


@pytest.mark.parametrize(
    "kernel",
    [
        VecKernel(Variable("tmp1", True), Variable("tmp0", True)),
        VecKernel(Variable("tmp1", False), Variable("tmp0", True)),
        VecKernel(Variable("tmp1", False), Variable("tmp0", False)),
        Kernel(Variable("tmp1", False), Variable("tmp0", False)),
    ],
    ids=["vector mask", "vector mask, scalar index", "both scalar", "scalar kernel"],
)
def test_every_other_mask_stays_as_it_is(kernel: Kernel) -> None:
    assert check(kernel) == "tmp1 0 40 tmp0"


def test_no_mask_stays_no_mask() -> None:
    assert check(VecKernel(Variable("tmp1", True), None)) == "tmp1 0 40 None"


def test_a_check_that_fails_leaves_nothing_on_the_kernel() -> None:
    with pytest.raises(ValueError, match="no expression"):
        check(VecKernel(Variable("tmp1", True), Variable("tmp0", False)), None)


@pytest.mark.parametrize(
    ("function", "fixed"),
    [
        (lambda t, mask: f"{t}({mask}), {t}::from(1), (", False),
        (lambda t, mask: f"{t}::from({mask}), {t}::from(1), (", True),
    ],
    ids=["constructor", "from"],
)
def test_the_mask_is_told_from_the_vector_of_ones_that_every_torch_makes(function: Any, fixed: bool) -> None:
    (native,) = SHIM.native
    assert isinstance(native, Mentions)
    found = Found("function", code=function.__code__)
    assert (native.objection(found) is None) == fixed
    assert Mentions(native.target, native.text).objection(found) is None
