"""`fx_cache_pickle`: compile without the cache if its key cannot be pickled.

Symptom: An object that cannot be pickled for the cache key ends the compile. Some
object of the graph or the configuration, such as a prepacked weight with a blocked
layout, raises ValueError (pybind11: RuntimeError) when Inductor pickles it for the key
of the FX graph cache. For a TypeError or an AttributeError Inductor goes on without the
cache.
Upstream: pytorch#176557, in 2.11.0.
Affected: up to 2.10. torch 2.9 also fails for a PicklingError.
Removal: when no supported torch is older than 2.11.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_CACHE = "torch._inductor.codecache"
_TARGET = f"{_CACHE}:FxGraphCachePickler.dumps"
_BYPASS = f"{_CACHE}:BypassFxGraphCache"
_MESSAGE = "Failed to pickle cache key"
_PYBIND11 = ("pybind11", "is not pickleable")  # parts of pybind11's own message


def _replace_dumps(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `dumps` bypass the cache for more errors."""
    codecache = sys.modules[_CACHE]

    def dumps(pickler: Any, obj: Any) -> Any:
        try:
            return wrapper.next(pickler, obj)
        except (ValueError, codecache.pickle.PicklingError, RuntimeError) as error:
            by_pybind11 = all(words in str(error) for words in _PYBIND11)
            if isinstance(error, RuntimeError) and not by_pybind11:
                raise
            # The message and the logger that torch uses for the errors that it catches.
            logging.getLogger(_CACHE).warning(_MESSAGE, exc_info=True)
            raise codecache.BypassFxGraphCache(_MESSAGE) from error

    return dumps


SHIM = Shim(
    name="fx_cache_pickle",
    kind="fix",
    upstream="pytorch#176557, in torch 2.11.0",
    changes_codegen=False,
    revision=1,
    # The pickler raises these errors, so the function names them only to catch them.
    native=(Refers(_TARGET, "ValueError"), Mentions(_TARGET, "pybind11")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "obj")),
        Refers(_TARGET, "BypassFxGraphCache"),
        Symbol(f"{_CACHE}:pickle", "value"),
        Symbol(_BYPASS, "class"),
    ),
    replacements={_TARGET: _replace_dumps},
)
