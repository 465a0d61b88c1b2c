"""`register_custom_class`: register a custom (opaque) class, by the words of today.

Symptom: Registering an opaque class warns three times from 2.14 on. torch 2.14 renamed
the function, the base class and the two words, and an engine that uses the old names
gets a warning for each. The new names do not exist before.
Upstream: `register_opaque_type` came in 2.10, `OpaqueBase` and `hoist` in 2.11,
`reconstruct_fn` in 2.12, and the new names in 2.14.
Affected: up to 2.13.
Removal: when no supported torch is older than 2.14.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..probe.requirements import Symbol, Takes
from ._calls import demanded_mode, taken_options
from .base import Shim

_MODULE = "torch._library.opaque_object"
_NEW = f"{_MODULE}:register_custom_class"
_OLD = f"{_MODULE}:register_opaque_type"
_BASES = (
    ("torch._custom_class_base", "CustomClassBase"),
    ("torch._opaque_base", "OpaqueBase"),  # from 2.14 on, importing it warns
)

_OLD_WORDS = {"constant": "value", "symbolic": "reference"}


def custom_class_base() -> type:
    """Return the base class that torch wants for custom (opaque) classes.

    `torch._custom_class_base.CustomClassBase` from 2.14 on, and
    `torch._opaque_base.OpaqueBase` from 2.11 to 2.13. Older torches have none and need
    none, so there it is `object`.
    """
    for module, name in _BASES:
        try:
            found: type = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        return found
    return object


def register_custom_class(
    cls: type,
    *,
    typ: Literal["constant", "symbolic"],
    hoist: bool = False,
    guard_fn: Callable[[Any], list[Any]] | None = None,
    members: Mapping[str, Any] | None = None,
    reconstruct_fn: Callable[..., Any] | None = None,
) -> None:
    """Register a custom (opaque) class, so that custom operators can take its objects.

    `torch._library.opaque_object.register_custom_class` from 2.14 on, and
    `register_opaque_type` from 2.10 to 2.13. The types have their names of 2.14: a
    "constant" class was a "value", and a "symbolic" one a "reference". The call warns
    on no torch.

    Args:
        cls: a subclass of `custom_class_base()`.
        typ: "constant" in the graph, or "symbolic": an input of the graph.
        hoist: make a constant an input of the graph (from 2.11 on).
        guard_fn: returns values of an object to guard on (from 2.11 on).
        members: how each member is traced, as torch's `MemberType` (from 2.11 on).
        reconstruct_fn: rebuilds an object after a compile (from 2.12 on).

    Raises:
        ValueError: the type is unknown. Torch raises it for a class that
            cannot be registered.
        TypeError: torch misses a base class or a method (`__eq__`, `__hash__`,
            `__fx_repr__`; on 2.10 `__repr__`).
        UnsupportedError: this torch has no custom classes (2.9.1), or lacks an option
            that was given.

    """
    options = {"hoist": hoist, "guard_fn": guard_fn, "members": members}
    _register(cls, typ, {**options, "reconstruct_fn": reconstruct_fn})


def _register(cls: type, typ: str, options: dict[str, Any]) -> None:
    """Register the class with torch. Options that are false are left out."""
    if typ not in _OLD_WORDS:
        raise ValueError(f"typ is {typ!r}; it can be {', '.join(_OLD_WORDS)}")
    mode = demanded_mode(SHIM)
    module = importlib.import_module(_MODULE)
    if mode == "native":
        function, word = module.register_custom_class, typ
    else:
        function, word = module.register_opaque_type, _OLD_WORDS[typ]
    given = {name: value for name, value in options.items() if value}
    function(cls, typ=word, **taken_options(SHIM, function, given))


SHIM = Shim(
    name="register_custom_class",
    kind="api",
    upstream="renamed in torch 2.14.0",
    changes_codegen=False,
    revision=1,
    native=(Takes(_NEW, "typ"),),
    backport=(Symbol(_OLD, "function"), Takes(_OLD, "typ")),
    replacements={},
)
