"""`unique_fallback_key`: never let two graphs without a cache key share a cache entry.

Symptom: An AOT compile returns the code of **another program**. It happens to graphs
that have no cache key, in `torch.compile(...).aot_compile(...)` and in
`standalone_compile(..., aot=True)`. In place of the key, torch draws a number from
Python's global generator. Two graphs with one seed draw one number: in one process, or
in two processes with one cache folder. The draw also changes the random numbers that
the program itself gets.
Upstream: pytorch#194451, in 2.15.0.
Affected: 2.10 to 2.14.1. torch 2.9 compiles without the cache instead.
Removal: when no supported torch is older than 2.15.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Refers, Symbol, Takes
from .base import Shim

_TARGET = "torch._functorch._aot_autograd.autograd_cache:autograd_cache_key"


def _replace_autograd_cache_key(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `autograd_cache_key` return a UUID for a graph that has no key."""

    def autograd_cache_key(*args: Any, **named: Any) -> Any:
        before = random.getstate()
        key, lines = wrapper.next(*args, **named)
        # A key begins with a letter. Only the number in place of a key has a digit.
        if not key[:1].isdigit():
            return key, lines
        again = random.Random()
        again.setstate(before)
        # If another thread has drawn meanwhile, leave the generator alone: it must not
        # repeat that number. Another shim may have added to the key.
        drawn = str(again.random())
        if key.startswith(drawn) and again.getstate() == random.getstate():
            random.setstate(before)
        return uuid.uuid4().hex, lines

    return autograd_cache_key


SHIM = Shim(
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
        Refers(_TARGET, "get_hash"),
    ),
    replacements={_TARGET: _replace_autograd_cache_key},
)
