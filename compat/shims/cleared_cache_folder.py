"""`cleared_cache_folder`: finish a compile if another process clears the cache folder.

Symptom: A compile ends with FileNotFoundError if another process clears the cache. The
processes share the folders of the FX graph cache and of AOTAutograd's cache. One may
clear a folder after another one has found that it exists, and before that one lists the
folder or writes to it.
Upstream: pytorch#196189, in 2.15.0.
Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.

A folder that cannot be read holds no entries. A write into a folder that has gone is
tried again. If an entry cannot be written, the compile goes on without it, also under
`strict_autograd_cache`, as on 2.15.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_CODECACHE = "torch._inductor.codecache"
_AUTOGRAD = "torch._functorch._aot_autograd.autograd_cache"
_LIST = f"{_CODECACHE}:GuardedCache.iterate_over_candidates"
_WRITE = f"{_AUTOGRAD}:AOTAutogradCache._write_to_local_cache"
_TRIES = 3


def _replace_iterate_over_candidates(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `iterate_over_candidates` pass over a folder that cannot be listed."""

    def iterate_over_candidates(
        cls: Any, local: bool, remote_cache: Any, key: str
    ) -> Iterator[Any]:
        if local:
            try:
                yield from wrapper.next(cls, True, None, key)
            except FileNotFoundError:
                pass
            except OSError:
                text = "%s: unable to list the cache entries"
                log = logging.getLogger(_CODECACHE)
                log.warning(text, cls.__name__, exc_info=True)
        if remote_cache:
            yield from wrapper.next(cls, False, remote_cache, key)

    return iterate_over_candidates


def _replace_write_to_local_cache(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `_write_to_local_cache` try again, and never end the compile."""

    def write_to_local_cache(key: str, content: bytes) -> None:
        for _ in range(_TRIES):
            try:
                wrapper.next(key, content)
                return
            except OSError as error:
                failed = error
                if not isinstance(error, FileNotFoundError):
                    break
        log = logging.getLogger(_AUTOGRAD)
        log.warning("unable to write a cache entry: %s", failed)

    return write_to_local_cache


SHIM = Shim(
    name="cleared_cache_folder",
    kind="fix",
    upstream="pytorch#196189, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    # Listing a folder raises it, so the function names it only to catch it.
    native=(Refers(_LIST, "FileNotFoundError"),),
    backport=(
        Symbol(_LIST, "function"),
        Parameters(_LIST, ("cls", "local", "remote_cache", "key")),
        Refers(_LIST, "listdir"),
        Symbol(_WRITE, "function"),
        Parameters(_WRITE, ("key", "content")),
    ),
    replacements={
        _LIST: _replace_iterate_over_candidates,
        _WRITE: _replace_write_to_local_cache,
    },
)
