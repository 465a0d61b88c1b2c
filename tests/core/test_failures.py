"""A shim that cannot be put in never disturbs torch, and `status` and `cache_key` say that it is not in.

Each case combines a shim, an exception, a step that raises it, and a route that leads to the step. The shims have the
properties of the real ones (kind, contexts, cache key, late replacements), but patch made-up modules: hundreds of cases
then take seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import itertools
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.this_torch import same_on_every_torch

import compat
from compat import installation, reporting, selection
from compat.patching import cache_key, import_hook
from compat.patching.patch import PatchPoint, Wrapper, claims
from compat.probe.requirements import Symbol
from compat.shims import base
from compat.shims.base import Shim, all_shims

REAL = tuple(shim for shim in all_shims() if shim.kind != "api")  # the others cannot be installed
EXCEPTIONS = (ValueError, RuntimeError, AttributeError, KeyError, MemoryError, compat.UnsupportedError)
MAIN, LATE = "made_up_engine.main", "made_up_engine.late"
TEXT = "def first(x): return x\nclass Second:\n    def second(self): return 'torch'\n"
# Steps of putting a shim in. Each may raise.
STEPS = ("make", "make of the second", "exchange", "exchange of the second", "tag", "make of a late one")
# Ways to get there. In the last three, the import hook does not notice the import.
ROUTES = ("after", "before", "context", "slotted loader", "loader without exec_module", "meta_path restored")
MISSED = ROUTES[3:]

_revisions = itertools.count(1000)


class Failing:
    """A shim like a real one whose `step` raises `error`, and what a test does with it."""

    def __init__(self, like: Shim, step: str, error: Exception | None) -> None:
        self.step, self.error = step, error

        def replace(wrapper: Wrapper) -> Callable[..., Any]:
            second = wrapper.function.__name__ == "second"
            self.fail("make of the second" if second else "make")
            return lambda *args: ("ours", wrapper.next(*args))

        def replace_late(wrapper: Wrapper) -> Callable[..., Any]:
            self.fail("make of a late one")
            return replace(wrapper)

        self.value = True if like.value is None else like.value
        self.shim = Shim(
            name=like.name,
            kind=like.kind,
            upstream=like.upstream,
            changes_codegen=like.changes_codegen,
            revision=next(_revisions),  # shares nothing with the shims of other cases
            native=(Symbol(f"{MAIN}:native", "function"),),
            backport=(Symbol(f"{MAIN}:first", "function"),),
            replacements={f"{MAIN}:first": replace, f"{MAIN}:Second.second": replace},
            late={LATE: {f"{LATE}:first": replace_late}} if like.late else None,
            value=self.value,
            token_of=(lambda value: f"{like.name}/{value}") if like._token_of else None,
        )

    def fail(self, step: str) -> None:
        if step == self.step and self.error is not None:
            raise self.error

    @property
    def can_fail(self) -> bool:
        """Whether this shim has the step at all."""
        needed = {"tag": self.shim.changes_codegen, "make of a late one": bool(self.shim.late)}
        return needed.get(self.step, True)


class Slotted:
    """A loader that takes no attributes."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def create_module(self, spec: Any) -> ModuleType | None:
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.inner.exec_module(module)


class Old:
    """A loader of the old protocol."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def load_module(self, name: str) -> ModuleType:
        spec = importlib.machinery.ModuleSpec(name, self.inner, origin=self.inner.path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        self.inner.exec_module(module)
        return module


class Finder:
    """Finds the made-up modules, and gives them the loader of the route."""

    def __init__(self, folder: Path, route: str) -> None:
        self.folder, self.route = str(folder), route

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] != "made_up_engine":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path or [self.folder])
        assert spec is not None
        kinds = {"slotted loader": Slotted, "loader without exec_module": Old}
        if "." in name and self.route in kinds:
            spec.loader = kinds[self.route](spec.loader)
        return spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "made_up_engine"
    package.mkdir()
    for name in ("__init__", "main", "late"):
        (package / f"{name}.py").write_text(TEXT if name != "__init__" else "")
    return tmp_path


@contextlib.contextmanager
def prepared(failing: Failing, folder: Path, route: str, patched: pytest.MonkeyPatch) -> Iterator[None]:
    """Let compat know this shim only, and make the steps fail. Undo both, and every install, afterwards."""
    shim, finders = failing.shim, list(sys.meta_path)
    exchange, set_tag = PatchPoint._exchange, cache_key._set_tag

    def failing_exchange(point: PatchPoint, code: Any, added: Any) -> None:
        if code is not point.code:
            failing.fail("exchange of the second" if point.function.__name__ == "second" else "exchange")
        exchange(point, code, added)

    def failing_tag(config: Any, wanted: bool) -> None:
        if wanted:
            failing.fail("tag")
        set_tag(config, wanted)

    for module in (installation, reporting):
        patched.setattr(module, "all_shims", lambda: (shim,))
    patched.setattr(installation, "named", lambda names: (shim,))
    patched.setattr(selection, "_selected", {})
    patched.setattr(selection, "_previewed", {})
    patched.setattr(selection, "_expected", lambda *_: "backport")
    patched.setattr(PatchPoint, "_exchange", failing_exchange)
    patched.setattr(cache_key, "_set_tag", failing_tag)
    sys.meta_path.insert(0, Finder(folder, route))
    try:
        yield
    finally:
        while entries := installation._entries(shim):
            entries[-1].remove()
        patched.undo()
        sys.meta_path[:] = finders
        for name in [name for name in sys.modules if name.partition(".")[0] == "made_up_engine"]:
            del sys.modules[name]
    assert not claims
    assert not import_hook._finder.watchers


def import_both() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Slotted|Old|.*exec_module", ImportWarning)
        importlib.import_module(MAIN)
        importlib.import_module(LATE)


def take(failing: Failing, route: str) -> list[str]:
    """Take the route, up to the failure and beyond. Return what ran in the context's body."""
    ran: list[str] = []
    if route == "context":
        import_both()
        with failing.shim.context(failing.value, "auto"):
            ran.append(calls())
            assert not failing.shim.active
            assert compat.cache_key() == ""
    elif route == "after":
        import_both()
        compat.install(failing.shim.name)
    else:
        finders = list(sys.meta_path)
        compat.install(failing.shim.name)
        if route == "meta_path restored":
            sys.meta_path[:] = finders
        import_both()
    return ran


def calls() -> str:
    """Return what the made-up functions do now: "ours", "torch" or both."""
    main, late = sys.modules[MAIN], sys.modules[LATE]
    found = {isinstance(result, tuple) for result in (main.first(1), late.first(1), main.Second().second())}
    return " and ".join(sorted("ours" if ours else "torch" for ours in found))


@pytest.fixture(autouse=True, scope="module")
def _no_cache_key_requirements() -> Iterator[None]:
    """Have the shims ask nothing of Inductor, whose import takes seconds."""
    patched = pytest.MonkeyPatch()
    patched.setattr(base, "_CACHE_KEY", ())
    yield
    patched.undo()


@pytest.mark.parametrize("action", ["always", "error"])
@pytest.mark.parametrize(
    ("route", "step"),
    # A context has no late replacements.
    [(route, step) for route in ROUTES for step in STEPS if (route, step) != ("context", STEPS[-1])],
)
def test_failure_is_kept_and_reported_once(route, step, action, folder, monkeypatch):
    cases = 0
    # That warnings are errors does not depend on the type of the exception.
    kinds = EXCEPTIONS if action == "always" else EXCEPTIONS[:1]
    for like, kind in itertools.product(REAL, kinds):
        failing = Failing(like, step, kind("it did not work"))
        if not failing.can_fail:
            continue
        cases += 1
        case = (like.name, kind.__name__)
        with prepared(failing, folder, route, monkeypatch):
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter(action, compat.CompatWarning)
                ran = take(failing, route)
                keys = [compat.cache_key()]
                rows = [compat.status()[0], compat.status()[0]]
                keys.append(compat.cache_key())
            row = rows[0]
            assert ran in ([], ["torch"]), case
            assert rows[0] == rows[1], case
            assert (row.mode, row.active) == ("noop", False), (case, row)
            assert row.error == f"{kind.__name__}: {failing.error}", case
            assert row.error in row.reason, case
            assert keys == ["", ""], case
            assert calls() == "torch", case
            messages = [str(one.message) for one in given if one.category is compat.CompatWarning]
            assert len(messages) == (action == "always"), (case, messages)
            assert all(like.name in message and row.error in message for message in messages), case
    assert cases >= len(kinds)


NEXT_CALLS = {
    "status": lambda shim: compat.status(),
    "cache_key": lambda shim: compat.cache_key(),
    "context": lambda shim: shim.context(True, "auto"),
    "install": lambda shim: compat.install(shim.name),
}


@pytest.mark.parametrize("call", NEXT_CALLS)
@pytest.mark.parametrize("route", MISSED)
def test_next_call_acts_for_an_import_that_the_hook_missed(route, call, folder, monkeypatch):
    for like in REAL:
        working = Failing(like, "", None)
        with prepared(working, folder, route, monkeypatch):
            take(working, route)
            assert calls() == "torch", "the hook noticed"
            NEXT_CALLS[call](working.shim)
            expected = "ours" if like.late else "ours and torch"
            assert calls() == expected, like.name
            row = compat.status()[0]
            assert (row.mode, row.active, row.error) == ("backport", True, ""), like.name
            assert (compat.cache_key() != "") == like.changes_codegen, like.name


@pytest.mark.parametrize("step", STEPS)
def test_second_try_after_failure_works(step, folder, monkeypatch):
    for like in REAL:
        failing = Failing(like, step, RuntimeError("once"))
        if not failing.can_fail:
            continue
        with prepared(failing, folder, "after", monkeypatch), warnings.catch_warnings():
            warnings.simplefilter("ignore", compat.CompatWarning)
            take(failing, "after")
            assert calls() == "torch", like.name
            failing.error = None
            compat.uninstall(like.name)
            compat.install(like.name)
            row = compat.status()[0]
            assert (row.mode, row.active, row.error) == ("backport", True, ""), like.name
            assert calls() == ("ours" if like.late else "ours and torch"), like.name
            compat.uninstall(like.name)
            assert calls() == "torch", like.name


def test_install_after_failed_context_clears_its_error(folder, monkeypatch):
    failing = Failing(REAL[0], "make", ValueError("once"))
    with prepared(failing, folder, "after", monkeypatch):
        with pytest.warns(compat.CompatWarning, match="ValueError: once"):
            take(failing, "context")
        failing.error = None
        compat.install(failing.shim.name)
        row = compat.status()[0]
        assert (row.mode, row.active, row.error) == ("backport", True, "")


def test_context_by_name_raises_if_patch_fails(folder, monkeypatch):
    failing = Failing(REAL[0], "exchange", ValueError("never"))
    with prepared(failing, folder, "after", monkeypatch):
        import_both()
        context = failing.shim.context(True, "backport")
        with pytest.warns(compat.CompatWarning), pytest.raises(compat.UnsupportedError, match="ValueError: never"):
            context.__enter__()
        assert calls() == "torch"
        assert compat.status()[0].error == "ValueError: never"


def test_install_by_name_raises_if_patch_fails(folder, monkeypatch):
    failing = Failing(REAL[0], "exchange", ValueError("never"))
    with prepared(failing, folder, "after", monkeypatch):
        import_both()
        with pytest.warns(compat.CompatWarning), pytest.raises(compat.UnsupportedError, match="ValueError: never"):
            compat.install(failing.shim.name, mode="backport")
        assert calls() == "torch"
        assert not installation._entries(failing.shim)


@pytest.mark.parametrize("mode", ["auto", "backport"])
def test_context_says_that_functions_were_replaced(mode, folder, monkeypatch):
    working = Failing(REAL[0], "", None)
    with prepared(working, folder, "after", monkeypatch):
        import_both()
        assert selection.select(working.shim, mode).mode == "backport"
        monkeypatch.setattr(sys.modules[MAIN], "first", len)
        expected = (
            pytest.raises(compat.UnsupportedError, match="replaced") if mode != "auto" else contextlib.nullcontext()
        )
        with pytest.warns(compat.CompatWarning, match="another library"), expected, working.shim.context(True, mode):
            assert not working.shim.active
        assert "another library" in compat.status()[0].error


REAL_TORCH = """
import warnings
warnings.simplefilter("error")
import compat
from compat.shims.base import all_shims

def fail(wrapper):
    raise RuntimeError("cannot be made")

for shim in all_shims():
    shim.replacements = {key: dict.fromkeys(given, fail) for key, given in shim.replacements.items()}
for kind in ("fix", "speed", "policy"):
    compat.install(kind=kind)
warnings.simplefilter("ignore")
warnings.simplefilter("error", compat.CompatWarning)
import torch
from torch._inductor import compile_fx
from torch.fx.passes import split_module
rows = compat.status()
failed = [row for row in rows if row.error]
assert failed, rows
for row in rows:
    assert not row.active, row
    if row.error:
        assert (row.mode, row.error) == ("noop", "RuntimeError: cannot be made"), row
    assert row.mode != "backport" or row.kind == "api", row
assert compat.cache_key() == ""
for kind in ("fix", "speed", "policy"):
    compat.uninstall(kind=kind)
print("fine")
"""


@same_on_every_torch
def test_failing_shims_do_not_break_import_of_torch(python: Callable[..., subprocess.CompletedProcess]):
    done = python("-c", REAL_TORCH)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
