"""Use PyTorch's private compile-stack behaviour without betting on a version number.

If torch has the behaviour, it is used as it is. If torch lacks it, a tested backport
stands in. Anywhere else nothing happens. `status()` says which of the three it is.
"""

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
