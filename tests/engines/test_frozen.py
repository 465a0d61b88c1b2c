"""A vendored copy works in the forms in which an engine is shipped, and under checkers of types at run time.

PyInstaller, a zipapp, a read-only tree; beartype, jaxtyping, typeguard. The engine brings a torch of a few lines, which
has all that `lazy_graph_module` needs: the real one would make a program of gigabytes. `nox -s frozen` runs this file
with PyInstaller and the checkers, and without torch.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from compat.adapters import NAMES
from compat.shims.base import all_shims
from compat.tools import vendor

ROOT = Path(__file__).parents[2]

TORCH = {
    "__init__": '__version__ = "2.11.0"\n',
    "fx/__init__": "from .graph_module import GraphModule\n",
    "fx/graph_module": "class GraphModule:\n    def __init__(self, root, graph): self.graph = graph\n",
    "fx/_lazy_graph_module": """
from contextlib import contextmanager
from .graph_module import GraphModule

_use_lazy = False
_force_skip_lazy_graph_module_flag = False

class _LazyGraphModule(GraphModule): ...

@contextmanager
def _use_lazy_graph_module(should_use): yield

def _get_graph_module_cls():
    return _LazyGraphModule if _use_lazy else GraphModule

def _make_graph_module(*args, **kwargs):
    return _get_graph_module_cls()(*args, **kwargs)
""",
    "fx/passes/__init__": "",
    "fx/passes/split_module": """
import torch
import torch.fx._lazy_graph_module

def split_module(root, graph):
    return torch.fx.graph_module.GraphModule(root, graph)
""",
}

MAIN = """
import json, sys
import engine._vendor.compat as compat

found = {"torch_was_there": "torch" in sys.modules}
found["names"] = [row.name for row in compat.status()]
compat.install()
compat.install(kind="speed")
import torch.fx
from torch.fx.passes.split_module import split_module

def kind():
    return type(split_module(None, None)).__name__

found["installed"] = kind()
found["rows"] = {row.name: [row.mode, row.active, row.error] for row in compat.status()}
compat.uninstall(kind="speed")
compat.uninstall()
found["stock"] = kind()
with compat.lazy_graph_module(mode="backport"):
    found["context"] = kind()
    with compat.lazy_graph_module(False):
        found["inner"] = kind()
found["after"] = kind()
found["key"] = compat.cache_key()
try:
    compat.lazy_graph_module(mode="native")
except compat.UnsupportedError as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


def missing(*modules: str) -> str:
    return ", ".join(name for name in modules if importlib.util.find_spec(name) is None)


def needs(*modules: str) -> pytest.MarkDecorator:
    absent = missing(*modules)
    return pytest.mark.skipif(bool(absent), reason=f"{absent} is not installed: `nox -s frozen` runs this")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Write an engine with a vendored copy, and its torch."""
    folder = tmp_path / "tree"
    vendor.run(str(folder / "engine" / "_vendor"), "compat", force=False, check=False)
    for package in ("engine", "engine/_vendor"):
        (folder / package / "__init__.py").touch()
    for name, text in TORCH.items():
        path = folder / "torch" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "main.py").write_text(MAIN)
    return folder


def run(*command: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TORCH_COMPAT", "PYTHON"))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(map(str, command), env=environment, capture_output=True, text=True, timeout=280, cwd="/")


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["torch_was_there"] is False
    assert found["names"] == list(NAMES)
    assert found["rows"].pop("lazy_graph_module") == ["backport", True, ""]
    assert {tuple(row) for row in found["rows"].values()} == {("noop", False, "")}
    kinds = [found[name] for name in ("installed", "stock", "context", "inner", "after")]
    assert kinds == ["_LazyGraphModule", "GraphModule", "_LazyGraphModule", "GraphModule", "GraphModule"]
    assert found["key"] == ""
    assert "cannot have it" in found["refused"]


# --- Forms of shipping ---------------------------------------------------------------------------------------------


def test_static_imports_name_every_shim():
    """A shim whose import is computed only would be missing in a program that PyInstaller makes."""
    tree = ast.parse((ROOT / "compat" / "shims" / "__init__.py").read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    named = {alias.name for node in imports for alias in node.names}
    assert named == set(NAMES) == {shim.name for shim in all_shims()}


@needs("PyInstaller")
@pytest.mark.parametrize("sources", [False, True], ids=["archive", "archive and sources"])
def test_program_made_by_pyinstaller_works(tree: Path, tmp_path: Path, sources: bool):
    options = ["--noconfirm", "--log-level", "ERROR", "--onedir", "--paths", tree]
    options += ["--distpath", tmp_path / "dist", "--workpath", tmp_path / "work", "--specpath", tmp_path]
    if sources:  # as PyInstaller does for the real torch
        options += ["--add-data", f"{tree / 'torch'}{os.pathsep}torch"]
    built = run(sys.executable, "-m", "PyInstaller", *options, tree / "main.py")
    assert built.returncode == 0, built.stderr
    shutil.rmtree(tree)  # all that it needs must be inside
    check(run(tmp_path / "dist" / "main" / "main"))


def test_zipapp_works(tree: Path, tmp_path: Path):
    (tree / "main.py").rename(tree / "__main__.py")
    zipapp.create_archive(tree, tmp_path / "program.pyz")
    shutil.rmtree(tree)
    check(run(sys.executable, tmp_path / "program.pyz"))


def test_read_only_tree_works(tree: Path):
    before = sorted(tree.rglob("*"))
    for path in [*before, tree]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        check(run(sys.executable, tree / "main.py"))
        assert sorted(tree.rglob("*")) == before
    finally:
        for path in [tree, *tree.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


# --- Checkers of types at run time ---------------------------------------------------------------------------------

CHECKERS = {
    "beartype": "from beartype.claw import beartype_package\nbeartype_package('engine')\n",
    "jaxtyping": "from jaxtyping import install_import_hook\ninstall_import_hook('engine', 'beartype.beartype')\n",
    "typeguard": "from typeguard import install_import_hook\ninstall_import_hook(['engine'])\n",
}


@pytest.mark.parametrize("checker", [pytest.param(name, marks=needs(name, "beartype")) for name in CHECKERS])
def test_copy_works_under_type_checker(checker: str, tree: Path):
    (tree / "main.py").write_text(CHECKERS[checker] + MAIN)
    check(run(sys.executable, "-W", "error::DeprecationWarning:engine", tree / "main.py"))


@pytest.mark.parametrize("checker", [pytest.param(name, marks=needs(name, "beartype")) for name in CHECKERS])
def test_every_module_of_a_copy_imports_under_type_checker(checker: str, tree: Path):
    copy = tree / "engine" / "_vendor" / "compat"
    # Reproducers are programs for a whole torch.
    paths = [path for path in copy.rglob("*.py") if path.parent.name != "reproducers"]
    modules = [".".join(path.relative_to(tree).with_suffix("").parts) for path in paths]
    imports = "".join(f"import {name.removesuffix('.__init__')}\n" for name in modules)
    (tree / "main.py").write_text(CHECKERS[checker] + imports)
    done = run(sys.executable, tree / "main.py")
    assert done.returncode == 0, done.stderr
