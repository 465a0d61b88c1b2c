"""`fx_cache_pickle`: what cannot be pickled for a cache key makes Inductor go without the cache, not fail.

Symptom: An object that cannot be pickled for the cache key ends the compile. Some
object of the graph or the configuration, such as a prepacked weight with a blocked
layout, raises ValueError (pybind11: RuntimeError) when Inductor pickles it for the key
of the FX graph cache. For a TypeError or an AttributeError Inductor goes on without the
cache.
Upstream: pytorch#176557, in 2.11.0. Affected: up to 2.10; 2.9 fails for a PicklingError, too.
Removal: when no supported torch is older than 2.11.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_CACHE = "torch._inductor.codecache"
_TARGET = f"{_CACHE}:FxGraphCachePickler.dumps"
_BYPASS = f"{_CACHE}:BypassFxGraphCache"


def _dumping(wrapper: Wrapper) -> Callable[..., Any]:
    def dumps(pickler: Any, obj: Any) -> Any:
        try:
            return wrapper.next(pickler, obj)
        except (ValueError, pickle.PicklingError, RuntimeError) as error:
            text = str(error)
            if isinstance(error, RuntimeError) and not ("pybind11" in text and "is not pickleable" in text):
                raise
            # As torch does for the errors that it knows: its words, its logger.
            logging.getLogger(_CACHE).warning("Failed to pickle cache key", exc_info=True)
            raise sys.modules[_CACHE].BypassFxGraphCache("Failed to pickle cache key") from error

    return dumps


SHIM = Shim(
    name="fx_cache_pickle",
    kind="fix",
    upstream="pytorch#176557, in torch 2.11.0",
    changes_codegen=False,
    revision=1,
    # Pickling raises these by itself, so here the names stand for one purpose: to catch them.
    native=(Refers(_TARGET, "ValueError"), Mentions(_TARGET, "pybind11")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "obj")),
        Refers(_TARGET, "BypassFxGraphCache"),
        Symbol(_BYPASS, "class"),
    ),
    replacements={_TARGET: _dumping},
)
