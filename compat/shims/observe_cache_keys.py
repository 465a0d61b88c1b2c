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
from typing import Any, Literal, NamedTuple

from ..patching.context import Context
from ..patching.patch import MakeReplacement, Wrapper
from ..probe.requirements import Refers, Symbol
from ._calls import OwnCall, demanded_context
from .base import Shim

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_KEY = f"{_CACHE}:autograd_cache_key"
_LOAD = f"{_CACHE}:AOTAutogradCache.try_load"
_HASH = "torch._inductor.codecache:compiled_fx_graph_hash"
_PREPARE = "torch._inductor.codecache:FxGraphCache.prepare_key"

_CACHES = ("aotautograd", "inductor")
# Exceptions of callbacks during the lookup that this thread or task is in.
_raised: ContextVar[list[BaseException]] = ContextVar("compat_raised")


class _Observer(NamedTuple):
    cache: str
    callback: Any


def observe_cache_keys(
    callback: Callable[[str], str | None],
    *,
    cache: Literal["aotautograd", "inductor"] = "aotautograd",
) -> Context:
    """Call back with the cache key of each graph that is compiled.

    Holds for the thread or asyncio task that enters the context, until it is left. The
    callback gets the key that torch will use, after all shims. It is not called for a
    graph without a key: if the cache is off, or cannot take the graph. Nested contexts
    are called from the inside out, and each gets the key that the previous one chose.

    It stands for replacing `autograd_cache_key`, which returns a pair on every torch
    and is called in other ways from 2.12 on, or `compiled_fx_graph_hash`.

    Args:
        callback: gets a key. It returns None to keep the key, or another key. If it
            raises, the compile ends with that exception.
        cache: "aotautograd" for the key of AOTAutograd's cache, which
            `standalone_compile` saves artifacts under; "inductor" for the key of
            Inductor's FX graph cache.

    Returns:
        A context manager. It yields nothing.

    Raises:
        ValueError: the word for the cache is unknown.
        UnsupportedError: this torch computes its keys in another way.

    """
    if cache not in _CACHES:
        raise ValueError(f"cache is {cache!r}; it can be {', '.join(_CACHES)}")
    return demanded_context(SHIM, _Observer(cache, callback))


def _observed(cache: str, key: str) -> str:
    """Show the key to the open blocks, innermost first. Return the key to use."""
    for observer in SHIM.scopes.values():
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
