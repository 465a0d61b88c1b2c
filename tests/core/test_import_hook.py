"""Acting when a module is imported: once for each time it runs, whatever else happens to the import."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from compat import importing
from compat.importing import when_imported

counter = itertools.count()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes source text as a module that can be imported, and gives its name."""
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
            assert "exec_module" not in vars(module.__spec__.loader), "nothing stays on the loader"


@pytest.fixture
def watch() -> Iterator[Callable[..., list[int]]]:
    """Watches the import of modules; gives a list that grows by one each time we are called."""
    stops = []

    def start(*names: str, act: Callable[[], None] = lambda: None) -> list[int]:
        calls: list[int] = []
        stops.append(when_imported(names, lambda: (calls.append(len(calls)), act())))
        return calls

    yield start
    for stop in stops:
        stop()
        stop()
    assert importing._finder not in sys.meta_path


def test_acts_when_the_module_has_run_and_before_the_import_statement_ends(target, watch):
    name, seen = target("value = 1"), []
    watch(name, act=lambda: seen.append(sys.modules[name].value))
    assert seen == []
    importlib.import_module(name)
    assert seen == [1]


def test_acts_at_once_where_the_module_is_there_already(target, watch):
    name = target()
    importlib.import_module(name)
    assert watch(name) == [0]


def test_a_module_that_somebody_has_made_by_hand_is_there(watch, monkeypatch):
    monkeypatch.setitem(sys.modules, "made_by_hand", ModuleType("made_by_hand"))  # has no spec
    assert watch("made_by_hand") == [0]


def test_waits_for_the_last_of_several_modules(target, watch):
    first, second, third = target(), target(), target()
    importlib.import_module(first)
    calls = watch(first, second, third)
    importlib.import_module(third)
    assert calls == []
    importlib.import_module(second)
    assert calls == [0]


def test_the_last_two_of_several_modules_at_once_are_one_reason_to_act(target, watch, monkeypatch):
    """What another thread does between the moment that a module is noted and the one in which we act."""
    names, lock = [target(), target()], importing._lock
    calls = watch(*names)

    class Meanwhile:
        def __enter__(self):
            lock.acquire()

        def __exit__(self, *error):
            lock.release()
            monkeypatch.setattr(importing, "_lock", lock)
            importlib.import_module(names[1])

    monkeypatch.setattr(importing, "_lock", Meanwhile())
    importlib.import_module(names[0])
    assert calls == [0]


def test_looking_for_the_module_without_importing_it_uses_nothing_up(target, watch):
    name = target()
    calls = watch(name)
    for _ in range(2):
        spec = importlib.util.find_spec(name)
        assert spec is not None
    assert calls == []
    importlib.import_module(name)
    assert calls == [0]


def test_a_spec_that_was_found_before_the_import_and_run_by_hand(target, watch):
    name = target()
    calls = watch(name)
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert calls == [0]
    assert "exec_module" not in vars(spec.loader)


def test_an_import_that_fails_leaves_everything_armed_for_the_next_try(target, watch, monkeypatch):
    name = target("import sys\nif not hasattr(sys, 'second_try'): raise ImportError('first')")
    calls, others = watch(name), watch(name)
    with pytest.raises(ImportError, match="first"):
        importlib.import_module(name)
    assert (calls, others) == ([], [])
    monkeypatch.setattr(sys, "second_try", True, raising=False)
    importlib.import_module(name)
    assert (calls, others) == ([0], [0])


def test_acts_again_after_each_reload(target, watch):
    name = target()
    calls = watch(name)
    module = importlib.import_module(name)
    importlib.reload(module)
    assert calls == [0, 1]
    importlib.reload(module)
    assert calls == [0, 1, 2]


def test_acts_in_the_thread_that_imports(target, watch):
    name, seen = target(), []
    watch(name, act=lambda: seen.append(threading.current_thread().name))
    thread = threading.Thread(target=importlib.import_module, args=(name,), name="importer")
    thread.start()
    thread.join()
    assert seen == ["importer"]


def test_the_module_and_its_import_are_what_they_would_be_without_us(target, watch):
    watched, unwatched = target("import inspect\nframes = len(inspect.stack())"), target("")
    watch(watched)
    module, plain = importlib.import_module(watched), importlib.import_module(unwatched)
    assert type(module.__spec__.loader) is type(plain.__spec__.loader)
    assert vars(module.__spec__.loader).keys() == vars(plain.__spec__.loader).keys()
    assert module.__loader__ is module.__spec__.loader
    assert module.__file__ == module.__spec__.origin


def test_a_watcher_that_raises_stops_neither_the_import_nor_the_other_watchers(target, watch):
    name = target()

    def fail() -> None:
        raise RuntimeError("mine")

    calls = watch(name), watch(name, act=fail), watch(name)
    assert importlib.import_module(name).value == 1
    assert calls == ([0], [0], [0])


def test_a_watcher_that_has_been_stopped_is_not_called(target):
    name, calls = target(), []
    stop = when_imported([name], lambda: calls.append(1))
    stop()
    importlib.import_module(name)
    assert calls == []


def test_stopped_between_the_search_and_the_run(target):
    name, calls = target(), []
    stop = when_imported([name], lambda: calls.append(1))
    spec = importlib.util.find_spec(name)
    stop()
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert calls == []


def test_a_watcher_may_watch_import_and_stop_while_it_acts(target, watch):
    first, second = target(), target()
    inner: list[list[int]] = []
    outer = watch(first, act=lambda: (inner.append(watch(second)), importlib.import_module(second)))
    importlib.import_module(first)
    assert outer == [0]
    assert inner == [[0]]


def test_two_copies_of_the_finder_both_act_and_leave_nothing(target, watch):
    name = target()
    spec = importlib.util.spec_from_file_location("compat.importing_copy", importing.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    ours, theirs = watch(name), []
    stop = copy.when_imported([name], lambda: theirs.append(1))
    importlib.util.find_spec(name)
    importlib.import_module(name)
    assert (ours, theirs) == ([0], [1])
    importlib.reload(sys.modules[name])
    assert (ours, theirs) == ([0, 1], [1, 1])
    stop()
    assert copy._finder not in sys.meta_path


def test_a_finder_of_somebody_else_may_come_and_go_before_and_behind_ours(target, watch):
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


def test_a_module_that_is_being_imported_is_not_there_yet(target, watch, monkeypatch):
    name = target("import sys\nsys.in_the_middle()\nvalue = 1")
    seen = []
    monkeypatch.setattr(
        sys,
        "in_the_middle",
        lambda: watch(name, act=lambda: seen.append(hasattr(sys.modules[name], "value"))),
        raising=False,
    )
    importlib.import_module(name)
    assert False not in seen, "never before its last line has run"


def test_a_name_that_cannot_be_imported(watch):
    calls = watch("nobody_has_this")
    with pytest.raises(ModuleNotFoundError, match="nobody_has_this"):
        importlib.import_module("nobody_has_this")
    assert importlib.util.find_spec("nobody_has_this") is None
    assert calls == []


class Slotted:
    """A loader that takes no attributes, as one that is built in."""

    __slots__ = ()

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.value = 1


@pytest.mark.parametrize("loader", [Slotted(), object()])
def test_a_loader_that_cannot_be_watched_is_left_as_it_is(loader, watch):
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
    finally:
        sys.meta_path.remove(Finder)
    assert calls == []
