"""`observe_cache_keys`: see, replace or refuse the cache key of each compile.

Symptom: Torch has no call that tells the cache key of a compile. An engine replaces
`autograd_cache_key` or `compiled_fx_graph_hash` in torch's modules around each compile,
for all threads, and misses code that imported the function by name.
Upstream: none. torch 2.12 has functions that compute a key without a compile.
Affected: every torch so far (2.15).
Removal: when every supported torch can report the keys of a compile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, get_args

from ..patching.context import Context
from ..patching.patch import MakeReplacement, Wrapper
from ..probe.requirements import Refers, Symbol
from ._calls import OwnCall, demanded_context, open_values
from .base import Shim

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_KEY = f"{_CACHE}:autograd_cache_key"
_LOAD = f"{_CACHE}:AOTAutogradCache.try_load"
_HASH = "torch._inductor.codecache:compiled_fx_graph_hash"
_PREPARE = "torch._inductor.codecache:FxGraphCache.prepare_key"

Cache = Literal["aotautograd", "inductor"]
Callback = Callable[[str], "str | None"]
# Exceptions of callbacks during the lookup that this thread or task is in.
_raised: ContextVar[list[BaseException]] = ContextVar("compat_raised")


class _Observer(NamedTuple):
    cache: str
    callback: Any


def context(callback: Callback, cache: str) -> Context:
    """Return a context in which the callback gets the keys of this cache."""
    if cache not in get_args(Cache):
        raise ValueError(f"cache is {cache!r}; it can be {', '.join(get_args(Cache))}")
    return demanded_context(SHIM, _Observer(cache, callback))


def _observed(cache: str, key: str) -> str:
    """Show the key to the open blocks, innermost first. Return the key to use."""
    for observer in open_values(SHIM):
        if observer.cache == cache:
            try:
                answer = observer.callback(key)
                if not isinstance(answer, (str, type(None))):
                    text = f"the callback returned {answer!r}, which is neither a key"
                    raise TypeError(f"{text} nor None")
            except BaseException as error:
                _raised.get([]).append(error)
                raise
            key = key if answer is None else answer
    return key


def _replace_key(cache: str) -> MakeReplacement:
    """Have a function that computes keys show each one to the open blocks."""

    def replace(wrapper: Wrapper) -> Callable[..., Any]:
        wrapper.outermost = True  # other shims change the key, too

        def compute(*args: Any, **named: Any) -> Any:
            key, lines = wrapper.next(*args, **named)
            return _observed(cache, key), lines

        return compute

    return replace


def _replace_try_load(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `try_load` raise what a callback raised.

    Torch takes an Exception for a graph that has no key, and compiles without the
    cache.
    """

    def try_load(*args: Any, **named: Any) -> Any:
        raised: list[BaseException] = []
        token = _raised.set(raised)
        try:
            result = wrapper.next(*args, **named)
        finally:
            _raised.reset(token)
        if raised:
            raise raised[0]
        return result

    return try_load


SHIM = Shim(
    name="observe_cache_keys",
    kind="api",
    upstream="none",
    changes_codegen=False,
    revision=1,
    native=(OwnCall(_KEY, "report the cache keys of a compile"),),
    backport=(
        Symbol(_KEY, "function"),
        Symbol(_LOAD, "function"),
        Refers(_LOAD, "autograd_cache_key"),
        Symbol(_HASH, "function"),
        Refers(_PREPARE, "compiled_fx_graph_hash"),
    ),
    replacements={
        _KEY: _replace_key("aotautograd"),
        _HASH: _replace_key("inductor"),
        _LOAD: _replace_try_load,
    },
)
