"""Patches: replacements put into torch's own functions, and taken out again.

A replacement exchanges the code of a function in place (see `bytecode`). So there is no name to rebind and no alias to
miss, nothing to inherit, and whatever someone else puts on top of the function meanwhile stays there untouched.

All copies of `compat` in one process share their patches through one registry; see `shared`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

from .bytecode import call_instead

T = TypeVar("T")

# The registry outlives every copy of compat that uses it, so its form is a promise between versions: a module in
# sys.modules whose dictionary maps keys to objects. Whoever changes what stands under a key changes the key.
_REGISTRY = "_torch_compat_registry"


def shared(key: str, make: Callable[[], T]) -> T:
    """The one object that all copies of `compat` in this process hold under `key`; the first to ask makes it."""
    registry = sys.modules.setdefault(_REGISTRY, ModuleType(_REGISTRY)).__dict__
    made: T = registry[key] if key in registry else registry.setdefault(key, make())
    return made


def _lock() -> threading.RLock:
    """Held across a fork, so that a child never starts with it taken by a thread that the child does not have."""
    made = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=made.release)
    return made


lock = shared("lock/1", _lock)
# function -> [its own code, then every code put on top of it, the last one being in force]
_layers: dict[FunctionType, list[CodeType]] = shared("layers/1", dict)

# Makes the callable that stands in for a function, from a function that still does what the original did.
Replace = Callable[[FunctionType], Callable[..., Any]]


class Patch:
    """All the replacements of one shim: they go in together or not at all, and the last one out takes them along."""

    def __init__(self, replacements: Iterable[tuple[FunctionType, Replace]]) -> None:
        self._changes = [
            (function, self._replacement(function, replace), _layers.setdefault(function, [function.__code__]))
            for function, replace in replacements
        ]
        self.count = 0  # how many have entered and not left yet

    @staticmethod
    def _replacement(function: FunctionType, replace: Replace) -> CodeType:
        original = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        original.__kwdefaults__ = function.__kwdefaults__
        return call_instead(function.__code__, replace(original))

    def enter(self) -> None:
        lock.acquire()  # not `with`: that costs a tenth of a microsecond more, and an engine counts them
        try:
            if not self.count:
                self._put_in()
            self.count += 1
        finally:
            lock.release()

    def leave(self) -> None:
        lock.acquire()
        try:
            self.count -= 1
            if not self.count:
                self._take_out()
        finally:
            lock.release()

    def _put_in(self) -> None:
        try:
            for function, code, layers in self._changes:
                if len(layers) == 1:
                    layers[0] = function.__code__
                function.__code__ = code
                layers.append(code)
        except BaseException:
            self._take_out()
            raise

    def _take_out(self) -> None:
        for function, code, layers in self._changes:
            if layers[-1] is code:
                layers.pop()
                # Otherwise someone outside put code of their own on top: it is theirs to remove.
                if function.__code__ is code:
                    function.__code__ = layers[-1]
            else:  # another version of compat is on top. By identity: codes compare equal by content.
                layers[:] = [layer for layer in layers if layer is not code]
