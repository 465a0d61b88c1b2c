"""Vendored copies: each alone under any package path, and several of them in one process."""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
from conftest import ASK, WORKING, made, same, split_kinds, state, status_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import compat
from compat.tools import vendor

T = TypeVar("T")

ALONE = """
import importlib, json, sys
sys.modules["compat"] = None  # the original cannot be imported
sys.path.insert(0, {path!r})
copy = importlib.import_module({package!r})
import torch
from torch.fx._lazy_graph_module import _LazyGraphModule
from torch.fx.passes.split_module import split_module
def lazy():
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    parts = split_module(graph, torch.nn.Module(), lambda node: int(node.name == "relu"))
    return isinstance(parts.submod_0, _LazyGraphModule)
modes = [lazy()]
with copy.lazy_graph_module(mode={mode!r}):
    modes.append(lazy())
copy.install("lazy_graph_module", mode={mode!r})
modes.append(lazy())
active = [row.name for row in copy.status() if row.active]
copy.uninstall("lazy_graph_module")
modes.append(lazy())
files = {{name: getattr(module, "__file__", None) for name, module in sys.modules.items()}}
print(json.dumps({{"modes": modes, "active": active, "key": copy.cache_key(), "files": files}}))
"""


@pytest.mark.parametrize("package", ["kompat", "engine.third_party._vendor.compat"])
@pytest.mark.parametrize("form", ["folder", "read-only folder", "zip"])
def test_a_copy_works_alone_under_any_package_path(package: str, form: str, tmp_path: Path) -> None:
    *parents, name = package.split(".")
    tree = tmp_path / "tree"
    vendor.run(str(tree.joinpath(*parents)), name, force=False, check=False)
    for depth in range(len(parents)):
        tree.joinpath(*parents[: depth + 1], "__init__.py").write_text("")
    path = tree
    if form == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "engine"), "zip", tree))
        shutil.rmtree(tree)
    if form == "read-only folder":
        read_only(tree)
    done = alone("-c", ALONE.format(path=str(path), package=package, mode=ASK), path=path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["modes"] == [False, True, True, False]
    assert found["active"] == ["lazy_graph_module"]
    assert found["key"] == ""
    inside = str(path.joinpath(*parents, name)) + os.sep
    loaded = {module: file for module, file in found["files"].items() if module.startswith(f"{package}.") and file}
    assert len(loaded) > 10
    assert all(file.startswith(inside) for file in loaded.values())
    original = str(Path(compat.__file__).parent) + os.sep
    assert not [file for file in found["files"].values() if file and file.startswith(original)]
    shown = alone("-m", package, "status", "--json", path=path)
    names = [shim["name"] for shim in json.loads(shown.stdout)["shims"]]
    assert names == [row.name for row in compat.status()], shown.stderr
    refused = alone("-m", package, "vendor", ".", path=path)
    assert refused.returncode == 2
    assert "vendored" in refused.stderr


def read_only(tree: Path) -> None:
    for path in [*tree.rglob("*"), tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def alone(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """A Python that starts elsewhere and finds packages in `path`."""
    command = [sys.executable, "-W", "ignore", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Three copies: two of one version, and one whose shim has other keys, as a version with other patches has."""
    tree = tmp_path_factory.mktemp("engines")
    for name in ("same_one", "same_two", "later"):
        vendor.run(str(tree), name, force=False, check=False)
    shim = tree / "later" / "shims" / "lazy_graph_module.py"
    text = shim.read_text()
    for key in ("scopes", "patches"):
        assert text.count(f'"lazy_graph_module/{key}/1"') == 1
        text = text.replace(f'"lazy_graph_module/{key}/1"', f'"lazy_graph_module/{key}/2"')
    shim.write_text(text)
    sys.path.insert(0, str(tree))
    yield {name: importlib.import_module(name) for name in ("same_one", "same_two", "later")}
    sys.path.remove(str(tree))


class Worker:
    """A thread that does one thing after another, and keeps its context variables in between."""

    def __init__(self) -> None:
        self._asked: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            act, answer = asked
            try:
                answer.set_result(act())
            except BaseException as error:  # noqa: BLE001
                answer.set_exception(error)

    def __call__(self, act: Callable[[], T]) -> T:
        answer: Future[T] = Future()
        self._asked.put((act, answer))
        return answer.result(60)

    def end(self) -> None:
        self._asked.put(None)
        self._thread.join(60)


@dataclasses.dataclass
class Opened:
    copy: str
    thread: int
    enabled: bool
    context: Any


class Model:
    """What torch should do, told without patches: a group of copies that share their keys acts as one layer. Layers
    lie in the order in which they came; the uppermost that has an opinion decides."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []
        self.installed: list[str] = []
        self.layers: list[str] = []

    @staticmethod
    def group(copy: str) -> str:
        return copy.partition("_")[0]

    def users(self, group: str) -> int:
        everyone = [*(opened.copy for opened in self.opened), *self.installed]
        return sum(self.group(copy) == group for copy in everyone)

    def settle(self) -> None:
        self.layers = [group for group in self.layers if self.users(group)]
        self.layers += [group for group in ("same", "later") if self.users(group) and group not in self.layers]

    def expected(self, thread: int) -> str:
        for group in reversed(self.layers):
            here = [o.enabled for o in self.opened if o.thread == thread and self.group(o.copy) == group]
            if here:
                return "lazy" if here[-1] else "plain"
            if group in map(self.group, self.installed):
                return "lazy"
        return "plain"


THREADS = st.integers(0, 2)
COPIES = st.sampled_from(["same_one", "same_two", "later"])


class Copies(RuleBasedStateMachine):
    modules: dict[str, ModuleType]

    def __init__(self) -> None:
        super().__init__()
        self.before, self.model = state(), Model()
        self.workers = [Worker(), Worker()]

    def on(self, thread: int, act: Callable[[], T]) -> T:
        return self.workers[thread - 1](act) if thread else act()

    @rule(thread=THREADS, copy=COPIES, enabled=st.booleans())
    def enter(self, thread: int, copy: str, enabled: bool) -> None:
        context = self.modules[copy].lazy_graph_module(enabled, mode=ASK)
        self.on(thread, context.__enter__)
        self.model.opened.append(Opened(copy, thread, enabled, context))
        self.model.settle()

    @precondition(lambda self: self.model.opened)
    @rule(data=st.data(), where=st.one_of(st.none(), THREADS))
    def leave(self, data: st.DataObject, where: int | None) -> None:
        """In any order; where it was entered (None), or elsewhere, as a generator is that another thread closes."""
        opened = self.model.opened.pop(data.draw(st.integers(0, len(self.model.opened) - 1)))
        self.on(opened.thread if where is None else where, lambda: opened.context.__exit__(None, None, None))
        self.model.settle()

    @rule(copy=COPIES)
    def install(self, copy: str) -> None:
        self.modules[copy].install("lazy_graph_module", mode=ASK)
        self.model.installed.append(copy)
        self.model.settle()

    @rule(copy=COPIES)
    def uninstall(self, copy: str) -> None:
        """From any copy: it takes back the latest install, whoever made that."""
        self.modules[copy].uninstall("lazy_graph_module")
        del self.model.installed[-1:]
        self.model.settle()

    @rule(thread=THREADS)
    def split(self, thread: int) -> None:
        assert self.on(thread, split_kinds) == self.model.expected(thread)

    @precondition(lambda self: hasattr(os, "fork"))
    @rule(thread=THREADS)
    def fork(self, thread: int) -> None:
        assert self.on(thread, lambda: in_child(lambda: self.child(thread)))

    def child(self, thread: int) -> bool:
        """In a child that has this thread alone: what others had opened is gone; the rest goes on, and can be left."""
        everything = self.model.opened
        self.model.opened = [o for o in everything if o.thread == thread]
        self.model.settle()
        right = made() == split_kinds() == self.model.expected(thread)
        for opened in self.model.opened:
            opened.context.__exit__(None, None, None)
        for _ in self.model.installed:
            self.modules["later"].uninstall("lazy_graph_module")
        right = right and same(self.before, state())
        for opened in everything:  # those of other threads, as generators that are collected here
            if opened.thread != thread:
                opened.context.__exit__(None, None, None)
        return right and same(self.before, state())

    @invariant()
    def every_thread_gets_what_it_asked_for(self) -> None:
        assert [self.on(thread, made) for thread in range(3)] == [self.model.expected(thread) for thread in range(3)]

    @invariant()
    def every_copy_says_whether_it_is_active(self) -> None:
        for name, module in self.modules.items():
            row = status_of(package=module)
            assert row.active == (self.model.group(name) in self.model.layers)
            assert row.mode == WORKING if self.model.installed else True

    def teardown(self) -> None:
        for opened in self.model.opened:
            self.on(opened.thread, lambda opened=opened: opened.context.__exit__(None, None, None))
        for _ in self.model.installed:
            self.modules["same_one"].uninstall("lazy_graph_module")
        for worker in self.workers:
            worker.end()
        assert same(self.before, state())


def in_child(act: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_copies_in_one_process_agree_with_a_plain_model(copies: dict[str, ModuleType]) -> None:
    split_kinds()  # imports what split_module needs on first use, which each forked child would have to do again
    machine = type("TheseCopies", (Copies,), {"modules": copies})
    wanted = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=wanted)


def in_a_new_process() -> tuple[str, str, bool]:
    return made(), split_kinds(), status_of().active


def test_a_spawned_process_starts_with_an_untouched_torch(copies: dict[str, ModuleType]) -> None:
    for copy in copies.values():
        copy.install("lazy_graph_module", mode=ASK)
    try:
        assert split_kinds() == "lazy"
        with (
            compat.lazy_graph_module(mode=ASK),
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        ):
            assert pool.submit(in_a_new_process).result() == ("plain", "plain", False)
    finally:
        for copy in copies.values():
            copy.uninstall("lazy_graph_module")


def test_copies_of_one_version_share_one_patch_and_a_later_one_has_its_own(copies: dict[str, ModuleType]) -> None:
    patches = [importlib.import_module(f"{name}.shims.lazy_graph_module")._patches for name in copies]
    with copies["same_one"].lazy_graph_module(mode=ASK), copies["later"].lazy_graph_module(mode=ASK):
        assert patches[0] is patches[1]
        assert patches[0] is not patches[2]
        assert patches[2]
