"""Two engines in one process, each with its own copy of `compat`, share one torch without conflict."""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.this_torch import ASK, ROOT, same_on_every_torch
from helpers.torch_state import made, same, split_kinds, state, status_of

NAME = "lazy_graph_module"
COPIES = {"a": "engine_a/_vendor/compat", "b": "engine_b/_vendor/shim"}


@pytest.fixture(scope="module")
def engines(tmp_path_factory) -> Path:
    """Return a folder with both engines."""
    folder = tmp_path_factory.mktemp("engines")
    for copy in COPIES.values():
        shutil.copytree(ROOT / "compat", folder / copy, ignore=shutil.ignore_patterns("__pycache__", "tools"))
    return folder


def load(engines: Path) -> dict[str, ModuleType]:
    """Import both copies in a process that has not imported the original, and block the original."""
    assert "compat" not in sys.modules
    sys.modules["compat"] = None
    sys.path.insert(0, str(engines))
    return {who: importlib.import_module(copy.replace("/", ".")) for who, copy in COPIES.items()}


def seen() -> tuple[str, str]:
    return made(), split_kinds()


def any_order(engines: Path) -> list[Any]:
    """Let each copy enter, exit and install in every order. Returns the steps with a wrong result."""
    copies, before, wrong = load(engines), state(), []
    for order in sorted(
        set(itertools.permutations(["a scope", "a scope", "b scope", "b scope", "a install", "b install"]))
    ):
        scopes = {"a": copies["a"].lazy_graph_module(mode=ASK), "b": copies["b"].lazy_graph_module(False, mode=ASK)}
        entered, installed = [], []
        for step in (*order, "a install", "b install"):  # the second occurrence of a step undoes the first
            who, what = step.split()
            if what == "scope" and who in entered:
                scopes[who].__exit__(None, None, None)
                entered.remove(who)
            elif what == "scope":
                scopes[who].__enter__()
                entered.append(who)
            elif who in installed:
                copies[who].uninstall(NAME)
                installed.remove(who)
            else:
                copies[who].install(NAME, mode=ASK)
                installed.append(who)
            expected = {"a": "lazy", "b": "plain"}[entered[-1]] if entered else "lazy" if installed else "plain"
            if made() != expected:
                wrong.append((order, step, expected))
        if not same(before, state()):
            wrong.append((order, "torch is not as it was"))
    return wrong


def test_innermost_context_decides_in_any_order_of_use(fresh, engines):
    assert fresh(any_order, engines) == []


def nested(engines: Path) -> list[Any]:
    copies, before, told = load(engines), state(), []
    for outer, inner in itertools.product(copies.values(), repeat=2):
        with outer.lazy_graph_module(mode=ASK):
            with inner.lazy_graph_module(False, mode=ASK):
                told.append(seen())
                with outer.lazy_graph_module(mode=ASK):
                    told.append(seen())
            told.append(seen())
        told.append(seen())
    return [told, same(before, state())]


def test_nested_contexts_of_different_copies_follow_innermost(fresh, engines):
    told, untouched = fresh(nested, engines)
    assert told == [("plain", "plain"), ("lazy", "lazy"), ("lazy", "lazy"), ("plain", "plain")] * 4
    assert untouched


def overlapping(engines: Path) -> list[Any]:
    copies, before, there = load(engines), state(), []
    entered, left = threading.Event(), threading.Event()

    def other() -> None:
        with copies["b"].lazy_graph_module(False, mode=ASK):
            there.append(seen())
            entered.set()
            assert left.wait(20)
            there.append(seen())

    thread = threading.Thread(target=other)
    with copies["a"].lazy_graph_module(mode=ASK):
        thread.start()
        assert entered.wait(20)
        here = [seen()]
        active = [status_of(package=copy).active for copy in copies.values()]
    left.set()
    thread.join()
    return [here, there, active, same(before, state())]


def test_contexts_of_copies_in_overlapping_threads_stay_separate(fresh, engines):
    here, there, active, untouched = fresh(overlapping, engines)
    assert (here, there) == ([("lazy", "lazy")], [("plain", "plain")] * 2)
    assert active == [True, True]
    assert untouched


def files(engines: Path) -> list[str]:
    for copy in load(engines).values():
        with copy.lazy_graph_module():
            copy.status()
    names = [name for name in sys.modules if name.partition(".")[0] in ("compat", "engine_a", "engine_b")]
    assert sys.modules["compat"] is None
    return [sys.modules[name].__file__ for name in names if "_vendor." in name or name.startswith("compat.")]


@same_on_every_torch
def test_copies_load_only_their_own_modules(fresh, engines):
    loaded = fresh(files, engines)
    roots = [engines / copy for copy in COPIES.values()]
    assert all(any(root in Path(file).parents for root in roots) for file in loaded)
    assert not any("selfcheck" in file for file in loaded)
    modules = [path for root in roots for path in root.rglob("*.py") if "selfcheck" not in path.parts]
    command_lines = 2
    assert len(loaded) == len(modules) - command_lines


def each_its_own(engines: Path) -> list[Any]:
    copies, told = load(engines), []
    a, b = copies["a"], copies["b"]
    a.install(NAME, mode=ASK)
    b.uninstall(NAME)  # this copy has not installed it
    told.append(made())
    b.install(NAME, mode="noop")
    told.append((made(), status_of(package=b).mode))
    a.uninstall(NAME)
    told.append((made(), status_of(package=b).mode))
    b.uninstall(NAME)
    # An install by either copy is part of the key of both.
    a.install("realize_on_reuse", mode="backport")
    told.append(b.cache_key() == a.cache_key() != "")
    a.install("realize_on_reuse", mode="noop")
    told.append(b.cache_key() == a.cache_key() != "")
    a.uninstall("realize_on_reuse")
    a.uninstall("realize_on_reuse")
    told.append(b.cache_key())
    return told


def test_uninstall_removes_only_installs_of_same_copy(fresh, engines):
    assert fresh(each_its_own, engines) == ["lazy", ("lazy", "noop"), ("plain", "noop"), True, True, ""]


BEFORE_TORCH = """
import sys, json
sys.modules["compat"] = None
import engine_a._vendor.compat as a
import engine_b._vendor.shim as b
finders = list(sys.meta_path)
a.install("lazy_graph_module", mode={ask!r})
b.install("lazy_graph_module", mode={ask!r})
import torch
from torch.fx import _lazy_graph_module as lazy
def is_lazy():
    return lazy._get_graph_module_cls() is lazy._LazyGraphModule
seen = [is_lazy()]
for copy in (a, b):
    copy.uninstall("lazy_graph_module")
    seen.append(is_lazy())
own_code = "_use_lazy_graph_module_flag" in lazy._get_graph_module_cls.__code__.co_names
print(json.dumps([seen, own_code, sys.meta_path == finders]))
"""


def test_two_copies_installed_before_torch_take_effect_at_import(engines, python):
    got = python("-c", BEFORE_TORCH.format(ask=ASK), PYTHONPATH=str(engines))
    assert got.returncode == 0, got.stderr
    assert json.loads(got.stdout) == [[True, True, False], True, True]


def test_no_module_imports_compat_by_absolute_name(engines):
    lines = [line.strip() for path in (engines / COPIES["b"]).rglob("*.py") for line in path.read_text().splitlines()]
    assert [line for line in lines if line.startswith(("import compat", "from compat"))] == []
