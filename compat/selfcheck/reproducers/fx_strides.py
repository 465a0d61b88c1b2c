"""Custom ops with fixed strides: one takes a list of tensors, one an opaque object."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import library as torch_library

from ..quick import compile_quickly

try:
    from torch._opaque_base import OpaqueBase as Base
except ImportError:
    Base = object  # type: ignore[assignment, misc]

FIXED = (2, 13)


class Name(Base):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name)

    def __hash__(self) -> int:
        return 0

    def __fx_repr__(self) -> tuple[str, dict[str, type]]:
        return "Name()", {"Name": Name}


def outcome() -> str:
    library = torch_library.Library("reproducer", "FRAGMENT")
    with compile_quickly():
        wrong = [words for words in (listed(library), opaque(library)) if words]
    return "; ".join(wrong) or "right"


def define(library: Any, signature: str, function: Any) -> Any:
    name = signature.partition("(")[0]
    library.define(signature, tags=(torch.Tag.needs_fixed_stride_order,))
    library.impl(name, function, "CompositeExplicitAutograd")
    torch_library.register_fake(f"reproducer::{name}", function, lib=library)
    return getattr(torch.ops.reproducer, name)


def listed(library: Any) -> str:
    # The op reads memory in order, like a kernel that gets a pointer and relies on the
    # strides.
    op = define(
        library,
        "read(Tensor[] xs) -> Tensor",
        lambda xs: xs[0].as_strided((xs[0].numel(),), (1,)).clone(),
    )

    def function(x: torch.Tensor) -> torch.Tensor:
        return op(
            [(x.transpose(1, 2) + 1).clone(memory_format=torch.contiguous_format)]
        )

    x = torch.arange(24.0).view(2, 3, 4)
    same = torch.equal(torch.compile(function, fullgraph=True)(x), function(x))
    return "" if same else "wrong values from a Tensor[] argument"


def opaque(library: Any) -> str:
    """Return an error text, or "" if torch passes no opaque objects to Inductor."""
    try:
        from torch._library.opaque_object import (
            get_opaque_type_name,
            register_opaque_type,
        )
    except ImportError:
        return ""
    if "hoist" not in inspect.signature(register_opaque_type).parameters:
        return ""

    register_opaque_type(Name, typ="value", hoist=True)
    op = define(
        library,
        f"named(Tensor x, {get_opaque_type_name(Name)} name) -> Tensor",
        lambda x, name: x.clone(),
    )
    name = Name()
    try:
        torch.compile(lambda x: op(x, name), fullgraph=True)(torch.ones(2))
    except Exception as error:
        if "attr 'stride'" not in str(error):
            raise
        return "an opaque argument does not compile"
    return ""
