"""A watcher runs an action each time a module's code has run, and changes nothing else about the import."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import pytest

from compat.patching import import_hook

counter = itertools.count()


def when_imported(names: Iterable[str], act: Callable[[], None], hook: ModuleType = import_hook) -> Callable[[], None]:
    """Start to watch, and return what stops it."""
    watcher = hook.Watcher(names, act)
    watcher.start()
    return watcher.stop


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write source text as an importable module and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = []

    def write(text: str = "value = 1") -> str:
        names.append(f"imported_later_{next(counter)}")
        (tmp_path / f"{names[-1]}.py").write_text(text)
        importlib.invalidate_caches()
        return names[-1]

    yield write
    for name in names:
        module = sys.modules.pop(name, None)
        if module is not None:
            assert "exec_module" not in vars(module.__spec__.loader), "the hook left exec_module on the loader"


@pytest.fixture
def watch() -> Iterator[Callable[..., list[int]]]:
    """Hook the import of modules. Returns a list that grows by one with each call of the action."""
    stops = []

    def start(*names: str, act: Callable[[], None] = lambda: None) -> list[int]:
        calls: list[int] = []
        stops.append(when_imported(names, lambda: (calls.append(len(calls)), act())))
        return calls

    yield start
    for stop in stops:
        stop()
        stop()
    assert import_hook._finder not in sys.meta_path


def test_action_runs_after_module_code_and_before_import_returns(target, watch):
    name, seen = target("value = 1"), []
    watch(name, act=lambda: seen.append(sys.modules[name].value))
    assert seen == []
    importlib.import_module(name)
    assert seen == [1]


def test_hook_is_asked_before_finders_that_were_there(target, watch):
    name = target()
    sys.meta_path.insert(0, PathFinder)  # as an editable install puts one in front
    calls = watch(name)
    importlib.import_module(name)
    sys.meta_path.remove(PathFinder)
    assert calls == [0]


def test_action_runs_at_once_if_module_is_imported(target, watch):
    name = target()
    importlib.import_module(name)
    assert watch(name) == [0]


def test_module_without_spec_counts_as_imported(watch, monkeypatch):
    monkeypatch.setitem(sys.modules, "made_by_hand", ModuleType("made_by_hand"))  # has no spec
    assert watch("made_by_hand") == [0]


class Raising(ModuleType):
    """Stands for a lazy module that cannot be had: each attribute that it lacks raises."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


def test_stand_in_whose_attributes_raise_counts_as_imported(watch, monkeypatch):
    monkeypatch.setitem(sys.modules, "made_by_hand", Raising("made_by_hand"))
    assert watch("made_by_hand") == [0]


def test_action_waits_for_last_of_several_modules(target, watch):
    first, second, third = target(), target(), target()
    importlib.import_module(first)
    calls = watch(first, second, third)
    importlib.import_module(third)
    assert calls == []
    importlib.import_module(second)
    assert calls == [0]


def test_action_runs_once_if_two_threads_import_the_last_modules(target, watch, monkeypatch):
    """Simulates a second thread that imports between the bookkeeping of the first import and its action."""
    names = [target(), target()]
    calls = watch(*names)
    executed = import_hook._Finder.executed

    def meanwhile(finder, name):
        due = executed(finder, name)
        if name == names[0]:
            importlib.import_module(names[1])
        return due

    monkeypatch.setattr(import_hook._Finder, "executed", meanwhile)
    importlib.import_module(names[0])
    assert calls == [0]


def test_find_spec_does_not_consume_hook(target, watch):
    name = target()
    calls = watch(name)
    for _ in range(2):
        spec = importlib.util.find_spec(name)
        assert spec is not None
    assert calls == []
    importlib.import_module(name)
    assert calls == [0]


def test_action_runs_if_spec_is_executed_by_hand(target, watch):
    name = target()
    calls = watch(name)
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert calls == [0]
    assert "exec_module" not in vars(spec.loader)


def test_failed_import_keeps_hook_for_next_attempt(target, watch, monkeypatch):
    name = target("import sys\nif not hasattr(sys, 'second_try'): raise ImportError('first')")
    calls, others = watch(name), watch(name)
    with pytest.raises(ImportError, match="first"):
        importlib.import_module(name)
    assert (calls, others) == ([], [])
    monkeypatch.setattr(sys, "second_try", True, raising=False)
    importlib.import_module(name)
    assert (calls, others) == ([0], [0])


def test_action_runs_again_after_each_reload(target, watch):
    name = target()
    calls = watch(name)
    module = importlib.import_module(name)
    importlib.reload(module)
    assert calls == [0, 1]
    importlib.reload(module)
    assert calls == [0, 1, 2]


def test_action_runs_in_importing_thread(target, watch):
    name, seen = target(), []
    watch(name, act=lambda: seen.append(threading.current_thread().name))
    thread = threading.Thread(target=importlib.import_module, args=(name,), name="importer")
    thread.start()
    thread.join()
    assert seen == ["importer"]


def test_hook_leaves_module_and_loader_unchanged(target, watch):
    watched, unwatched = target("import inspect\nframes = len(inspect.stack())"), target("")
    watch(watched)
    module, plain = importlib.import_module(watched), importlib.import_module(unwatched)
    assert type(module.__spec__.loader) is type(plain.__spec__.loader)
    assert vars(module.__spec__.loader).keys() == vars(plain.__spec__.loader).keys()
    assert module.__loader__ is module.__spec__.loader
    assert module.__file__ == module.__spec__.origin


def test_stopped_hook_is_not_called(target):
    name, calls = target(), []
    stop = when_imported([name], lambda: calls.append(1))
    stop()
    importlib.import_module(name)
    assert calls == []


def test_hook_stopped_after_find_spec_is_not_called(target):
    name, calls = target(), []
    stop = when_imported([name], lambda: calls.append(1))
    spec = importlib.util.find_spec(name)
    stop()
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert calls == []


def test_action_can_add_hooks_and_import_modules(target, watch):
    first, second = target(), target()
    inner: list[list[int]] = []
    outer = watch(first, act=lambda: (inner.append(watch(second)), importlib.import_module(second)))
    importlib.import_module(first)
    assert outer == [0]
    assert inner == [[0]]


def test_two_finder_copies_both_act_and_unregister(target, watch):
    name = target()
    spec = importlib.util.spec_from_file_location("compat.patching.import_hook_copy", import_hook.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    ours, theirs = watch(name), []
    stop = when_imported([name], lambda: theirs.append(1), copy)
    importlib.util.find_spec(name)
    importlib.import_module(name)
    assert (ours, theirs) == ([0], [1])
    importlib.reload(sys.modules[name])
    assert (ours, theirs) == ([0, 1], [1, 1])
    stop()
    assert copy._finder not in sys.meta_path


def test_hook_works_while_foreign_finders_come_and_go(target, watch):
    class Theirs:
        @staticmethod
        def find_spec(name: str, path: object = None, target: ModuleType | None = None) -> None:
            return None

    name, other = target(), target()
    before, behind = Theirs(), Theirs()
    sys.meta_path.insert(0, behind)
    calls, more = watch(name), watch(other)
    sys.meta_path.insert(0, before)
    importlib.import_module(name)
    sys.meta_path.remove(behind)
    importlib.import_module(other)
    sys.meta_path.remove(before)
    assert (calls, more) == ([0], [0])


def test_partly_imported_module_does_not_trigger_action(target, watch, monkeypatch):
    name = target("import sys\nsys.in_the_middle()\nvalue = 1")
    seen = []
    monkeypatch.setattr(
        sys,
        "in_the_middle",
        lambda: watch(name, act=lambda: seen.append(hasattr(sys.modules[name], "value"))),
        raising=False,
    )
    importlib.import_module(name)
    assert False not in seen, "the action ran before the last line of the module"


def test_missing_module_raises_and_triggers_nothing(watch):
    calls = watch("missing_module")
    with pytest.raises(ModuleNotFoundError, match="missing_module"):
        importlib.import_module("missing_module")
    assert importlib.util.find_spec("missing_module") is None
    assert calls == []


class Slotted:
    """A loader that accepts no attributes, like built-in loaders."""

    __slots__ = ()

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.value = 1


@pytest.mark.parametrize("loader", [Slotted(), object()])
def test_loader_that_accepts_no_attribute_is_left_unchanged(loader, watch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, loader) if name == "watched_in_vain" else None

    calls = watch("watched_in_vain")
    sys.meta_path.append(Finder)
    try:
        assert importlib.util.find_spec("watched_in_vain").loader is loader
        if isinstance(loader, Slotted):
            assert importlib.import_module("watched_in_vain").value == 1
            del sys.modules["watched_in_vain"]
            assert calls == []
            import_hook.catch_up()
            assert calls == []
            assert importlib.import_module("watched_in_vain").value == 1
            import_hook.catch_up()
            import_hook.catch_up()
            assert calls == [0]
            del sys.modules["watched_in_vain"]
    finally:
        sys.meta_path.remove(Finder)


def test_catch_up_acts_if_finder_was_removed(target, watch):
    name, later = target(), target()
    calls, late = watch(name), watch(later)
    sys.meta_path.remove(import_hook._finder)  # another library restores sys.meta_path
    importlib.import_module(name)
    assert calls == []
    import_hook.catch_up()
    assert calls == [0]
    importlib.import_module(later)
    assert late == [0], "the finder is not back"
