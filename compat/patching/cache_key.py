"""While a shim that changes generated code is active, it changes compile cache keys.

Torch's own caches (FX graph, AOTAutograd, autotuning, PGO) mix
`torch.compiler.config.cache_key_tag` into their keys. Otherwise a warm cache hides a
patch, because the key is the graph's and the cached code is stock; or the cache
outlives the patch. Reproduced on 2.11.0, 2.13.0 and 2.15.0. This can go with the last
shim that changes generated code.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .patch import Patch, Replacements, claimed, claims
from .registry import shared

_TAG = "cache_key_tag"
_MARK = "+compat-"


class CodegenPatch(Patch):
    """A patch that changes generated code.

    Args:
        token: returns what stands for the patch in cache keys of this thread or task;
            "" if the patch is not in force there.

    """

    def __init__(
        self, replacements: Replacements, token: Callable[[], str], name: str = ""
    ) -> None:
        self.token = token
        # Held, for torch may have left sys.modules by the time the patch goes.
        self.config = sys.modules["torch.compiler.config"]
        super().__init__(replacements, name)

    def reconcile(self) -> None:
        # The tag comes before the patch and goes after it: code that another thread
        # compiles in between is never cached under torch's own key.
        if self in claims.values():
            _set_tag(self.config, True)
        super().reconcile()
        configs = [getattr(patch, "config", None) for patch in claimed()]
        _set_tag(self.config, any(config is self.config for config in configs))


def tokens() -> set[str]:
    """Return what is in force in this thread or task, of all copies of `compat`."""
    return {patch.token() for patch in claimed() if hasattr(patch, "token")} - {""}


def digest(tokens: Iterable[str]) -> str:
    """Return a digest of the tokens in any order; "" for none."""
    text = " ".join(sorted(set(tokens)))
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _users_tag(config: Any) -> str:
    """Return the tag that the user has set.

    Torch keeps it below the reach of a property. Ours may have come into it: code that
    reads the tag and puts it back later (mock.patch.object) does that.
    """
    return str(config.__getattr__(_TAG)).partition(_MARK)[0]


def _tag(config: Any) -> str:
    ours = digest(tokens())
    return _users_tag(config) + (f"{_MARK}{ours}" if ours else "")


_property = shared("cache_key_tag/2", lambda: property(_tag))


def _set_tag(config: Any, wanted: bool) -> None:
    """Put a property in front of torch's setting, or take it away.

    Each config module of torch is the one instance of its own class, and there a
    property is found before the value. Torch's `__setattr__`, `patch` and
    `save_config` do not look at it.
    """
    cls = type(config)
    if wanted and _TAG not in vars(cls):
        setattr(cls, _TAG, _property)
    elif not wanted and vars(cls).get(_TAG) is _property:
        delattr(cls, _TAG)
        if _MARK in str(config.__getattr__(_TAG)):
            setattr(config, _TAG, _users_tag(config))
