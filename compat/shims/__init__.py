"""Offer the shims: one file a shim, and the base that all of them are built with."""

from typing import TYPE_CHECKING

from ..adapters import NAMES

__all__ = list(NAMES)

if TYPE_CHECKING:
    # Shims are imported by name when they are first needed. Tools that freeze programs
    # (PyInstaller) read this line, and collect every module of this package.
    from . import *  # noqa: F403
