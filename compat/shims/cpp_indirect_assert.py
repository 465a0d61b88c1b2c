"""`cpp_indirect_assert`: the check of an index in vectorized CPU code takes a mask that is one value for the vector.

Symptom: CPU code that checks an index under a scalar mask does not compile. The C++
compiler stops at `VecMask<…>::VecMask(int&)`. A lookup inside a masked region (padding,
a concatenation) is checked for all lanes at once. If the mask is the same for all
lanes, Inductor has it as a scalar and writes a constructor that does not exist.
Upstream: pytorch#178148, in 2.12.0. Affected: up to 2.11, 2.9 and 2.10 as well, which engines leave out.
Removal: when no supported torch is older than 2.12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_ASSERT = "torch._inductor.codegen.cpp:CppVecKernel.indirect_assert"
_TARGET = "torch._inductor.codegen.cpp:CppKernel.check_bounds"
_MASK_TYPE = "torch._inductor.codegen.cpp:CppVecKernel._get_mask_type"


class _VectorMask(str):
    """The code of a vector mask, for one who asks a mask whether it is a vector before he writes it down."""

    is_vec = True


def _checking(wrapper: Wrapper) -> Callable[..., Any]:
    def check_bounds(kernel: Any, expr: Any, size: Any, lower: Any, upper: Any) -> Any:
        if getattr(kernel._load_mask, "is_vec", True):
            return wrapper.next(kernel, expr, size, lower, upper)
        before, own = vars(kernel).get("indirect_assert"), kernel.indirect_assert

        def indirect_assert(var: Any, lower: Any, upper: Any, mask: Any = None) -> Any:
            if getattr(var, "is_vec", False) and not getattr(mask, "is_vec", True):
                mask = _VectorMask(f"{kernel._get_mask_type(var.dtype)}::from({mask})")
            return own(var, lower, upper, mask)

        # `indirect_assert` itself calls super(), and code with a closure cannot be exchanged. So the one who calls it
        # finds another one on the kernel, which belongs to the thread that generates its code.
        kernel.indirect_assert = indirect_assert
        try:
            return wrapper.next(kernel, expr, size, lower, upper)
        finally:
            del kernel.indirect_assert
            if before is not None:  # by this shim in another version of compat
                kernel.indirect_assert = before

    return check_bounds


SHIM = Shim(
    name="cpp_indirect_assert",
    kind="fix",
    upstream="pytorch#178148, in torch 2.12.0",
    changes_codegen=True,
    revision=1,
    # A value stands after this text: the mask, which is the only one that is made a vector here. Where a vector of ones
    # is made for the tail of a loop, as in every torch, the 1 is part of the same string.
    native=(Mentions(_ASSERT, "::from(", whole=True),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "expr", "size", "lower", "upper")),
        Refers(_TARGET, "_load_mask"),
        Refers(_TARGET, "indirect_assert"),
        Parameters(_ASSERT, ("self", "var", "lower", "upper", "mask")),
        Refers(_ASSERT, "is_vec"),
        Parameters(_MASK_TYPE, ("self", "dtype")),
    ),
    replacements={_TARGET: _checking},
)
