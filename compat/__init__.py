"""Use PyTorch's private compile-stack behaviour without betting on a version number.

If torch has the behaviour, it is used as it is. If torch lacks it, a tested backport
stands in. Anywhere else nothing happens. `status()` says which of the three it is.
"""

from typing import TYPE_CHECKING

from . import api
from .errors import CompatError, CompatWarning, UnsupportedError
from .installation import cache_key, install, uninstall
from .probe.requirements import Answer
from .reporting import ShimStatus, status
from .selection import Mode
from .shims.base import Kind
from .shims.lazy_graph_module import force_recompile, lazy_graph_module
from .shims.realize_on_reuse import Numerics, realize_on_reuse

__version__ = "0.2.0"

__all__ = [
    "Answer",
    "CompatError",
    "CompatWarning",
    "Kind",
    "Mode",
    "Numerics",
    "ShimStatus",
    "UnsupportedError",
    "api",
    "cache_key",
    "force_recompile",
    "install",
    "lazy_graph_module",
    "realize_on_reuse",
    "status",
    "uninstall",
]
# The names that a smaller vendored copy may lack, each with a shim that it needs.
_SHIMS = {
    "Numerics": "realize_on_reuse",
    "api": "trace_files",  # or another function of `api`; without any, it is left out
    "force_recompile": "lazy_graph_module",
    "lazy_graph_module": "lazy_graph_module",
    "realize_on_reuse": "realize_on_reuse",
}

if not TYPE_CHECKING:  # or a type checker would accept every name

    def __getattr__(name: str) -> object:
        """Raise ImportError with the reason if the name was left out of this copy.

        `from compat import name` would replace an AttributeError and its reason.
        """
        from .shims import LEFT_OUT, explain_missing

        if _SHIMS.get(name) in LEFT_OUT:
            reason = explain_missing(_SHIMS[name], ())
            raise ImportError(f"{__name__}.{name}: {reason}", name=__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
