"""`install` and `uninstall` act process-wide, are counted, and work before and after torch is imported."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.shims import variant
from helpers.this_torch import ASK, RELEASE, same_on_every_torch
from helpers.torch_state import made, same, split_kinds, state, status_of

import compat
from compat.installation import current_install
from compat.patching.registry import shared
from compat.probe.requirements import Behaves
from compat.selection import preview
from compat.shims.base import all_shims, named

NAME = "lazy_graph_module"


@pytest.fixture(autouse=True)
def nothing_stays_installed() -> Iterator[None]:
    yield
    left = [shim.name for shim in all_shims() if current_install(shim)]
    for name in left:
        compat.uninstall(name)
    assert left == []
    assert not status_of(NAME).active


def test_install_applies_to_every_thread_and_task():
    async def task() -> tuple[str, str]:
        return made(), split_kinds()

    compat.install(NAME, mode=ASK)
    assert (made(), split_kinds()) == ("lazy", "lazy")
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(lambda: (made(), split_kinds())).result() == ("lazy", "lazy")
    assert asyncio.run(task()) == ("lazy", "lazy")
    compat.uninstall(NAME)
    assert (made(), split_kinds()) == ("plain", "plain")


def test_install_is_counted():
    before = state()
    compat.install(NAME, mode=ASK)
    compat.install(NAME, mode=ASK)
    compat.uninstall(NAME)
    assert made() == "lazy"
    compat.uninstall(NAME)
    assert made() == "plain"
    compat.uninstall(NAME)
    assert same(before, state())


def test_context_overrides_install():
    compat.install(NAME, mode=ASK)
    with compat.lazy_graph_module(False, mode=ASK):
        assert (made(), split_kinds()) == ("plain", "plain")
        compat.uninstall(NAME)
        compat.install(NAME, mode=ASK)
        assert (made(), split_kinds()) == ("plain", "plain")
    assert (made(), split_kinds()) == ("lazy", "lazy")
    compat.uninstall(NAME)


def test_uninstall_inside_context_keeps_context_active():
    compat.install(NAME, mode=ASK)
    with compat.lazy_graph_module(mode=ASK):
        compat.uninstall(NAME)
        assert (made(), split_kinds()) == ("lazy", "lazy")
    assert (made(), split_kinds()) == ("plain", "plain")


def test_install_without_names_installs_exactly_the_fixes():
    before = state()
    compat.install()
    rows = compat.status()
    try:
        fixes = [row.name for row in rows if row.kind == "fix"]
        assert [shim.name for shim in all_shims() if current_install(shim)] == fixes
        assert fixes
        assert NAME not in fixes
        assert not any(row.active for row in rows if row.kind != "fix")
        assert (made(), split_kinds()) == ("plain", "plain")
    finally:
        compat.uninstall()
    assert not any(current_install(shim) for shim in all_shims())
    assert not any(shim.active for shim in all_shims())
    assert same(before, state())


def test_status_reports_installed_mode():
    compat.install(NAME, mode="noop")
    assert (status_of(NAME).mode, status_of(NAME).active) == ("noop", False)
    compat.install(NAME, mode=ASK)
    assert (status_of(NAME).mode, status_of(NAME).active) == (
        "native" if RELEASE >= (2, 12) else "backport",
        True,
    )
    compat.uninstall(NAME)
    assert status_of(NAME).mode == "noop"
    compat.uninstall(NAME)


def test_failed_install_installs_no_shim():
    before = state()
    unavailable = "backport" if RELEASE >= (2, 12) else "native"
    with pytest.raises(compat.UnsupportedError):
        compat.install(NAME, mode=unavailable)
    if RELEASE >= (2, 11):  # the mode is available for the first shim only
        first = "realize_on_reuse" if RELEASE >= (2, 12) else "fx_cache_pickle"
        with pytest.raises(compat.UnsupportedError, match=NAME):
            compat.install(first, NAME, mode=unavailable)
        assert status_of(first).active is False
    with pytest.raises(ValueError, match=r"there is no shim 'unknown'; there are .*lazy_graph_module"):
        compat.install(NAME, "unknown")
    with pytest.raises(ValueError, match="there is no shim 'unknown'"):
        compat.uninstall("unknown")
    assert status_of(NAME).active is False
    assert same(before, state())


def test_cache_key_is_empty_if_shim_changes_no_code():
    compat.install(NAME, mode=ASK)
    assert compat.cache_key() == ""
    compat.uninstall(NAME)


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("module", ["torch.fx.passes.split_module", "torch.fx._lazy_graph_module"])
def test_install_survives_reload_of_torch_module(fresh, module, noticed):
    assert fresh(reload_while_installed, module, noticed) == ["lazy", "lazy", "plain", "plain"]


def reload_while_installed(name: str, noticed: bool) -> list[str]:
    split = sys.modules["torch.fx.passes.split_module"]
    lazy = sys.modules["torch.fx._lazy_graph_module"]

    def made_now() -> str:
        built = lazy._make_graph_module(lazy.GraphModule({}, split.torch.fx.Graph()), split.torch.fx.Graph())
        return "lazy" if isinstance(built, lazy._LazyGraphModule) else "plain"

    finders = list(sys.meta_path)
    compat.install(NAME, mode=ASK)
    if not noticed:
        sys.meta_path[:] = finders  # as a test does that restores it
    importlib.reload(sys.modules[name])
    if not noticed:
        compat.status()
    seen = [made_now(), split_kinds(split.split_module)]
    compat.uninstall(NAME)
    return [*seen, made_now(), split_kinds(split.split_module)]


def scope_after_a_reload() -> list[str]:
    split = sys.modules["torch.fx.passes.split_module"]
    with compat.lazy_graph_module(mode=ASK):
        seen = [split_kinds(split.split_module)]
    importlib.reload(split)
    with compat.lazy_graph_module(mode=ASK):
        seen.append(split_kinds(split.split_module))
    return [*seen, split_kinds(split.split_module)]


def test_context_works_after_reload_of_split_module(fresh):
    assert fresh(scope_after_a_reload) == ["lazy", "lazy", "plain"]


BEFORE_TORCH = """
import sys, json, importlib.util
import compat
finders = list(sys.meta_path)
compat.install("lazy_graph_module", mode={ask!r})
def status():
    return next(row for row in compat.status() if row.name == "lazy_graph_module")
first = status()
found = importlib.util.find_spec("torch") is not None
early = "torch" in sys.modules
import torch
from torch.fx import _lazy_graph_module as lazy
from torch.fx.passes.split_module import split_module
def kinds():
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    root = split_module(graph, torch.nn.Module(), lambda node: ["sin", "relu"].index(node.name))
    return sorted({{isinstance(m, lazy._LazyGraphModule) for m in (root, root.submod_0, root.submod_1)}})
installed, second = kinds(), status()
codes = lazy._get_graph_module_cls.__code__.co_names, split_module.__code__.co_names
heavy = [name for name in sys.modules if name.startswith(("torch._inductor", "torch._dynamo"))]
compat.uninstall("lazy_graph_module")
print(json.dumps(dict(
    early=early, first=[first.mode, first.active], installed=installed, second=[second.mode, second.active],
    after=kinds(), clean=sys.meta_path == finders, heavy=heavy,
    own="_use_lazy_graph_module_flag" in lazy._get_graph_module_cls.__code__.co_names,
    left=[m.__name__ for m in (lazy, sys.modules[split_module.__module__])
          if "exec_module" in vars(m.__spec__.loader)],
)))
"""


def test_install_before_torch_takes_effect_at_import(python):
    got = python("-c", BEFORE_TORCH.format(ask=ASK))
    mode = "native" if RELEASE >= (2, 12) else "backport"
    assert got.returncode == 0, got.stderr
    assert json.loads(got.stdout) == {
        "early": False,
        "first": [mode, False],
        "installed": [True],
        "second": [mode, True],
        "after": [False],
        "clean": True,
        "heavy": [],
        "own": True,
        "left": [],
    }


UNINSTALLED_BEFORE_TORCH = """
import sys
import compat
finders = list(sys.meta_path)
compat.install("lazy_graph_module", mode={ask!r})
compat.uninstall("lazy_graph_module")
assert sys.meta_path == finders
compat.install("lazy_graph_module", mode="noop")
import torch
from torch.fx import _lazy_graph_module as lazy
assert lazy._get_graph_module_cls() is torch.fx.GraphModule
assert not any(row.active for row in compat.status())
compat.uninstall("lazy_graph_module")
assert sys.meta_path == finders
with compat.lazy_graph_module(mode={ask!r}):
    assert lazy._get_graph_module_cls() is lazy._LazyGraphModule
"""


@same_on_every_torch
def test_uninstall_before_torch_import_leaves_torch_unpatched(python):
    got = python("-c", UNINSTALLED_BEFORE_TORCH.format(ask=ASK))
    assert got.returncode == 0, got.stderr


def test_uninstall_during_torch_import_prevents_patch():
    compat.install(NAME, mode=ASK)
    (entry,) = shared("installed/2", dict)[compat.install.__globals__["__package__"], NAME]
    compat.uninstall(NAME)
    entry.act()  # as the import hook does in the thread that imports torch
    assert not status_of(NAME).active


def test_deferred_install_that_does_not_fit_becomes_noop_with_reason(monkeypatch):
    # Its source did fit. The import hook must not raise: that would break the import of torch.
    def refuse(shim, mode):
        raise compat.UnsupportedError("it has moved")

    monkeypatch.setattr(sys.modules[current_install.__module__], "select", refuse)
    compat.install(NAME, mode=ASK)
    assert (status_of(NAME).mode, status_of(NAME).reason) == ("noop", "it has moved")
    assert not status_of(NAME).active
    compat.uninstall(NAME)


def test_mode_by_name_imports_module_that_source_cannot_decide():
    (shim,) = named([NAME])
    rests_on = "torch.utils.bundled_inputs"  # no other test imports it
    assert rests_on not in sys.modules
    behaves = Behaves(f"{rests_on}:augment_model_with_bundled_inputs", "is one", lambda _: None)
    asked = variant(shim, backport=(behaves,), native=())
    assert preview(asked, "backport").evidence[-1].holds


def test_function_from_before_reload_stays_patched(fresh):
    assert fresh(called_and_put_back_after_a_reload) == ["lazy", "lazy", "lazy", "plain", "plain", True]


def called_and_put_back_after_a_reload() -> list[object]:
    split = sys.modules["torch.fx.passes.split_module"]
    before, kept, finders = split.split_module, dict(vars(split)), list(sys.meta_path)
    code = before.__code__
    compat.install(NAME, mode=ASK)
    importlib.reload(split)
    after = split.split_module
    seen: list[object] = [split_kinds(before), split_kinds(after)]
    vars(split).update(kept)
    seen.append(split_kinds(split.split_module))
    compat.uninstall(NAME)
    return [*seen, split_kinds(before), split_kinds(after), before.__code__ is code and sys.meta_path == finders]


TORCH_COMES_LATER = """
import os, sys
kept, finders = list(sys.path), list(sys.meta_path)
sys.path[:] = [path for path in kept if not os.path.isdir(os.path.join(path, "torch"))]
import compat
from compat.version import folder
compat.install("lazy_graph_module", mode="auto")
(row,) = (row for row in compat.status() if row.name == "lazy_graph_module")
assert (folder(), row.mode, row.active) == (None, "noop", False), row
sys.path[:] = kept
import torch
from torch.fx import _lazy_graph_module as lazy
from torch.fx.passes import split_module
(row,) = (row for row in compat.status() if row.name == "lazy_graph_module")
print(row.mode, row.active, lazy._get_graph_module_cls() is lazy._LazyGraphModule)
compat.uninstall("lazy_graph_module")
assert sys.meta_path == finders
"""


@same_on_every_torch
def test_install_without_torch_takes_effect_once_torch_appears(python):
    got = python("-c", TORCH_COMES_LATER)
    assert got.returncode == 0, got.stderr
    mode = "native" if RELEASE >= (2, 12) else "backport" if RELEASE == (2, 11) else "noop"
    assert got.stdout.split() == [mode, str(mode != "noop"), str(mode != "noop")]


def test_uninstall_does_not_wait_for_torch_import_in_another_thread(monkeypatch):
    # A forked child would wait for ever: the importing thread does not exist there.
    here, started, go_on = sys.modules[current_install.__module__], threading.Event(), threading.Event()
    torchs = here.select

    def select(*asked):
        started.set()
        assert go_on.wait(60)
        return torchs(*asked)

    monkeypatch.setattr(here.Watcher, "start", lambda watcher: None)
    compat.install(NAME, mode=ASK)
    (entry,) = shared("installed/2", dict)[compat.install.__globals__["__package__"], NAME]
    monkeypatch.setattr(here, "select", select)
    with ThreadPoolExecutor(2) as executor:
        importing = executor.submit(entry.act)
        assert started.wait(60)
        executor.submit(compat.uninstall, NAME).result(60)
        go_on.set()
        importing.result(60)
    assert not status_of(NAME).active
