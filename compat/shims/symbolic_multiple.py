"""`symbolic_multiple`: find that a symbolic size is a multiple of a sum.

Symptom: A compile with dynamic shapes ends with CantSplit. Inductor splits a loop of
`15360*a + 15360*b` steps by `a + b`, as it does for a `cat` of two dynamic sizes, and
cannot prove that the one is a multiple of the other. If only a fusion needs the proof,
the fusion is skipped.
Upstream: pytorch#183696 and pytorch#186426, repaired by pytorch#184566 in 2.14.0.
Affected: 2.12 and 2.13. Up to 2.11 torch asks sympy, which finds the common factor.
Removal: when no supported torch is older than 2.14.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch._inductor.sizevars:SizeVarAllocator.statically_known_multiple_of"
# Sympy's polynomials take milliseconds up to here, and seconds for 60 symbols.
_MOST_SYMBOLS = 20


def _replace_multiple_of(wrapper: Wrapper) -> Callable[..., bool]:
    """Have `statically_known_multiple_of` look for a common factor at the end."""
    sympy = wrapper.original.__globals__["sympy"]

    def statically_known_multiple_of(self: Any, numerator: Any, divisor: Any) -> bool:
        if wrapper.next(self, numerator, divisor):
            return True
        if not isinstance(divisor, sympy.Expr) or divisor.is_number:
            return False
        symbols = divisor.free_symbols | sympy.sympify(numerator).free_symbols
        if len(symbols) > _MOST_SYMBOLS:
            return False
        try:
            common = sympy.gcd(numerator, divisor)
        except sympy.PolynomialError:  # of an expression that is no polynomial
            return False
        return bool(common != 1 and self.simplify(common - divisor) == 0)

    return statically_known_multiple_of


SHIM = Shim(
    name="symbolic_multiple",
    kind="fix",
    upstream="pytorch#184566, in torch 2.14.0",
    # A skipped fusion is other code.
    changes_codegen=True,
    revision=1,
    native=(Refers(_TARGET, "safe_gcd"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "numerator", "denominator")),
        Refers(_TARGET, "Mod"),
        Symbol("torch._inductor.sizevars:SizeVarAllocator.simplify", "function"),
    ),
    replacements={_TARGET: _replace_multiple_of},
)
