"""`unique_fallback_key`: two graphs without a cache key never share an entry of AOTAutograd's cache.

Symptom: AOT compile (`torch.compile(...).aot_compile(...)`, `standalone_compile(..., aot=True)`) of a graph that has no
cache key returns the code of another program. In place of the key torch draws a number from Python's global generator.
Two graphs with one seed draw one number: in one process, or in two processes with one cache folder. The draw also
changes the random numbers that the program itself gets.
Upstream: pytorch#194451, in 2.15.0. Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from ..patch import Layer
from ..replacing import replacing
from ..requirements import Refers, Symbol, Takes

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_TARGET = f"{_CACHE}:autograd_cache_key"


def _draw_elsewhere(layer: Layer) -> Callable[..., Any]:
    def autograd_cache_key(*args: Any, **named: Any) -> Any:
        before = random.getstate()
        key, lines = layer.below.call(*args, **named)
        # The number in place of a key begins with a digit, and a key with a letter.
        if not key[:1].isdigit():
            return key, lines
        again = random.Random()
        again.setstate(before)
        # If another thread has drawn meanwhile, leave the generator alone: it must not repeat that number.
        if str(again.random()) == key and again.getstate() == random.getstate():
            random.setstate(before)
        return uuid.uuid4().hex, lines

    return autograd_cache_key


SHIM = replacing(
    {_TARGET: _draw_elsewhere},
    name="unique_fallback_key",
    kind="fix",
    upstream="pytorch#194451, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    # The function has no other use for it.
    native=(Refers(_TARGET, "uuid4"),),
    backport=(
        Symbol(_TARGET, "function"),
        Takes(_TARGET, "example_inputs"),
        Refers(_TARGET, "random"),
        Refers(_TARGET, "AOTAUTOGRAD_CACHE_PREFIX"),
    ),
)
