"""Act when a torch module is first imported, and again when it is reloaded.

The hook watches the loader that is about to run the module, not the search for it: `importlib.util.find_spec` on a
target runs nothing and so uses nothing up, and an import that fails leaves everything armed for the next try. Nothing
is left behind: the loader has its own method back before the module's first line runs, and the finder leaves
`sys.meta_path` with its last watcher.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .patch import lock as _lock


class _Watcher:
    def __init__(self, names: Iterable[str], act: Callable[[], None]) -> None:
        self.names = frozenset(names)
        self.act = act
        self.ready: set[str] = set()


class _Finder:
    """First on `sys.meta_path` while there are watchers; finds nothing itself."""

    def __init__(self) -> None:
        self.watchers: list[_Watcher] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(name in watcher.names for watcher in self.watchers):
            return None
        # Those behind us alone: whoever stands before us has been asked, and may be the same hook of another copy.
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else ():
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                self._watch(name, spec.loader)
                return spec
        return None

    def _watch(self, name: str, loader: Any) -> None:
        run = getattr(loader, "exec_module", None)
        if run is None:
            return  # a namespace package: nothing to run
        before = getattr(loader, "__dict__", {}).get("exec_module")

        def exec_module(module: ModuleType) -> None:
            if before is None:
                del loader.exec_module
            else:
                loader.exec_module = before
            run(module)
            self.imported(name)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader that takes no attributes (a frozen or built-in module): torch has none

    def imported(self, name: str) -> None:
        with _lock:
            watchers = [watcher for watcher in self.watchers if name in watcher.names]
            for watcher in watchers:
                watcher.ready.add(name)
            # Decided here, so that of two threads that import the last two modules one acts: if both did, one could
            # hold what `act` locks and wait for the other's import, and the other for that lock.
            due = [watcher for watcher in watchers if watcher.ready == watcher.names]
        for watcher in due:
            _run(watcher)


_finder = _Finder()


def when_imported(names: Iterable[str], act: Callable[[], None]) -> Callable[[], None]:
    """Calls `act` as soon as all modules in `names` are imported: now, if they are, else in the thread that imports the
    last of them, before its import statement ends. Calls it again after each reload of one. Returns the way to stop it.

    An exception of `act` is not let into the import: `act` has to keep it where it will be asked for.
    """
    watcher = _Watcher(names, act)
    with _lock:
        _finder.watchers.append(watcher)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        watcher.ready |= {name for name in watcher.names if complete(name)}
        there = watcher.ready == watcher.names
    if there:
        _run(watcher)

    def stop() -> None:
        with _lock:
            if watcher in _finder.watchers:
                _finder.watchers.remove(watcher)
            if not _finder.watchers and _finder in sys.meta_path:
                sys.meta_path.remove(_finder)

    return stop


def _run(watcher: _Watcher) -> None:
    try:
        watcher.act()
    except Exception:  # noqa: BLE001
        pass


def complete(name: str) -> bool:
    """Whether this module is imported, and not just being so."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return name in sys.modules and not getattr(spec, "_initializing", False)
