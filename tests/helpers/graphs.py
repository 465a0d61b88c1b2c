"""Small graphs that Inductor compiles without C++, and the caches that it fills."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


@contextmanager
def compiling(folder: str) -> Iterator[None]:
    """Compile quickly, with this folder as the cache. For a process that runs one function."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from compat.selfcheck.quick import compile_quickly

    with compile_quickly(call_operators=True):
        yield


def graph(factor: float = 2.0) -> torch.fx.GraphModule:
    """Return a graph of one input. Each factor has its own cache key."""
    return torch.fx.symbolic_trace(lambda x: (torch.ops.aten.mul.Tensor(x, factor),))


def keys_in(folder: str, cache: str) -> list[str]:
    """List the keys under which a cache has saved entries: "aotautograd" or "fxgraph"."""
    depth = {"aotautograd": "*", "fxgraph": "*/*"}[cache]
    return sorted(path.name for path in Path(folder, cache).glob(depth) if path.is_dir())


def raised(function: Callable[[], Any]) -> str:
    """Return what the function raises, as "Type: text", or ""."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""
