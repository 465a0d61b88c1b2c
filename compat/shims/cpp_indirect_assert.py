"""`cpp_indirect_assert`: turn a scalar mask into a vector mask in index checks.

Symptom: CPU code that checks an index under a scalar mask does not compile. The C++
compiler stops at `VecMask<…>::VecMask(int&)`. A lookup inside a masked region (padding,
a concatenation) is checked for all lanes at once. If the mask is the same for all
lanes, Inductor has it as a scalar and writes a constructor that does not exist.
Upstream: pytorch#178148, in 2.12.0.
Affected: up to 2.11. Engines' workarounds leave out 2.9 and 2.10.
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
    """C++ code of a mask, with the attribute that marks it as a vector."""

    is_vec = True


def _replace_check_bounds(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `check_bounds` write its assert with a vector mask."""

    def check_bounds(kernel: Any, expr: Any, size: Any, lower: Any, upper: Any) -> Any:
        if getattr(kernel._load_mask, "is_vec", True):
            return wrapper.next(kernel, expr, size, lower, upper)
        before, own = vars(kernel).get("indirect_assert"), kernel.indirect_assert

        def indirect_assert(var: Any, lower: Any, upper: Any, mask: Any = None) -> Any:
            if getattr(var, "is_vec", False) and not getattr(mask, "is_vec", True):
                kind = kernel._get_mask_type(var.dtype)
                mask = _VectorMask(f"{kind}::from({mask})")
            return own(var, lower, upper, mask)

        # `indirect_assert` calls super(), so its code has a closure and cannot be
        # exchanged. This attribute of the kernel hides the method from `check_bounds`.
        # The kernel belongs to the thread that generates its code.
        kernel.indirect_assert = indirect_assert
        try:
            return wrapper.next(kernel, expr, size, lower, upper)
        finally:
            del kernel.indirect_assert
            if before is not None:  # set by another version of compat
                kernel.indirect_assert = before

    return check_bounds


SHIM = Shim(
    name="cpp_indirect_assert",
    kind="fix",
    upstream="pytorch#178148, in torch 2.12.0",
    changes_codegen=True,
    revision=1,
    # The function makes a vector of no other value than the mask, and writes the mask
    # after this text. The text counts only by itself, because every torch also writes a
    # vector of ones for the tail of a loop, with the 1 in the same string.
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
    replacements={_TARGET: _replace_check_bounds},
)
