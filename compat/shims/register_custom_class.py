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
import inspect
from typing import Any, Literal, get_args

from .. import version
from ..errors import UnsupportedError
from ..probe.requirements import Symbol, Takes
from ._calls import demanded_mode
from .base import Shim

_MODULE = "torch._library.opaque_object"
_NEW = f"{_MODULE}:register_custom_class"
_OLD = f"{_MODULE}:register_opaque_type"
_BASES = (
    ("torch._custom_class_base", "CustomClassBase"),
    ("torch._opaque_base", "OpaqueBase"),  # from 2.14 on, importing it warns
)

Typ = Literal["constant", "symbolic"]
_OLD_WORDS = {"constant": "value", "symbolic": "reference"}


def base() -> type:
    """Return torch's base class of custom classes; `object` if it has none."""
    for module, name in _BASES:
        try:
            found: type = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        return found
    return object


def register(cls: Any, typ: str, **options: Any) -> None:
    """Register the class with torch. Options that are false are left out."""
    if typ not in get_args(Typ):
        raise ValueError(f"typ is {typ!r}; it can be {', '.join(get_args(Typ))}")
    mode = demanded_mode(SHIM)
    module = importlib.import_module(_MODULE)
    if mode == "native":
        function, word = module.register_custom_class, typ
    else:
        function, word = module.register_opaque_type, _OLD_WORDS[typ]
    given = {name: value for name, value in options.items() if value}
    for name in given:
        if name not in inspect.signature(function).parameters:
            text = f"torch {version.text()} takes no {name}"
            raise UnsupportedError(f"{SHIM.name}: {text}")
    function(cls, typ=word, **given)


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
