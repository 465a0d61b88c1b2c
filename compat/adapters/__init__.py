"""One table for each torch that differs from the one before: the mode in which it should have every shim.

The table is what the version lets us expect. What a torch really gets is decided in `selection`, by requirements.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from . import noop, torch_2_9, torch_2_10, torch_2_11, torch_2_12, torch_2_13, torch_2_14, torch_2_15

if TYPE_CHECKING:
    from packaging.version import Version

NEWEST_FIRST: tuple[ModuleType, ...] = (torch_2_15, torch_2_14, torch_2_13, torch_2_12, torch_2_11, torch_2_10, torch_2_9)


def adapter_for(version: Version | None) -> ModuleType:
    """The newest adapter that is not newer than `version`; `noop` for older torches and for no readable version.

    Compares release numbers alone: `2.12.0a0+x`, `2.12.0.dev20260301` and `2.12.0rc1` are all 2.12 here, where an
    ordinary comparison puts them before it.
    """
    release = version.release if version else ()
    return next((adapter for adapter in NEWEST_FIRST if release >= adapter.TORCH), noop)
