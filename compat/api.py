"""Call private functions of torch by one name, on every torch that has them.

Each function stands for private names that move between releases of torch, or for a
patch that engines put around a call. Requirements choose how it works on this torch, as
they do for a shim. `compat.status()` lists each function with its mode, as kind "api".

These calls are asked for by name, so a call never silently does nothing. If this torch
cannot have it, or if `TORCH_COMPAT=noop` is set, `UnsupportedError` gives the reason.
Calls that need nothing but torch work in any case: `custom_class_base`, and
`standalone_compile` without a fake mode.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import UnsupportedError
from .shims import LEFT_OUT, explain_missing

if TYPE_CHECKING:
    # Each function is in the file of its shim, which is imported at the first use.
    from .shims.cache_outside_dynamo import cache_outside_dynamo
    from .shims.init_joint_graph_patterns import init_joint_graph_patterns
    from .shims.mark_unbacked import mark_unbacked
    from .shims.observe_cache_keys import observe_cache_keys
    from .shims.register_custom_class import custom_class_base, register_custom_class
    from .shims.standalone_compile import standalone_compile
    from .shims.trace_files import trace_files

__all__ = [
    "cache_outside_dynamo",
    "custom_class_base",
    "init_joint_graph_patterns",
    "mark_unbacked",
    "observe_cache_keys",
    "register_custom_class",
    "standalone_compile",
    "trace_files",
]
# The functions that have another name than the file of their shim.
_FILES = {"custom_class_base": "register_custom_class"}


def __getattr__(name: str) -> Any:
    """Return the function. In a copy without its shim, a call of it says so."""
    file = _FILES.get(name, name)
    if file in LEFT_OUT and LEFT_OUT[file][0] == "api":
        return _missing(file)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".shims.{file}", __package__), name)


def _missing(shim: str) -> Any:
    def missing(*_: Any, **__: Any) -> Any:
        raise UnsupportedError(explain_missing(shim, ()))

    return missing
