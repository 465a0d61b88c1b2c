"""`cleared_cache_folder`: a compile goes on if another process clears the cache folder.

Symptom: FileNotFoundError ends a compile. Processes share the folders of the FX graph cache and of AOTAutograd's cache,
and one of them may clear a folder after another one has found that it exists and before it lists the folder or writes
to it.
Upstream: pytorch#196189, in 2.15.0. Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.

A folder that cannot be read holds no entries. A write into a folder that has gone is tried again. If an entry cannot be
written, the compile goes on without it, also under `strict_autograd_cache`, as on 2.15.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from ..patch import Layer
from ..replacing import replacing
from ..requirements import Parameters, Refers, Symbol

_CODECACHE = "torch._inductor.codecache"
_AUTOGRAD = "torch._functorch._aot_autograd.autograd_cache"
_LIST = f"{_CODECACHE}:GuardedCache.iterate_over_candidates"
_WRITE = f"{_AUTOGRAD}:AOTAutogradCache._write_to_local_cache"
_TRIES = 3


def _list(layer: Layer) -> Callable[..., Any]:
    def iterate_over_candidates(cls: Any, local: bool, remote_cache: Any, key: str) -> Iterator[Any]:
        if local:
            try:
                yield from layer.below.call(cls, True, None, key)
            except FileNotFoundError:
                pass
            except OSError:
                logging.getLogger(_CODECACHE).warning("%s unable to list cache entries", cls.__name__, exc_info=True)
        if remote_cache:
            yield from layer.below.call(cls, False, remote_cache, key)

    return iterate_over_candidates


def _write(layer: Layer) -> Callable[..., Any]:
    def write_to_local_cache(key: str, content: bytes) -> None:
        for left in reversed(range(_TRIES)):
            try:
                layer.below.call(key, content)
            except OSError as error:
                if left and isinstance(error, FileNotFoundError):
                    continue
                log = logging.getLogger(_AUTOGRAD)
                log.warning("AOTAutograd cache unable to write compiled graph: %s", error)
            return

    return write_to_local_cache


SHIM = replacing(
    {_LIST: _list, _WRITE: _write},
    name="cleared_cache_folder",
    kind="fix",
    upstream="pytorch#196189, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    # Listing a folder raises it by itself, so the name stands for one purpose: to catch it.
    native=(Refers(_LIST, "FileNotFoundError"),),
    backport=(
        Symbol(_LIST, "function"),
        Parameters(_LIST, ("cls", "local", "remote_cache", "key")),
        Refers(_LIST, "listdir"),
        Symbol(_WRITE, "function"),
        Parameters(_WRITE, ("key", "content")),
    ),
)
