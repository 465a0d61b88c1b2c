"""What changes generated code changes the keys of compile caches, for as long as it is in force.

Torch's own caches (FX graph, AOTAutograd, autotuning, PGO) mix `torch.compiler.config.cache_key_tag` into their keys. A
warm cache would hide a patch otherwise: the key is the graph's, and the code in the cache is stock. Or it would outlive
it. Reproduced on 2.11.0, 2.13.0 and 2.15.0. Removal: with the last shim that changes generated code.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .patch import Pairs, Patch, patches, shared
from .requirements import Parameters, Refers, Symbol

_TAG = "cache_key_tag"
_MARK = "+compat-"
_CONFIG = "torch.utils._config_module:ConfigModule"

# What a shim that changes generated code requires besides its own.
KEYED = (
    Symbol(f"{_CONFIG}.__getattr__", "function"),
    Parameters(f"{_CONFIG}.__getattr__", ("self", "name")),
    Refers(f"{_CONFIG}.__getattr__", "_config"),
    Refers("torch._inductor.codecache:FxGraphHashDetails.__init__", _TAG),
)


class CodegenPatch(Patch):
    """A patch that changes generated code. `part` says with what it enters the keys: "" where it is not in force."""

    def __init__(self, replacements: Pairs, part: Callable[[], str]) -> None:
        self.part = part
        super().__init__(replacements)

    def _put_in(self) -> None:
        _tag(sys.modules["torch.compiler.config"], True)
        super()._put_in()

    def _take_out(self) -> None:
        super()._take_out()
        if not any(patch.holders for patch in patches if hasattr(patch, "part")):
            _tag(sys.modules["torch.compiler.config"], False)


def parts() -> set[str]:
    """What is in force in this thread or task, of all copies of `compat` in this process."""
    return {patch.part() for patch in patches if patch.holders and hasattr(patch, "part")} - {""}


def digest(parts: Iterable[str]) -> str:
    ordered = sorted(set(parts))
    return hashlib.sha256(" ".join(ordered).encode()).hexdigest()[:16] if ordered else ""


def _users(config: Any) -> str:
    """What the user has set. Torch keeps it below, out of reach of a property. Somebody may have read the tag with ours
    in it, and put that back: mock.patch.object does."""
    return str(config.__getattr__(_TAG)).partition(_MARK)[0]


def _tagged(config: Any) -> str:
    ours = digest(parts())
    return _users(config) + (f"{_MARK}{ours}" if ours else "")


_property = shared("cache_key_tag/1", lambda: property(_tagged))


def _tag(config: Any, put_in: bool) -> None:
    """Every config module of torch is the one instance of a class of its own, where a property goes before the value;
    torch's `__setattr__`, `patch` and `save_config` pass it by."""
    cls = type(config)
    if put_in and _TAG not in vars(cls):
        setattr(cls, _TAG, _property)
    elif not put_in and vars(cls).get(_TAG) is _property:
        delattr(cls, _TAG)
        if _MARK in str(config.__getattr__(_TAG)):
            setattr(config, _TAG, _users(config))
