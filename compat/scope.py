"""Contexts: what a shim's `with` asks for holds in the thread or asyncio task that entered it, and there alone."""

from __future__ import annotations

from _thread import get_ident
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any

from .patch import Holder, Patch


class Scope(Holder):
    """One open context. It ends with its `with`, whoever ends that: a generator may be closed in another task or thread
    than the one that entered, and the scope must not outlive it there. An ended scope has no owner."""

    __slots__ = ("value",)

    def __init__(self, value: Any, owner: object) -> None:
        self.value, self.owner, self.thread = value, owner, get_ident()


class Scopes:
    """Who asked for what: the scopes of this thread or task, innermost last, and behind them the whole process."""

    def __init__(self) -> None:
        self.open: ContextVar[tuple[Scope, ...]] = ContextVar("compat", default=())
        self.installed: list[Any] = []

    def asked(self) -> Any:
        """The value that the innermost scope asks for; None where nobody asked, and torch decides for itself."""
        for scope in reversed(self.open.get()):
            if scope.owner is not None:
                return scope.value
        return self.installed[-1] if self.installed else None


class Context(ContextDecorator):
    """What a shim's function returns. Can be entered again, also while it is open, and from several threads."""

    def __init__(self, scopes: Scopes, value: Any, patch: Patch | None) -> None:
        self._open, self._value, self._patch = scopes.open, value, patch

    def __enter__(self) -> None:
        if self._patch is None:
            return
        scope = Scope(self._value, self)
        self._patch.enter(scope)
        here = self._open.get()
        if here and here[-1].owner is None:
            here = tuple([other for other in here if other.owner is not None])
        self._open.set((*here, scope))

    def __exit__(self, *error: object) -> None:
        if self._patch is None:
            return
        here = self._open.get()
        scope: Holder
        if here and here[-1].owner is self:
            scope, rest = here[-1], here[:-1]
        else:
            # Left out of order; or, a generator closed elsewhere, not in the thread or task that entered; or in a child
            # after a fork, which has let go of what other threads had entered.
            mine = [scope for scope in (*self._patch.holders, *here) if scope.owner is self]
            if not mine:
                return
            scope = mine[-1]
            rest = tuple([other for other in here if other is not scope])
        scope.owner = None
        self._open.set(rest)
        self._patch.leave(scope)
