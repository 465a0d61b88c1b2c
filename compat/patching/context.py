"""Contexts: a `with` block holds for the thread or asyncio task that entered it.

Context variables decide who sees a block. A child task, `asyncio.to_thread` and
`contextvars.copy_context().run` see the block that they were started in. A new thread
or an executor's worker does not, unless Python hands it the context: option
`thread_inherit_context`, on by default in free-threaded Python 3.14. For all of them
the block ends when its `with` ends.
"""

from __future__ import annotations

import sys
import weakref
from _thread import get_ident
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any

from .patch import Claim, Patch, claims


class Scope(Claim):
    """The claim of one open `with` block."""

    __slots__ = ("context", "patch")

    def __init__(self, scopes: Scopes, value: Any, patch: Patch) -> None:
        super().__init__(get_ident(), scopes, value)
        self.patch = patch
        self.context: weakref.ref[Context] | None = None

    def end(self) -> None:
        self.patch.leave(self)
        self.context = None  # breaks the reference cycle with the callback, too

    def belongs_to(self, context: Context) -> bool:
        return self.context is not None and self.context() is context


class Scopes:
    """The open `with` blocks of one shim, and what its installs ask for."""

    def __init__(self) -> None:
        self.open: ContextVar[tuple[Scope, ...]] = ContextVar("compat", default=())

    def values(self) -> list[Any]:
        """Return the values of the blocks that are open here, innermost first."""
        # A scope without a claim has ended, even if a copied context still lists it.
        return [scope.value for scope in reversed(self.open.get()) if scope in claims]

    def requested(self) -> Any:
        """Return the value of the innermost block here, else of the last install.

        None if there is neither: torch decides for itself.
        """
        for value in self.values():
            return value
        for claim in reversed(list(claims)):
            if claim.scopes is self and claim.thread is None:
                return claim.value
        return None


class Context(ContextDecorator):
    """Returned by the context managers. Can be entered again, nested and by threads.

    Args:
        scopes: of the shim.
        value: what the block asks for.
        patch: applied meanwhile; None for a context that does nothing.
        on_failure: called with an Exception that kept the patch out; the block then
            runs without the patch, unless this raises.

    """

    def __init__(
        self,
        scopes: Scopes,
        value: Any,
        patch: Patch | None,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._scopes, self._value, self._patch = scopes, value, patch
        self._on_failure = on_failure

    def __enter__(self) -> None:
        if self._patch is None:
            return
        scope = Scope(self._scopes, self._value, self._patch)
        try:
            scope.context = self._watch(scope)
            here = [one for one in self._scopes.open.get() if one.context is not None]
            # Listed before it is claimed: a scope without a claim asks for nothing.
            self._scopes.open.set((*here, scope))
            self._patch.enter(scope)
        except Exception as error:  # noqa: BLE001 (the callback keeps it for `status`)
            self._patch.leave(scope)
            self._on_failure(error)
        except BaseException:
            scope.end()
            raise

    def __exit__(self, *error: object) -> None:
        scope = self._innermost()
        if scope is None:
            return
        try:
            scope.end()
            here = self._scopes.open.get()
            self._scopes.open.set(tuple([one for one in here if one is not scope]))
        except BaseException:
            scope.end()  # an interrupted exit is completed, then reported
            raise

    def _watch(self, scope: Scope) -> weakref.ref[Context]:
        # An interrupt between `__enter__` and the body, or at the start of `__exit__`,
        # keeps `__exit__` from running. Then the scope ends with its context.
        def collected(
            _: object, ending: Callable[[], bool] = sys.is_finalizing
        ) -> None:
            if not ending():
                scope.end()

        return weakref.ref(self, collected)

    def _innermost(self) -> Scope | None:
        """Return the innermost scope that this context has open.

        If there is none here, return the latest one elsewhere: a generator may be
        closed in another thread or task than the one that entered.
        """
        mine = [one for one in self._scopes.open.get() if one.belongs_to(self)]
        if not mine:
            scopes = [claim for claim in list(claims) if isinstance(claim, Scope)]
            mine = [one for one in scopes if one.belongs_to(self)]
        return mine[-1] if mine else None
