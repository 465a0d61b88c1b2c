"""A source or header that is not there makes an answer undecided, and never changes `cache_key`.

Containers delete torch's headers, and some ship modules as .pyc files only. Such a torch still works once it is
imported, so the key before the import has to be the key after it.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import py_compile
import random
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import compat
from compat import installation, reporting, selection, version
from compat.probe.definition import Definition, Missing, Undecided
from compat.probe.requirements import Refers, Symbol, Takes, answer
from compat.probe.source import SourceReader
from compat.selection import live_reader
from compat.shims import base
from compat.shims.base import Shim, all_shims
from compat.shims.view_meta_cache import _SizesByValue

# --- The real torch, with a random part of its files hidden --------------------------------------------------------

INSTALLED = SourceReader.installed(torch.__path__[0])
REQUIREMENTS = [r for shim in all_shims() for r in (*shim.native, *shim.backport)]
MODULES = sorted({r.target.partition(":")[0] for r in REQUIREMENTS if "/" not in r.target})
HEADER = "torch/include/ATen/FunctionalizeFallbackKernel.h"


class Hiding:
    """Reads the installed torch as if these modules and files could not be read."""

    def __init__(self, hidden: set[str]) -> None:
        self.hidden = hidden
        paths = {name.replace(".", "/") for name in hidden}
        self.blind = SourceReader(lambda path: None, paths.__contains__)

    def find(self, target: str) -> Definition:
        name, _, path = target.partition(":")
        if f"torch/{path}" in self.hidden and name not in self.hidden:
            return Definition("file", text=None)
        return self.blind.find(target) if name in self.hidden else read_once(target)


@lru_cache(maxsize=None)
def _read(target: str) -> Definition | Exception:
    try:
        return INSTALLED.find(target)
    except (Missing, Undecided) as error:
        return error


def read_once(target: str) -> Definition:
    found = _read(target)
    if isinstance(found, Exception):
        raise found.with_traceback(None)
    return found


FULL = {str(requirement): answer(requirement, Hiding(set())).holds for requirement in REQUIREMENTS}
WHOLE = {shim.name: selection.decide(shim, "auto", "", torch.__version__, Hiding(set())) for shim in all_shims()}


def test_header_is_the_one_that_a_shim_reads():
    assert _SizesByValue().target.endswith(HEADER.removeprefix("torch/"))
    assert len(MODULES) > 10


@settings(max_examples=100)
@given(hidden=st.sets(st.sampled_from([*MODULES, HEADER])))
def test_hidden_files_of_torch_make_answers_undecided_and_no_different(hidden):
    reader = Hiding(hidden)
    for requirement in REQUIREMENTS:
        holds, full = answer(requirement, reader).holds, FULL[str(requirement)]
        assert holds in (full, None), requirement
        if requirement.target.partition(":")[0] not in hidden and "/" not in requirement.target:
            assert holds == full, requirement
    for shim in all_shims():
        part = selection.decide(shim, "auto", "", torch.__version__, reader)
        assert part.undecided or part.mode == WHOLE[shim.name].mode, shim.name


# --- A made-up torch, imported for real ----------------------------------------------------------------------------

SOURCES = {
    "first": ["def f(x): return native(x)\n", "def f(x): return old(x)\n", "def f(x, y=1): return old(x)\n"],
    "second": ["def g(x): return 1\n", "def g(x, new=1): return 2\n", "g = 1\n", "g = len\n", ""],
    "third": ["class C:\n    def m(self): return old()\n", "class C: pass\n", "class C(dict): pass\n", "C = 3\n"],
}
FORMS = ("source", "compiled", "unreadable", "absent")
counter = itertools.count()


class Header(NamedTuple):
    """As in `view_meta_cache`: a header tells, and torch itself if there is no header."""

    target: str

    def explain_failure(self, definition: Definition) -> str | None:
        text = definition.text
        if text is None:
            if definition.value is None:
                raise Undecided("there is no such header here")
            text = definition.value.BUILT_WITH
        return None if "by value" in text else "by reference"

    def __str__(self) -> str:
        return "the header says so"


def shims_of(package: str) -> tuple[Shim, ...]:
    """Return four shims whose requirements are about other modules each."""
    first, second, third = (f"{package}.first:f", f"{package}.second:g", f"{package}.third:C.m")
    old = Symbol(first, "function")
    sides = {
        "lazy_graph_module": ((Refers(first, "native"),), (Refers(first, "old"),)),
        "fx_strides": ((Takes(second, "new"),), (Symbol(second, "function"), old)),
        "operator_str": ((Header(f"{package}.third:include/header.h"),), (old,)),
        "view_meta_cache": ((Refers(first, "native"), Refers(third, "native")), (Refers(third, "old"), old)),
    }
    return tuple(
        Shim(
            name=name,
            kind="fix",
            upstream="",
            changes_codegen=True,
            revision=5000 + next(counter),
            native=native,
            backport=backport,
            replacements={first: lambda wrapper: wrapper.next},
        )
        for name, (native, backport) in sides.items()
    )


class Tree(NamedTuple):
    texts: dict[str, str]
    forms: dict[str, str]
    header: str
    has_header: bool


trees = st.builds(
    Tree,
    st.fixed_dictionaries({name: st.sampled_from(texts) for name, texts in SOURCES.items()}),
    st.fixed_dictionaries({name: st.sampled_from(FORMS) for name in SOURCES}),
    st.sampled_from(["by value", "by reference"]),
    st.booleans(),
)


def write(tree: Tree, folder: Path) -> str:
    """Write the tree as a package with a new name. Return the name."""
    name = f"made_up_torch_{next(counter)}"
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text(f"BUILT_WITH = {tree.header!r}\n")
    if tree.has_header:
        (package / "include").mkdir()
        (package / "include" / "header.h").write_text(tree.header)
    for module, text in tree.texts.items():
        source = package / f"{module}.py"
        source.write_text(text)
        if tree.forms[module] == "compiled":
            py_compile.compile(str(source), str(package / f"{module}.pyc"), doraise=True)
        if tree.forms[module] in ("compiled", "absent"):
            source.unlink()
        if tree.forms[module] == "unreadable":  # to a reader of UTF-8, and valid Python all the same
            source.write_bytes(b"# coding: latin-1\n# \xff\n" + text.encode())
    importlib.invalidate_caches()
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base, "_CACHE_KEY", ())
    monkeypatch.setattr(selection, "_expected", lambda *_: "backport")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("made_up_torch_")]:
        del sys.modules[name]


def keys(shims: tuple[Shim, ...], package: str, mode: str) -> tuple[list[str], list[str]]:
    """Install each shim by itself and all together. Return their keys before and after their modules are imported."""
    found: tuple[list[str], list[str]] = ([], [])
    for installed in (*((shim,) for shim in shims), shims):
        for imported in (False, True):
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]
            selection._selected.clear()
            selection._previewed.clear()
            if imported:
                for module in SOURCES:
                    try:
                        importlib.import_module(f"{package}.{module}")
                    except ModuleNotFoundError:
                        pass
            done: list[str] = []
            for shim in installed:
                try:
                    compat.install(shim.name, mode=mode)
                    done.append(shim.name)
                except compat.UnsupportedError:
                    pass
            found[imported].append(f"{done} {compat.cache_key()}")
            compat.uninstall(*done) if done else None
    return found


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, mode=st.sampled_from(["auto", "auto", "native", "backport"]))
def test_key_is_equal_before_and_after_import_of_a_torch_with_missing_files(tree, mode, folder):
    package = write(tree, folder)
    shims = shims_of(package)
    with pytest.MonkeyPatch.context() as patched:
        for module in (installation, reporting):
            patched.setattr(module, "all_shims", lambda: shims)
        by_name = {shim.name: shim for shim in shims}
        patched.setattr(installation, "named", lambda names: tuple(by_name[name] for name in names))
        patched.setattr(version, "folder", lambda: str(folder / package))
        patched.setattr(selection, "_selected", {})
        patched.setattr(selection, "_previewed", {})
        before, after = keys(shims, package, mode)
    assert before == after
    source = SourceReader.installed(str(folder / package))
    for shim in shims:
        for requirement in (*shim.native, *shim.backport):
            read, live = answer(requirement, source).holds, answer(requirement, live_reader()).holds
            assert read in (live, None), requirement
            form = tree.forms[requirement.target.partition(":")[0].rpartition(".")[2]]
            if form in ("compiled", "unreadable") and "/" not in requirement.target:
                assert read is None, requirement


# --- Whole processes with the real torch ---------------------------------------------------------------------------

KEYS = """
import sys, json, warnings
import compat
assert "torch" not in sys.modules
compat.install()
compat.install("realize_on_reuse", mode="auto")
before = compat.cache_key()
assert before
import torch
assert torch.__file__.startswith({folder!r}), torch.__file__
waiting = compat.cache_key()
import torch._inductor.compile_fx, torch._dynamo.pgo
after = compat.cache_key()
print(json.dumps([before, waiting, after, [row.name for row in compat.status() if row.error]]))
"""


def mirrored(folder: Path, hidden: list[str]) -> Path:
    """Make a torch of links to the installed one, in which these files are missing or are .pyc files only."""
    real = Path(torch.__path__[0]).parent
    opened: set[Path] = set()

    def open_up(inside: Path) -> None:
        """Replace the link to a folder by a folder of links."""
        if inside in opened:
            return
        opened.add(inside)
        if inside != Path("torch"):
            open_up(inside.parent)
            (folder / inside).unlink()
        (folder / inside).mkdir(parents=True)
        for entry in os.scandir(real / inside):
            if entry.name != "__pycache__":
                (folder / inside / entry.name).symlink_to(entry.path)

    open_up(Path("torch"))
    for name in hidden:
        path = Path(name)
        open_up(path.parent)
        if path.suffix == ".py":
            py_compile.compile(str(real / path), str(folder / path) + "c", doraise=True)
        (folder / path).unlink()
    return folder


# The first is what slim containers do. The others are random.
@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, *range(4)])
def test_key_of_real_torch_with_missing_files_is_equal_before_and_after_import(
    seed: int | None, tmp_path: Path, python: Callable[..., Any]
):
    files = [f"{name.replace('.', '/')}.py" for name in MODULES]
    candidates = [name for name in files if (Path(torch.__path__[0]).parent / name).is_file()]
    hidden = [HEADER] if (Path(torch.__path__[0]).parent / HEADER).is_file() else []
    if seed is not None:
        hidden += random.Random(seed).sample(candidates, 1 + seed * 3)
    folder = mirrored(tmp_path, hidden)
    done = python("-c", KEYS.format(folder=str(folder)), PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr
    before, waiting, after, errors = json.loads(done.stdout.splitlines()[-1])
    assert before == waiting == after
    assert errors == []
