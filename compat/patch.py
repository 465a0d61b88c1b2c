"""Patches: replacements put into torch's own functions, and taken out again.

A function gets its replacement by an exchange of its code in place (see `bytecode`). So there is no name to rebind and
no alias to miss, nothing to inherit, and whatever someone else puts on top of the function meanwhile stays there.

All copies of `compat` in one process, whatever their versions, share their patches through one registry; see `shared`.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import get_ident
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
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


class Holder:
    """Someone who wants a patch in: a thread, until it leaves, or (thread=None) the whole process. `owner` is None as
    soon as that is over."""

    __slots__ = ("owner", "thread")

    def __init__(self, owner: object, thread: int | None) -> None:
        self.owner, self.thread = owner, thread


patches: list[Patch] = shared("patches/1", list)


def _lock() -> threading.RLock:
    """Held across a fork, so that a child never starts with it taken by a thread that the child does not have."""
    made = threading.RLock()

    def forked() -> None:
        try:
            _without_other_threads()
        finally:
            made.release()

    if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows has no fork)
        os.register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=forked)
    return made


def _without_other_threads() -> None:
    """A forked child has one thread. What the others had entered nobody will leave there."""
    here = get_ident()
    for patch in patches:
        for holder in [holder for holder in patch.holders if holder.thread not in (None, here)]:
            holder.owner = None
            patch.leave(holder)


lock = shared("lock/1", _lock)


class Layer:
    """One replacement of one function, and what it needs to know of that."""

    __slots__ = ("added", "below", "call", "own")

    def __init__(self, own: FunctionType, replace: Replace) -> None:
        self.own = own  # does what the function does where nobody patched it; to be read, not to be called
        self.added: dict[str, Any] = {}  # keyword-only parameters, with defaults, that the replacement takes besides
        self.call = replace(self)
        self.below: Layer = self  # what is under this layer just now, set when it goes in; its `call` passes a call on


# Makes the callable that stands in for a function.
Replace = Callable[[Layer], Callable[..., Any]]
Pairs = Sequence[tuple[FunctionType, Replace]]


class Joint:
    """Where all copies of `compat` hang their layers over one function. The function has `code`, which calls the top
    layer, from when the first layer comes until the last one goes; else it has what it had `before`."""

    __slots__ = ("before", "bottom", "code", "defaults", "top")

    def __init__(self, function: FunctionType) -> None:
        self.before, self.defaults = function.__code__, function.__kwdefaults__
        own = FunctionType(
            self.before, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        own.__kwdefaults__ = function.__kwdefaults__
        self.bottom = self.top = Layer(own, lambda _: own)
        self.code = call_instead(self.before, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.top.call(*args, **kwargs)

    def hang(self, layer: Layer) -> None:
        """On top, but under the layers that add parameters: nobody else knows those."""
        over, below = None, self.top
        while below.added and not layer.added:
            over, below = below, below.below
        layer.below = below
        if over is None:
            self.top = layer
        else:
            over.below = layer

    def fit(self, function: FunctionType) -> None:
        """Has the function take what its layers add, and no more, now that they are others."""
        added: dict[str, Any] = {}
        layer = self.top
        while layer is not self.bottom:
            added.update(layer.added)
            layer = layer.below

        def call(*args: Any, **kwargs: Any) -> Any:
            # Defaults are not passed on: somebody may keep this code when the layer that knows them is gone.
            return self.top.call(*args, **{n: v for n, v in kwargs.items() if n not in added or v is not added[n]})

        old, self.code = self.code, call_instead(self.before, call if added else self, added)
        if function.__code__ is old:
            # At no time is there code whose parameters lack a default; a default without a parameter does no harm.
            function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **added}
            function.__code__ = self.code
            function.__kwdefaults__ = {**(self.defaults or {}), **added} if added else self.defaults


_joints: dict[FunctionType, Joint] = shared("joints/1", dict)


def _joint(function: FunctionType) -> Joint:
    joint, code = _joints.get(function), function.__code__
    # While there is no layer, code that somebody outside has put in is the function's own to us.
    if joint is None or (joint.top is joint.bottom and code is not joint.before and code is not joint.code):
        joint = _joints[function] = Joint(function)
    return joint


def unpatched(function: FunctionType) -> FunctionType:
    """The function as it is without any layer of ours."""
    with lock:
        joint = _joints.get(function)
        return joint.bottom.own if joint and function.__code__ is joint.code else function


class Patch:
    """All the replacements of one shim: they go in together or not at all, and the last one out takes them along."""

    def __init__(self, replacements: Pairs) -> None:
        with lock:
            self._layers = [(function, Layer(_joint(function).bottom.own, make)) for function, make in replacements]
            self.functions = tuple(function for function, _ in self._layers)
            self.holders: dict[Holder, None] = {}  # who has entered and not left yet, the latest last
            patches.append(self)

    def enter(self, holder: Holder) -> None:
        lock.acquire()  # not `with`: that costs a tenth of a microsecond more, and an engine counts them
        try:
            if not self.holders:
                self._put_in()
            self.holders[holder] = None
        finally:
            lock.release()

    def leave(self, holder: Holder) -> None:
        """Does nothing for a holder that is not in: a forked child may have let go of it already."""
        lock.acquire()
        try:
            if holder in self.holders:
                del self.holders[holder]
                if not self.holders:
                    self._take_out()
        finally:
            lock.release()

    def _put_in(self) -> None:
        try:
            for function, layer in self._layers:
                joint, code = _joints[function], function.__code__
                if code is not joint.before:
                    joint = _joint(function)
                # Otherwise the joint is in; or code that somebody outside has put over it, and which stays there.
                if code is joint.before:
                    function.__code__ = joint.code
                joint.hang(layer)
                if layer.added:
                    joint.fit(function)
        except BaseException:
            self._take_out()
            raise

    def _take_out(self) -> None:
        for function, layer in self._layers:
            joint = _joints[function]
            over = joint.top
            if over is layer:
                joint.top = layer.below
            else:  # under a layer of another version of compat; or, where it never got in, under none
                while over is not joint.bottom and over.below is not layer:
                    over = over.below
                if over is not joint.bottom:
                    over.below = layer.below
            if layer.added:
                joint.fit(function)
            if joint.top is joint.bottom and function.__code__ is joint.code:
                function.__code__ = joint.before


def current(made: list[Patch], replacements: Pairs, make: Callable[[Pairs], Patch] = Patch) -> Patch:
    """The patch of these functions, and the last of `made` from now on: a new one, or, where somebody has put back
    functions that were there before (as the undoing of a reload does), the one that they have had since then."""
    functions = tuple([function for function, _ in replacements])
    with lock:
        earlier = next((patch for patch in made if patch.functions == functions), None)
        made.append(earlier or make(replacements))
        if earlier:
            made.remove(earlier)  # where it was first; the list is at no time without a last one
        return made[-1]
