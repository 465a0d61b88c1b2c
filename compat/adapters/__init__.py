"""Say what each torch minor needs: one module a minor, each a list of differences.

The newest adapter lists every shim with the mode that it should have there. Each older
one names only what differs from the next newer one. This is an expectation: the
requirements decide which mode a shim really gets (see `selection`).
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from . import (
    torch_2_9,
    torch_2_10,
    torch_2_11,
    torch_2_12,
    torch_2_13,
    torch_2_14,
    torch_2_15,
)


def minor_of(adapter: ModuleType) -> tuple[int, int]:
    """Return the torch minor of an adapter: (2, 11) for `torch_2_11`."""
    _, major, minor = adapter.__name__.rpartition(".")[2].split("_")
    return int(major), int(minor)


NEWEST_FIRST: tuple[ModuleType, ...] = (
    torch_2_15,
    torch_2_14,
    torch_2_13,
    torch_2_12,
    torch_2_11,
    torch_2_10,
    torch_2_9,
)


def _named(adapter: ModuleType) -> dict[str, str]:
    # Import hooks (jaxtyping's) add names of their own to modules. No mode is a module.
    found = vars(adapter).items()
    return {k: v for k, v in found if not k.startswith("_") and isinstance(v, str)}


# In a vendored copy without the adapters of older torches: the range that it is for.
# `vendor` writes it into the copy.
VENDORED_FOR = ""


def is_left_out(version: Any) -> bool:
    """Return whether this vendored copy lacks the adapter of a torch; None: no."""
    known = bool(VENDORED_FOR and version)
    return known and version.release < minor_of(NEWEST_FIRST[-1])


# Every shim, in the order of the newest adapter.
NAMES: tuple[str, ...] = tuple(_named(NEWEST_FIRST[0]))


@cache
def modes_for(version: Any) -> dict[str, str]:
    """Return the mode that each shim should have on a torch.

    Args:
        version: a packaging Version; None counts as too old. Its release digits alone
            decide: `2.12.0a0+x`, `2.12.0.dev20260301` and `2.12.0rc1` are all 2.12
            here, where an ordinary comparison has them before it.

    Returns:
        Modes by shim. All are "noop" for a torch that is older than the oldest adapter.

    """
    release = version.release if version else ()
    modes: dict[str, str] = {}
    for adapter in NEWEST_FIRST:
        modes.update(_named(adapter))
        if release >= minor_of(adapter):
            return modes
    return dict.fromkeys(NAMES, "noop")
