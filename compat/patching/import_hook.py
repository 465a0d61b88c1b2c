"""Act when torch modules are first imported, and again when one is reloaded.

The hook watches the loader that is about to run a module, not the search for it. So
`importlib.util.find_spec` on a target runs nothing and uses nothing up, and a failed
import leaves everything armed for the next try. The loader has its own method back
before the module's first line runs, and the finder leaves `sys.meta_path` with its
last watcher.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .registry import serialized


class Watcher:
    """Calls `act` as soon as all these modules are imported, and after each reload.

    That is at the start, if they are imported; else in the thread that imports the last
    one, before its import statement ends.

    Args:
        names: full names of modules.
        act: must not raise: an import of torch would fail with its exception.

    """

    def __init__(self, names: Iterable[str], act: Callable[[], None]) -> None:
        self.names = frozenset(names)
        self.act = act
        self.executed: set[str] = set()
        self.acted = False

    def start(self) -> None:
        if _finder.add(self):
            self.run()

    def stop(self) -> None:
        """Stop watching. Doing it twice, or before the start, does no harm."""
        _finder.remove(self)

    def run(self) -> None:
        self.acted = True
        self.act()


class _Finder:
    """First on `sys.meta_path` while there are watchers. It finds nothing itself."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        # Modules that have run, but Python still counts as being imported.
        self.ending: set[str] = set()

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not any(name in watcher.names for watcher in self.watchers):
            return None
        # Only the finders behind this one: those in front have been asked, and may be
        # the same hook of another copy.
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else ():
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                self._watch(name, spec.loader)
                return spec
        return None

    def _watch(self, name: str, loader: Any) -> None:
        run = getattr(loader, "exec_module", None)
        if run is None:
            return  # a namespace package, or a loader of the old protocol
        before = getattr(loader, "__dict__", {}).get("exec_module")

        def exec_module(module: ModuleType) -> None:
            if before is None:
                del loader.exec_module
            else:
                loader.exec_module = before
            run(module)
            self.ending.add(name)
            try:
                for watcher in self.executed(name):
                    watcher.run()
            finally:
                self.ending.discard(name)

        # Some loaders take no attributes. Then `catch_up` notices the module.
        with suppress(AttributeError):
            loader.exec_module = exec_module

    @serialized
    def executed(self, name: str) -> list[Watcher]:
        """Note that the module has run. Return the watchers that must act now."""
        watchers = [watcher for watcher in self.watchers if name in watcher.names]
        for watcher in watchers:
            watcher.executed.add(name)
        # Decided under the lock: if two threads import the last two modules, one acts.
        # If both did, each could hold a lock and wait for the other's import. Acting
        # comes after the lock, because it may import.
        return [watcher for watcher in watchers if watcher.executed == watcher.names]

    @serialized
    def add(self, watcher: Watcher) -> bool:
        """Start to watch. Return whether all modules are imported already."""
        self.watchers.append(watcher)
        return self.refresh(watcher)

    @serialized
    def refresh(self, watcher: Watcher) -> bool:
        if self.watchers and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        watcher.executed |= {name for name in watcher.names if is_imported(name)}
        return watcher.executed == watcher.names

    @serialized
    def remove(self, watcher: Watcher) -> None:
        # A signal handler may do the same in the middle of this.
        with suppress(ValueError):
            self.watchers.remove(watcher)
        while not self.watchers and self in sys.meta_path:
            with suppress(ValueError):
                sys.meta_path.remove(self)


_finder = _Finder()


def catch_up() -> None:
    """Act for modules that were imported without this hook noticing.

    That happens if a loader has no `exec_module` or takes no attributes, or if another
    library restores `sys.meta_path`.
    """
    if _finder.watchers and _finder not in sys.meta_path:
        _finder.refresh(_finder.watchers[-1])
    for watcher in list(_finder.watchers):
        if not watcher.acted and all(map(is_imported, watcher.names)):
            watcher.run()


def is_imported(name: str) -> bool:
    """Return whether the module is imported, and not in the middle of its import."""
    module = sys.modules.get(name)
    if module is None:  # not there, or kept from being imported
        return False
    if name in _finder.ending:
        return True
    try:
        spec = module.__spec__
        return getattr(spec, "_initializing", False) is not True
    except Exception:  # noqa: BLE001 (a stand-in whose `__getattr__` raises)
        return True
