"""What most shims are: functions of torch, and what stands in for each of them while somebody wants it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType

from .cache import CodegenPatch
from .patch import Holder, Pairs, Patch, Replace, current, shared
from .probe import Live
from .requirements import Absent, Requirement
from .selection import Shim


class Replacing:
    """part: name and revision of the shim, as in "fx_strides/1". replacements: what to make of each function, by
    target (`module:qualified.name`), all of them required to be functions by the shim's backport. changes_codegen: if
    so, they are part of the compile caches' keys while they are in, as `part`, or as what `in_force` says it to be in
    this thread or task."""

    def __init__(
        self,
        part: str,
        replacements: Mapping[str, Replace],
        changes_codegen: bool,
        in_force: Callable[[], str] | None = None,
    ) -> None:
        self._replacements = replacements
        keyed = partial(CodegenPatch, part=in_force or (lambda: part))
        self._make: Callable[[Pairs], Patch] = keyed if changes_codegen else Patch
        self._patches: list[Patch] = shared(f"{part}/patches/1", list)  # a new one after each reload of torch's modules

    def install(self, mode: str) -> Callable[[], None]:
        """Puts the replacements in, for the whole process, where the mode is `backport`; gives back the way out."""
        if mode != "backport":
            return lambda: None
        holder, patch = Holder(self, None), self.patch()
        if patch is None:
            return lambda: None
        patch.enter(holder)
        return lambda: patch.leave(holder)

    def active(self) -> bool:
        return any(patch.holders for patch in self._patches)

    def patch(self) -> Patch | None:
        """The patch of the functions that torch has now: a new one after a reload of torch's modules. Where somebody
        has put a function of his own in the place of one of them, it is the last one, or there is none."""
        functions = [_function(target) for target in self._replacements]
        if None in functions:
            return self._patches[-1] if self._patches else None
        pairs = [(f, make) for f, make in zip(functions, self._replacements.values()) if f is not None]
        return current(self._patches, pairs, self._make)


def replacing(
    replacements: Mapping[str, Replace],
    *,
    name: str,
    kind: str,
    upstream: str,
    changes_codegen: bool,
    revision: int,
    native: tuple[Requirement, ...],
    backport: tuple[Requirement, ...],
) -> Shim:
    """The shim that is these replacements, and nothing else."""
    own = Replacing(f"{name}/{revision}", replacements, changes_codegen)
    return Shim(name, kind, upstream, changes_codegen, revision, native, backport, own.install, own.active)


def _function(target: str) -> FunctionType | None:
    """What stands under this name, if torch has put it there."""
    try:
        thing = Live().resolve(target)[1]
    except Absent:
        return None
    function = getattr(thing, "__func__", thing)  # a staticmethod's
    own = sys.modules[target.partition(":")[0]].__dict__
    return function if isinstance(function, FunctionType) and function.__globals__ is own else None
