"""A version-aware layer over PyTorch's private compile-stack behaviour, made to be vendored. See README.md."""

from .errors import CompatError, UnsupportedError
from .install import cache_key, install, uninstall
from .shims.lazy_graph_module import force_recompile, lazy_graph_module
from .shims.realize_on_reuse import realize_on_reuse
from .status import ShimStatus, status

__version__ = "0.2.0"

__all__ = [
    "CompatError",
    "ShimStatus",
    "UnsupportedError",
    "cache_key",
    "force_recompile",
    "install",
    "lazy_graph_module",
    "realize_on_reuse",
    "status",
    "uninstall",
]
