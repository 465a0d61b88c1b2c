"""A vendored copy works alone under any package path, and several copies work in one process."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest
from helpers.this_torch import ASK, WORKING, same_on_every_torch
from helpers.torch_state import made, split_kinds, split_module_file, status_of

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


FLAT, NESTED = "kompat", "engine.third_party._vendor.compat"
ONCE, SLOW = same_on_every_torch, pytest.mark.slow
PLACES = [
    pytest.param("folder", FLAT, marks=ONCE),
    pytest.param("zip", NESTED, marks=SLOW),
    pytest.param("read-only folder", NESTED, marks=SLOW),
    pytest.param("folder", NESTED, marks=SLOW),
    pytest.param("read-only folder", FLAT, marks=SLOW),
    pytest.param("zip", FLAT, marks=SLOW),
]


@pytest.mark.parametrize(("form", "package"), PLACES)
def test_vendored_copy_works_alone_under_any_package_path(package: str, form: str, tmp_path: Path) -> None:
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
    if form == "zip":
        checked = alone("-m", package, "check", "split_module_tuple_return", path=path)
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.endswith(" right\n\nnothing is wrong\n")
    refused = alone("-m", package, "vendor", ".", path=path)
    assert refused.returncode == 2
    assert "vendored" in refused.stderr


def read_only(tree: Path) -> None:
    for path in [*tree.rglob("*"), tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def alone(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python outside the repository that finds packages in `path`."""
    command = [sys.executable, "-W", "ignore", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, timeout=120)


def in_a_new_process() -> tuple[str, str, bool]:
    return made(), split_kinds(), status_of().active


def test_spawned_process_starts_with_untouched_torch(copies: dict[str, ModuleType]) -> None:
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


def test_copies_of_one_version_share_one_patch(copies: dict[str, ModuleType]) -> None:
    shims = [importlib.import_module(f"{name}.shims.lazy_graph_module").SHIM for name in copies]
    patches = [shim._patches[WORKING] for shim in shims]
    with copies["same_one"].lazy_graph_module(mode=ASK), copies["later"].lazy_graph_module(mode=ASK):
        assert patches[0] is patches[1]
        assert patches[0] is not patches[2]
        assert patches[2].latest


@pytest.mark.skipif(WORKING == "native", reason="split_module is patched by the backport alone")
def test_undone_reload_restores_stack_order_of_versions(copies: dict[str, ModuleType]) -> None:
    kept = dict(vars(split_module_file))
    with copies["same_one"].lazy_graph_module(mode=ASK), copies["later"].lazy_graph_module(False, mode=ASK):
        importlib.reload(split_module_file)
        with copies["same_one"].lazy_graph_module(mode=ASK):
            assert made() == "lazy"  # the new function has this copy above the other version
        vars(split_module_file).update(kept)
        with copies["same_one"].lazy_graph_module(mode=ASK):
            assert (made(), split_kinds()) == ("plain", "plain")
        split_module_file.split_module = lambda *args: kept["split_module"](*args)
        with copies["same_one"].lazy_graph_module(mode=ASK):  # the stack is hidden here, so the last known order counts
            assert (made(), split_kinds()) == ("plain", "plain")
        vars(split_module_file).update(kept)
    with copies["same_one"].lazy_graph_module(mode=ASK):
        assert (made(), split_kinds()) == ("lazy", "lazy")
