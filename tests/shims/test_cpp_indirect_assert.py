"""`cpp_indirect_assert`: which masks become vectors. The reproducer shows the compiled result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from compat.probe.definition import Definition
from compat.probe.requirements import Mentions
from compat.shims.cpp_indirect_assert import SHIM, _replace_check_bounds

TYPE = "at::vec::VecMask<int64_t,2>"


class Variable:
    def __init__(self, name: str, is_vec: bool) -> None:
        self.name, self.is_vec, self.dtype = name, is_vec, torch.int64

    def __str__(self) -> str:
        return self.name


class Kernel:
    """The part of CppKernel that the shim reads."""

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


def check(kernel: Kernel, expr: Any = 1, wrappers: int = 1) -> Any:
    call: Any = stock
    for _ in range(wrappers):
        call = _replace_check_bounds(SimpleNamespace(next=call))  # type: ignore[arg-type]
    before = dict(vars(kernel))
    try:
        return call(kernel, expr, 1, True, True)
    finally:
        assert vars(kernel) == before


@pytest.mark.parametrize("wrappers", [1, 2], ids=["once", "below the wrapper of another version"])
def test_scalar_mask_becomes_vector_for_vector_check(wrappers: int) -> None:
    kernel = VecKernel(Variable("tmp1", True), Variable("tmp0", False))
    assert check(kernel, wrappers=wrappers) == f"tmp1 0 40 {TYPE}::from(tmp0)"


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
def test_other_masks_stay_unchanged(kernel: Kernel) -> None:
    assert check(kernel) == "tmp1 0 40 tmp0"


def test_missing_mask_stays_missing() -> None:
    assert check(VecKernel(Variable("tmp1", True), None)) == "tmp1 0 40 None"


def test_failed_check_leaves_kernel_unchanged() -> None:
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
def test_native_requirement_distinguishes_mask_from_vector_of_ones(function: Any, fixed: bool) -> None:
    (native,) = SHIM.native
    assert isinstance(native, Mentions)
    found = Definition("function", code=function.__code__)
    assert (native.explain_failure(found) is None) == fixed
    assert Mentions(native.target, native.text).explain_failure(found) is None
