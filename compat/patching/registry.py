"""State that all copies of `compat` in one process share, and the lock around it.

Two engines in one process may each have a copy, of one version or of two. They meet
here. The form of the registry is a promise between versions: a dictionary from keys
to objects. A version that changes an object changes the object's key.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable
from functools import wraps
from time import sleep
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def shared(key: str, make: Callable[[], T]) -> T:
    """Return the one object that all copies of `compat` in this process hold.

    Args:
        key: names the object and the version of its form, as in "claims/1".
        make: makes the object; only the first copy that asks calls it.

    """
    # On `sys`, not in `sys.modules`: a test that restores sys.modules after the first
    # import (mock.patch.dict) would drop it, and a second copy would not find it.
    registry = vars(sys).setdefault("_torch_compat_registry", {})
    made: T = registry[key] if key in registry else registry.setdefault(key, make())
    return made


# One run of code under the lock: a list of its own, with the thread that runs it.
_Section = list[int]

_held: dict[str, _Section] = shared("lock/2", dict)


def _acquire(section: _Section) -> None:
    # One dictionary operation takes the lock and notes who holds it. With a Lock these
    # are two steps, and a KeyboardInterrupt between them leaves it locked for ever.
    # Sections take microseconds, so that a waiting thread may as well poll.
    while True:
        holder = _held.setdefault("section", section)
        if holder[0] == section[0]:  # this one, or one that it is nested in
            return
        sleep(0.0001)


def _release(section: _Section) -> None:
    if _held.get("section") is section:
        _held.pop("section", None)


def serialized(function: F) -> F:
    """Run the function in one thread at a time. Calls within one thread nest."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        section = [get_ident()]
        try:
            try:
                _acquire(section)
                return function(*args, **kwargs)
            finally:
                _release(section)
        finally:
            # Once more: an interrupt may have hit the release above. It does nothing
            # if the lock is free, or if another section has it by now.
            _release(section)

    return run  # type: ignore[return-value]


def in_forked_child(act: Callable[[], None]) -> None:
    """Run `act` in each forked child, before anything else runs there.

    The lock is held across the fork: a child has one thread, and if another thread
    held the lock at that moment, none would ever release it.
    """
    forks: list[_Section] = []

    def before() -> None:
        forks.append([get_ident()])
        _acquire(forks[-1])

    def after_in_parent() -> None:
        _release(forks.pop())

    def after_in_child() -> None:
        try:
            act()
        finally:
            _release(forks.pop())

    if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows has no fork)
        os.register_at_fork(
            before=before,
            after_in_parent=after_in_parent,
            after_in_child=after_in_child,
        )
