"""`symbolic_multiple`: a common factor of two symbolic sizes is found, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sympy
from helpers.this_torch import RELEASE
from torch._inductor.sizevars import SizeVarAllocator

import compat
from compat.shims.symbolic_multiple import _replace_multiple_of

A, B = sympy.symbols("s0 s1", positive=True, integer=True)
MANY = sum(sympy.symbols("u0:21", positive=True, integer=True))
NO_POLYNOMIAL = sympy.Piecewise((A, A > B), (B, True))
CASES = [
    (15360 * A + 15360 * B, A + B, True),
    (A * A + A * B, A + B, True),
    (A + B, 2 * A + 2 * B, False),
    (A, B, False),
    (6 * A, sympy.Integer(3), True),
    (12, 3, True),
    (sympy.Integer(7), A, False),
]


@pytest.fixture
def installed() -> Iterator[None]:
    import torch._inductor.compile_fx  # noqa: F401 (the shim waits for it)

    compat.install("symbolic_multiple")
    yield
    compat.uninstall("symbolic_multiple")


@pytest.mark.parametrize(("numerator", "divisor", "expected"), CASES, ids=str)
def test_sizes_are_multiples(numerator: Any, divisor: Any, expected: bool, installed: None) -> None:
    assert SizeVarAllocator().statically_known_multiple_of(numerator, divisor) is expected


@pytest.mark.skipif(RELEASE not in ((2, 12), (2, 13)), reason="the other torches find it themselves")
def test_torch_does_not_find_the_common_factor() -> None:
    assert not SizeVarAllocator().statically_known_multiple_of(*CASES[0][:2])


def found(numerator: Any, divisor: Any, answer: bool = False) -> bool:
    """Ask the replacement, with this answer of torch's."""
    wrapper: Any = SimpleNamespace(original=SizeVarAllocator.simplify, next=lambda *_: answer)
    return _replace_multiple_of(wrapper)(SizeVarAllocator(), numerator, divisor)


@pytest.mark.parametrize(
    ("numerator", "divisor"),
    [(2 * MANY, MANY), (2 * NO_POLYNOMIAL, NO_POLYNOMIAL), (6 * A, 3), (6 * A, sympy.Integer(3))],
    ids=["too many symbols", "no polynomial", "number", "number of sympy"],
)
def test_answer_of_torch_stands_for_what_is_not_asked(numerator: Any, divisor: Any) -> None:
    assert found(numerator, divisor) is False
    assert found(numerator, divisor, answer=True) is True


def test_common_factor_is_found_on_every_torch() -> None:
    assert [found(numerator, divisor) for numerator, divisor, _ in CASES[:4]] == [True, True, False, False]
