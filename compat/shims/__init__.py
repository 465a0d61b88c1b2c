"""One file a shim. The adapters' tables name them; nothing else lists them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import lru_cache

from ..adapters import noop
from ..selection import Shim


@lru_cache(maxsize=None)
def all_shims() -> tuple[Shim, ...]:
    names = [name for name in vars(noop) if not name.startswith("_")]
    return tuple(importlib.import_module(f".{name}", __name__).SHIM for name in names)


def named(names: Iterable[str]) -> tuple[Shim, ...]:
    """The shims with these names, in this order. Raises ValueError for a name that no shim has."""
    known = {shim.name: shim for shim in all_shims()}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no shim {name!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in names)
