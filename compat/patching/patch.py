"""Patches: replacements put into torch's functions, and taken out again.

State is reconciled, not stepped through. `claims` says which patches are wanted, and
`Patch.reconcile` makes torch agree with it. Running it twice does no harm, and running
it again after an exception in the middle completes what was begun. So an interrupt
leaves torch patched with a claim, or as it was.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType
from typing import Any

from .bytecode import copied, trampoline
from .registry import in_forked_child, serialized, shared


class Claim:
    """One reason to apply a patch: an open context, or an install.

    Attributes:
        thread: the thread that made the claim, or None for the whole process.
        scopes: the `Scopes` in which the claim's value counts, or None.
        value: what is asked for there.

    """

    __slots__ = ("__weakref__", "scopes", "thread", "value")

    def __init__(
        self, thread: int | None = None, scopes: object = None, value: Any = None
    ) -> None:
        self.thread, self.scopes, self.value = thread, scopes, value


class Wrapper:
    """One replacement of one function. The callable that stands in gets it to use.

    Attributes:
        function: torch's function, which keeps its identity.
        original: does what the function does unpatched. Read it, do not call it:
            that would skip the wrappers in between.
        next: call this to pass a call on: to the next wrapper, or to the original.
        new_parameters: keyword-only parameters with their defaults that the
            replacement takes besides the function's own. Set by `make`.
        outermost: whether it sees the result of the other wrappers. Set by `make`.

    """

    __slots__ = ("call", "function", "new_parameters", "next", "original", "outermost")

    def __init__(self, function: FunctionType, make: MakeReplacement) -> None:
        self.function = function
        self.original = _point(function).original
        self.new_parameters: dict[str, Any] = {}
        self.outermost = False
        self.next: Callable[..., Any] = self.original
        self.call = make(self)


# Makes the callable that stands in for a function.
MakeReplacement = Callable[[Wrapper], Callable[..., Any]]
Replacements = Iterable[tuple[FunctionType, MakeReplacement]]


class PatchPoint:
    """One function of torch that is, or was, patched.

    While it has wrappers, the function's code calls the top one. Otherwise the
    function has the code that it had before.
    """

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        self.code, self.defaults = function.__code__, function.__kwdefaults__
        self.original = copied(function, self.code)
        self.top: Callable[..., Any] = self.original
        # By the names of the parameters that wrappers add.
        self._trampolines: dict[tuple[str, ...], CodeType] = {}
        self._trampoline({})

    def has_code_in_function(self) -> bool:
        return self.function.__code__ is self.code or self.has_trampoline_in_function()

    def has_trampoline_in_function(self) -> bool:
        return self.function.__code__ in list(self._trampolines.values())

    def apply(self, wrappers: list[Wrapper]) -> None:
        """Have exactly these wrappers in, the innermost first."""
        # Other threads may call the function meanwhile: each step leaves a chain that
        # ends at the original.
        top: Callable[..., Any] = self.original
        added: dict[str, Any] = {}
        for wrapper in wrappers:
            wrapper.next, top = top, wrapper.call
            if wrapper.new_parameters:
                added.update(wrapper.new_parameters)
        self.top = top
        if self.has_code_in_function():
            self._exchange(self._trampoline(added) if wrappers else self.code, added)
        # Otherwise another library has put code over ours, and it stays there.

    def _exchange(self, code: CodeType, added: dict[str, Any]) -> None:
        function = self.function
        signature_changes = len(self._trampolines) > 1
        if signature_changes:
            # At no time may a parameter lack its default.
            function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **added}
        function.__code__ = code
        if signature_changes:
            own = self.defaults
            function.__kwdefaults__ = {**(own or {}), **added} if added else own

    def _trampoline(self, added: dict[str, Any]) -> CodeType:
        names = tuple(added)
        if names not in self._trampolines:
            holder = self._without(dict(added)) if added else self
            # A call of the point itself would cost a tenth of creating an FX node.
            method = "__call__" if added else "top"
            self._trampolines[names] = trampoline(self.code, holder, method, names)
        return self._trampolines[names]

    def _without(self, added: dict[str, Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            # Defaults are not passed on: another library may keep this code after the
            # wrapper that knows these parameters has gone.
            for name, default in added.items():
                if kwargs.get(name) is default:
                    kwargs.pop(name, None)
            return self.top(*args, **kwargs)

        return call


class Patch:
    """Replacements that belong together: all of them are applied, or none.

    Args:
        replacements: functions, each with a function that makes its replacement.
        name: identifies the patch in `claimed`.

    """

    @serialized
    def __init__(self, replacements: Replacements, name: str = "") -> None:
        self.name = name
        self.wrappers = tuple(Wrapper(*replacement) for replacement in replacements)

    @serialized
    def enter(self, claim: Claim) -> None:
        """Put the patch in, if it is not. After an exception it is as it was."""
        try:
            claims[claim] = self
            self.reconcile()
        except BaseException:
            claims.pop(claim, None)
            self.reconcile()
            raise

    @serialized
    def leave(self, claim: Claim) -> None:
        """Take the patch out, if this is its last claim. Does nothing if it has left.

        An exception that arrives meanwhile is raised after that.
        """
        try:
            claims.pop(claim, None)
            self.reconcile()
        except BaseException:
            claims.pop(claim, None)
            self.reconcile()
            raise

    def reconcile(self) -> None:
        """Make this patch's functions agree with `claims`. Called under the lock."""
        # A signal handler or a finalizer may claim something in the middle of this.
        done: tuple[Patch, ...] | None = None
        while done != (active := claimed()):
            for wrapper in self.wrappers:
                function = wrapper.function
                _point(function).apply(_wrappers(function, active))
            done = active


# All open claims of all copies of `compat`, the latest last: the one place that says
# which patches are applied.
claims: dict[Claim, Patch] = shared("claims/2", dict)
_points: dict[FunctionType, PatchPoint] = shared("points/2", dict)


def claimed() -> tuple[Patch, ...]:
    """Return the applied patches, in the order of their first claims."""
    patches = list(claims.values())
    return tuple(patches if len(patches) < 2 else dict.fromkeys(patches))


def original_of(function: FunctionType) -> FunctionType:
    """Return what the function is without any of our wrappers."""
    point = _points.get(function)
    if point is None or not point.has_trampoline_in_function():
        return function
    return point.original


def _point(function: FunctionType) -> PatchPoint:
    point = _points.get(function)
    # With no wrapper in, new code is the function's own, whatever library put it there.
    # It may call our old trampoline, which stays at the old point.
    if point is None or (
        point.top is point.original and not point.has_code_in_function()
    ):
        point = _points[function] = PatchPoint(function)
    return point


def _wrappers(function: FunctionType, active: tuple[Patch, ...]) -> list[Wrapper]:
    """Return the function's wrappers in these patches, the innermost first."""
    found = [w for patch in active for w in patch.wrappers if w.function is function]
    return sorted(found, key=_place)


def _place(wrapper: Wrapper) -> tuple[bool, bool]:
    # Wrappers that add parameters go outside: no other wrapper takes these. A wrapper
    # of an older copy of `compat` has no attribute `outermost`.
    return bool(wrapper.new_parameters), getattr(wrapper, "outermost", False)


def _drop_claims_of_other_threads() -> None:
    # A forked child has one thread. No other thread will leave its contexts there.
    here = get_ident()
    for claim, patch in list(claims.items()):
        if claim.thread not in (None, here):
            patch.leave(claim)


shared("fork/2", lambda: in_forked_child(_drop_claims_of_other_threads))
