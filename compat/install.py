"""Process-wide and lasting: `install`, `uninstall`, and the cache key of what is active."""

from __future__ import annotations

from collections.abc import Callable

from .cache import digest, parts
from .errors import UnsupportedError
from .importing import when_imported
from .patch import lock, shared
from .selection import Selection, Shim, asked_for, preview, select
from .shims import all_shims, named


class _Installed:
    """One call of `install` for one shim: armed until the torch modules it needs are there, then in."""

    def __init__(self, shim: Shim, mode: str) -> None:
        self.shim, self._mode = shim, mode
        self._undo: list[Callable[[], None]] = []
        self._removed = False
        self._stop: Callable[[], None] | None = None
        asked = asked_for(shim, mode)[0]
        # Reading torch's source takes longer than all the rest. It can wait until somebody wants to know, unless a mode
        # was asked for by name: who asks for what cannot be had is to hear of it here.
        self._selection = None if asked == "auto" else preview(shim, mode)
        if asked != "noop":  # also where there is no torch: it may still come
            self._stop = when_imported(shim.modules, self._confirm)

    @property
    def selection(self) -> Selection:
        """What was chosen; before the torch modules are there, what will be, by their source."""
        return self._selection or preview(self.shim, self._mode)

    def _confirm(self) -> None:
        """Puts the shim in: once, and once more after a reload of torch's modules, which makes new functions. The old
        ones keep what they have: somebody may call them by a name of his own, or put them back."""
        try:
            self._selection = select(self.shim, self._mode)
        except UnsupportedError as error:
            # Somebody's import of torch is running: not the place to raise. `status` has the reason.
            self._selection = Selection(self.shim.name, "noop", str(error), ())
        if self._selection.mode == "noop":
            return
        # Not under the lock: who may wait for somebody's import must hold nothing that the import may ask for.
        undo = self.shim.install(self._selection.mode)
        with lock:
            if not self._removed:
                self._undo.append(undo)
                return
        undo()  # it was uninstalled while torch was being imported in another thread

    def remove(self) -> None:
        if self._stop is not None:
            self._stop()
        with lock:
            self._removed = True
            undo, self._undo = self._undo, []
        for take_out in reversed(undo):
            take_out()


# By the copy of `compat` that was asked, too: none takes back what another one put in.
_installed: dict[tuple[str | None, str], list[_Installed]] = shared("installed/1", dict)


def install(*names: str, mode: str = "auto") -> None:
    """Puts shims in for the whole process, until `uninstall` has been called as often.

    names: shims by name; none: every shim of kind "fix". mode: as for the shims' context managers.
    Torch need not be imported yet: a shim acts as soon as the torch modules that it needs are. All named shims go in or
    none. Raises ValueError for an unknown name or word, UnsupportedError for a mode that this torch cannot have.
    """
    shims = named(names) if names else _fixes()
    done: list[tuple[str, _Installed]] = []
    try:
        for shim in shims:
            done.append((shim.name, _Installed(shim, mode)))
    except BaseException:
        for _, made in reversed(done):
            made.remove()
        raise
    with lock:
        for name, made in done:
            _installed.setdefault((__package__, name), []).append(made)


def uninstall(*names: str) -> None:
    """Takes back one `install` of each named shim (none: of every shim of kind "fix"). The last one out leaves torch as
    it was. A shim that is not installed, or not by this copy, is passed over. Raises ValueError for an unknown name."""
    for shim in named(names) if names else _fixes():
        with lock:
            entries = _installed.get((__package__, shim.name), [])
            last = entries.pop() if entries else None
        if last is not None:
            last.remove()


def installed(shim: Shim) -> Selection | None:
    """What the latest `install` of this shim got; None where it is not installed."""
    entries = _installed.get((__package__, shim.name))
    return entries[-1].selection if entries else None


def cache_key() -> str:
    """A digest of the shims that change generated code and are in force in this thread or task, or installed and
    waiting for the torch modules they need; "" where there are none. For an engine to mix into keys of its own."""
    with lock:
        made = [one for entries in _installed.values() for one in entries if one.shim.changes_codegen]
    return digest(parts() | {one.shim.part for one in made if one.selection.mode == "backport"})


def _fixes() -> tuple[Shim, ...]:
    return tuple(shim for shim in all_shims() if shim.kind == "fix")
