"""Process-wide use: `install`, `uninstall`, and the cache key of what is active."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

from .errors import UnsupportedError
from .patching.cache_key import digest, tokens
from .patching.import_hook import Watcher, catch_up
from .patching.patch import Claim, Patch
from .patching.registry import shared
from .selection import Mode, Selection, is_loaded, preview, requested_mode, select
from .shims.base import Kind, Shim, all_shims, named


class Install:
    """One call of `install` for one shim.

    It waits until the torch modules that the shim needs are imported. Then it puts the
    shim in; after a reload of torch's modules once more, for their new functions. The
    old functions keep their patch: code that holds them may still call them.
    """

    def __init__(self, shim: Shim, mode: str) -> None:
        self.shim, self.mode = shim, mode
        self.error = ""
        self.removed = False
        self._selection: Selection | None = None
        self._claims: dict[Patch, Claim] = {}
        self._watchers: list[Watcher] = []

    def arm(self) -> None:
        """Act now or when torch's modules come. Raises what `preview` raises.

        Also raises UnsupportedError if a mode asked for by name cannot be applied.
        """
        asked, _ = requested_mode(self.shim, self.mode)
        # Reading torch's source takes longest, so `auto` puts it off.
        if asked != "auto":
            self._selection = preview(self.shim, self.mode)
        if asked == "noop":
            return
        # Without torch, too: it may come on the path later.
        self._watchers.append(Watcher(self.shim.modules, self.act))
        for module in self.shim.late:
            self._watchers.append(Watcher((module,), self.catch_up))
        for watcher in self._watchers:
            watcher.start()
        if asked != "auto" and self.error:
            raise UnsupportedError(self.shim.explain(self.error))

    def act(self) -> None:
        """Put the shim in if it can be. Never raises an Exception: keeps it."""
        self.error = ""
        try:
            self.settle()
        except Exception as error:  # noqa: BLE001 (this may be an import of torch's)
            # Take out all of it: all of a shim's replacements apply, or none.
            self._take_out()
            self.error = self.shim.warn_of(error)

    def catch_up(self) -> None:
        """Act for what the import hook has missed. A failure is not tried again."""
        catch_up()
        if not self.error and is_loaded(self.shim):
            self.act()

    def settle(self) -> None:
        """Apply the patches that are not applied yet. Doing it twice does no harm."""
        if self.removed:
            return
        try:
            self._selection = selection = select(self.shim, self.mode)
        except UnsupportedError as error:  # torch is not what its source promised
            self._selection = Selection(self.shim.name, "noop", str(error), ())
            return
        if selection.mode == "noop":
            return
        # Not under the lock: another thread's import may need it meanwhile.
        self._claim(self.shim.required_patch(selection.mode))
        if selection.mode == "backport":
            for module in self.shim.late:
                self._claim(self.shim.patch(module))
        self.shim.error = ""  # of a context that failed before

    def _claim(self, patch: Patch | None) -> None:
        if patch is None or patch in self._claims:
            return
        claim = self._claims.setdefault(patch, self.shim.claim())
        try:
            patch.enter(claim)
        except BaseException:
            patch.leave(claim)
            self._claims.pop(patch, None)
            raise
        if self.removed:  # by another thread, while this one imported torch
            patch.leave(claim)

    def _take_out(self) -> None:
        for patch, claim in reversed(list(self._claims.items())):
            patch.leave(claim)
            self._claims.pop(patch, None)

    @property
    def selection(self) -> Selection:
        """Return the mode and the reason; until torch's modules come, by its source."""
        if self.error:
            why = f"putting it in failed: {self.error}"
            return Selection(self.shim.name, "noop", why, ())
        return self._selection or preview(self.shim, self.mode)

    @property
    def is_waiting(self) -> bool:
        """Whether the shim would be in by now, if torch's modules were imported."""
        return not self._claims and not self.error and not is_loaded(self.shim)

    def remove(self) -> None:
        """Take it out. If an exception ends this early, call it again."""
        self.removed = True
        for watcher in self._watchers:
            watcher.stop()
        self._take_out()
        with suppress(ValueError):
            _entries(self.shim).remove(self)


def _remove(entries: list[Install]) -> None:
    """Take all of them out. An exception that arrives meanwhile is raised then."""
    try:
        for entry in entries:
            entry.remove()
    except BaseException:
        for entry in entries:
            entry.remove()
        raise


# By the copy of `compat` that was asked, too: no copy takes back another one's install.
_installed: dict[tuple[str | None, str], list[Install]] = shared("installed/2", dict)


def _entries(shim: Shim) -> list[Install]:
    return _installed.setdefault((__package__, shim.name), [])


def install(*names: str, mode: Mode = "auto", kind: Kind = "fix") -> None:
    """Put shims in for the whole process, until `uninstall` is called as often.

    Torch need not be imported yet: each shim acts as soon as the torch modules that it
    needs are. Installs are counted. Either all named shims are installed, or none. A
    shim that cannot be put in later, while torch is imported, is reported by `status()`
    and by a CompatWarning. Safe in threads and under interruption.

    Args:
        names: of shims. Without names: every shim of this kind.
        mode: "auto", "native", "backport" or "noop".
        kind: "fix" (repairs), "speed" (same results, less time) or "policy".

    Raises:
        ValueError: a name or a word is unknown, or the name is one of `compat.api`.
        UnsupportedError: argument or environment name a mode that torch cannot have.

    """
    shims = _chosen(names, kind)
    for entry in _own_installs():
        entry.catch_up()
    made: list[Install] = []
    try:
        for shim in shims:
            made.append(Install(shim, mode))
            made[-1].arm()
        for entry in made:
            _entries(entry.shim).append(entry)
    except BaseException:
        _remove(made)
        raise


def uninstall(*names: str, kind: Kind = "fix") -> None:
    """Take back one `install` of each shim. The last one leaves torch as it was.

    A shim that is not installed, or not by this copy of compat, is ignored. Safe in
    threads and under interruption.

    Args:
        names: of shims. Without names: every shim of this kind.
        kind: as for `install`.

    Raises:
        ValueError: a name or the kind is unknown, or the name is one of `compat.api`.
            The message lists the known ones.

    """
    last = [_entries(shim)[-1:] for shim in _chosen(names, kind)]
    _remove([entry for found in last for entry in found])


def cache_key() -> str:
    """Return a digest of the shims that change generated code here, or "".

    Counts the shims that are in force in this thread or task, and the installed ones
    that wait for torch's modules. Mix it into cache keys of your own. It is the same
    before and after torch's modules are imported; if their source is not enough to
    tell, this imports them.

    Raises:
        ValueError: an environment variable names no mode.

    """
    for entry in _own_installs():
        entry.catch_up()
    made = [entry for entries in list(_installed.values()) for entry in entries]
    changing = [entry for entry in made if entry.shim.changes_codegen]
    coming = {entry.shim.token for entry in changing if _will_be_in(entry)}
    return digest(tokens() | coming)


def _will_be_in(entry: Install) -> bool:
    if entry.selection.undecided:
        select(entry.shim, entry.mode)  # imports what the shim needs, and so it acts
        entry.catch_up()
    return entry.selection.mode == "backport"


def current_install(shim: Shim) -> Install | None:
    """Return this copy's latest install of the shim."""
    entry = next(iter(_entries(shim)[-1:]), None)
    if entry is not None:
        entry.catch_up()
    return entry


def _own_installs() -> list[Install]:
    found = [own for (copy, _), own in list(_installed.items()) if copy == __package__]
    return [entry for entries in found for entry in list(entries)]


def _chosen(names: tuple[str, ...], kind: str) -> tuple[Shim, ...]:
    if kind not in get_args(Kind):
        raise ValueError(f"kind is {kind!r}; it can be {', '.join(get_args(Kind))}")
    shims = named(names)
    for shim in shims:
        if shim.kind == "api":
            raise ValueError(f"call compat.api.{shim.name}; it cannot be installed")
    return shims or tuple(s for s in all_shims() if s.kind == kind)
