"""`cache_outside_dynamo`: use Inductor's cache for a graph compiled outside of Dynamo.

Symptom: Inductor refuses to cache a graph that is compiled outside of Dynamo. It has no
ShapeEnv there to check the guards of an entry with. An engine replaces `_get_shape_env`
of both caches and `_check_can_cache` around each compile, for all threads. Its own
class stands in for the ShapeEnv, and each attribute that a new torch reads breaks it
(`var_to_hint_override` in 2.11).
Upstream: none.
Affected: every torch so far (2.15).
Removal: when every supported torch has a setting for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

from ..patching.context import Context
from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol, Takes
from ._calls import OwnCall, demanded_context
from .base import Shim

_CODECACHE = "torch._inductor.codecache"
_FIND = f"{_CODECACHE}:GuardedCache._get_shape_env"
_CHECK = f"{_CODECACHE}:FxGraphCache._check_can_cache"
_SHAPES = "torch.fx.experimental.symbolic_shapes"
_ENV = f"{_SHAPES}:ShapeEnv"


def cache_outside_dynamo() -> Context:
    """Let Inductor's caches take graphs that are compiled outside of Dynamo.

    Holds for the thread or asyncio task that enters the context, until it is left. A
    lookup finds a ShapeEnv in which every guard holds, entries are saved without
    guards, and no graph is refused. So the caller must know that code with the same key
    is right for its inputs, and that the graph can be cached: torch would refuse some
    higher-order operators.

    It stands for replacing `FxGraphCache._get_shape_env`, the same function of
    `AOTAutogradCache`, and `FxGraphCache._check_can_cache`. It also covers a direct
    `FxGraphCache._lookup_graph`.

    Returns:
        A context manager. It yields nothing.

    Raises:
        UnsupportedError: this torch decides in another way whether it can cache.

    """
    return demanded_context(SHIM, True)


def _replace_get_shape_env(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `_get_shape_env` return a ShapeEnv whose guards always hold."""

    def get_shape_env(cls: Any) -> Any:
        return _always_true() if SHIM.scopes.values() else wrapper.next(cls)

    return get_shape_env


def _replace_check_can_cache(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `_check_can_cache` accept every graph."""

    def check_can_cache(*args: Any, **named: Any) -> Any:
        return None if SHIM.scopes.values() else wrapper.next(*args, **named)

    return check_can_cache


def _always_true() -> Any:
    return _made(importlib.import_module(_SHAPES).ShapeEnv)


@cache
def _made(shape_env: type) -> Any:
    """Make a ShapeEnv without guards. All else about it is torch's own."""

    class AlwaysTrue(shape_env):  # type: ignore[misc]
        def evaluate_guards_expression(self, *_: Any, **__: Any) -> bool:
            return True

        def get_pruned_guards(self, *_: Any, **__: Any) -> list[Any]:
            return []

        def produce_guards_expression(self, *_: Any, **__: Any) -> str:
            return ""

    return AlwaysTrue()


SHIM = Shim(
    name="cache_outside_dynamo",
    kind="api",
    upstream="none",
    changes_codegen=False,
    revision=1,
    native=(OwnCall(_FIND, "cache a graph that is compiled outside of Dynamo"),),
    backport=(
        Symbol(_FIND, "function"),
        Parameters(_FIND, ("cls",)),
        Symbol(_CHECK, "function"),
        Takes(_CHECK, "gm"),
        Symbol(_ENV, "class"),
        Takes(f"{_ENV}.evaluate_guards_expression", "code"),
        Takes(f"{_ENV}.get_pruned_guards", "symints"),
        Takes(f"{_ENV}.produce_guards_expression", "placeholders"),
        Refers(f"{_CODECACHE}:FxGraphCache._lookup_graph", "_get_shape_env"),
        Refers(f"{_CODECACHE}:FxGraphCache.prepare_key", "_check_can_cache"),
    ),
    replacements={_FIND: _replace_get_shape_env, _CHECK: _replace_check_can_cache},
)
