"""An exception at any bytecode leaves torch patched with a claim or as it was, and the lock free.

Each operation runs once to count its bytecodes. Then it runs once per bytecode, and a trace function raises just
before that bytecode executes. A second family of tests runs other code there instead: a signal handler or a
finalizer that uses compat itself.
"""

from __future__ import annotations

import gc
import importlib
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.this_torch import ROOT, same_on_every_torch, slow

import compat
from compat import installation
from compat.patching import registry

pytestmark = [
    same_on_every_torch,  # the functions are made up
    # An exception that arrives while Python closes a generator goes no further.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME = "made_up_shim"
TARGETS = {"made_up_torch:first": "first", "made_up_torch:Second.second": "second"}


def shim_of(package: types.ModuleType, revision: int = 1) -> Any:
    """Make a shim with two replacements, one in a class, that also has contexts."""
    shims = importlib.import_module(f"{package.__name__}.shims.base")
    requirements = importlib.import_module(f"{package.__name__}.probe.requirements")

    def replace(wrapper: Any) -> Callable[..., Any]:
        return lambda *args: ("ours", wrapper.next(*args))

    return shims.Shim(
        name=NAME,
        kind="policy",
        upstream="",
        changes_codegen=False,
        revision=revision,
        native=(requirements.Symbol("made_up_torch:native", "function"),),
        backport=(requirements.Symbol("made_up_torch:first", "function"),),
        replacements=dict.fromkeys(TARGETS, replace),
        value=True,
    )


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("made_up_torch")
    text = "def first(x): return x\nclass Second:\n    def second(self): return self"
    exec(text, vars(module))
    monkeypatch.setitem(sys.modules, "made_up_torch", module)
    return module


class Uses:
    """One copy of compat with the made-up shim, and what it can do."""

    def __init__(self, package: types.ModuleType, monkeypatch: pytest.MonkeyPatch, revision: int = 1) -> None:
        self.package, self.shim = package, shim_of(package, revision)
        for module in ("shims.base", "installation"):
            there = importlib.import_module(f"{package.__name__}.{module}")
            monkeypatch.setattr(there, "named", lambda names: (self.shim,))

    def context(self) -> Any:
        return self.shim.context(True, "backport")

    def with_block(self) -> None:
        with self.context():
            pass

    def nested(self) -> None:
        context = self.context()
        with context, context, self.context():
            pass

    def install(self) -> None:
        self.package.install(NAME, mode="backport")

    def uninstall(self) -> None:
        self.package.uninstall(NAME)

    def install_twice_and_uninstall(self) -> None:
        self.install()
        self.install()
        self.uninstall()
        self.uninstall()


@pytest.fixture
def uses(fake_torch: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Uses:
    return Uses(compat, monkeypatch)


@pytest.fixture
def other_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_torch: Any) -> Iterator[Uses]:
    """Return a second copy of compat with another revision of the shim."""
    shutil.copytree(ROOT / "compat", tmp_path / "other_engine", ignore=shutil.ignore_patterns("__pycache__", "tools"))
    monkeypatch.syspath_prepend(tmp_path)
    yield Uses(importlib.import_module("other_engine"), monkeypatch, revision=2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "other_engine"]:
        del sys.modules[name]


# --- Running code at a chosen bytecode -----------------------------------------------------------------------------


class Interrupt:
    """Calls `act` just before the bytecode with this number, counted over all frames of compat in this thread."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act, self.count = at, act, 0

    def __call__(self, frame: types.FrameType, event: str, arg: object) -> Any:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in ("compat", "other_engine"):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.opcode

    def opcode(self, frame: types.FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            self.count += 1
            if self.count == self.at:
                sys.settrace(None)
                self.act()
        return self.opcode


def run(operation: Callable[[], None], at: int, act: Callable[[], None]) -> tuple[int, BaseException | None]:
    """Return how many bytecodes ran, and the exception that came out."""
    interrupt, error = Interrupt(at, act), None
    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 reports no bytecodes unless a frame asked before `settrace`
    sys.settrace(interrupt)
    try:
        operation()
    except (KeyboardInterrupt, MemoryError, Injected, compat.UnsupportedError) as raised:
        error = raised.with_traceback(None)
        error.__context__ = error.__cause__ = None
    finally:
        sys.settrace(before)
    return interrupt.count, error


class Injected(Exception):
    """Raised by nothing else."""


def raising(error: type[BaseException]) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


# --- What must hold afterwards -------------------------------------------------------------------------------------


def result(module: types.ModuleType) -> tuple[Any, Any]:
    second = module.Second()
    inner = second.second()
    while isinstance(inner, tuple):
        inner = inner[1]
    assert inner is second
    return module.first(1), second.second()[0] if isinstance(second.second(), tuple) else "plain"


def is_patched(module: types.ModuleType) -> bool:
    first, second = result(module)
    assert isinstance(first, tuple) == (second == "ours"), "one replacement is in without the other"
    return isinstance(first, tuple)


def claimed(*uses: Uses) -> bool:
    return any(use.shim.active for use in uses)


def check(module: types.ModuleType, *uses: Uses) -> None:
    """Assert that torch is patched with a claim or as it was, that the lock is free, and that the next use works."""
    assert registry._held == {}, "the lock is held"
    assert is_patched(module) == claimed(*uses)
    for use in uses:
        was = is_patched(module)
        with use.context():
            assert is_patched(module)
            assert use.shim.active
        assert is_patched(module) == was
        use.install()
        assert is_patched(module)
        use.uninstall()
        assert is_patched(module) == was


def clean_up(*uses: Uses) -> None:
    for use in uses:
        for entries in list(installation._installed.values()):
            for entry in list(entries):
                if entry.shim is use.shim:
                    entry.remove()
    if claimed(*uses):  # slow, with all of torch in memory
        gc.collect()
    assert not claimed(*uses), "a claim outlives its context and its installs"


OPERATIONS = ["with_block", "nested", "install", "install_twice_and_uninstall", "uninstall_of_two"]


def operation_of(uses: Uses, name: str) -> Callable[[], None]:
    if name == "uninstall_of_two":
        uses.install()
        uses.install()
        return uses.uninstall
    return getattr(uses, name)


@pytest.mark.parametrize("error", [KeyboardInterrupt, slow(MemoryError), slow(Injected)])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.filterwarnings("ignore::compat.CompatWarning")
def test_exception_at_any_bytecode_leaves_torch_consistent(fake_torch, uses, name, error):
    original = fake_torch.first.__code__, fake_torch.Second.second.__code__
    uses.with_block()  # makes the patch, whose creation is tested below
    total, _ = run(operation_of(uses, name), -1, lambda: None)
    clean_up(uses)
    assert total > 100
    for at in range(1, total + 1):
        _, raised = run(operation_of(uses, name), at, raising(error))
        check(fake_torch, uses)
        del raised
        clean_up(uses)
        assert (fake_torch.first.__code__, fake_torch.Second.second.__code__) == original, at


@pytest.mark.filterwarnings("ignore::compat.CompatWarning")
def test_exception_while_patch_is_made_leaves_torch_consistent(fake_torch, monkeypatch):
    total, at = 10**9, 0
    while at < total:
        at += 7 if at > 400 else 1
        exec("def first(x): return x\nclass Second:\n    def second(self): return self", vars(fake_torch))
        uses = Uses(compat, monkeypatch)
        count, _ = run(uses.with_block, at, raising(KeyboardInterrupt))
        if count < at:
            total = count
        check(fake_torch, uses)
        clean_up(uses)
        assert not is_patched(fake_torch)


@pytest.mark.parametrize("name", ["with_block", slow("install_twice_and_uninstall")])
@pytest.mark.filterwarnings("ignore::compat.CompatWarning")
def test_exception_with_two_copies_leaves_torch_consistent(fake_torch, uses, other_copy, name):
    uses.with_block()
    other_copy.with_block()
    other = other_copy.context()
    other.__enter__()
    total, _ = run(operation_of(uses, name), -1, lambda: None)
    for at in range(1, total + 1, 3):
        run(operation_of(uses, name), at, raising(KeyboardInterrupt))
        assert fake_torch.first(1)[0] == "ours"
        check(fake_torch, uses, other_copy)
        clean_up(uses)
        assert fake_torch.first(1) == ("ours", 1), "the other copy's context is gone, or is in twice"
    other.__exit__()
    assert not is_patched(fake_torch)


@pytest.mark.parametrize("reentry", ["install_twice_and_uninstall", slow("with_block"), slow("install")])
@pytest.mark.parametrize("name", OPERATIONS)
def test_reentry_at_any_bytecode_leaves_torch_consistent(fake_torch, uses, name, reentry):
    uses.with_block()
    total, _ = run(operation_of(uses, name), -1, lambda: None)
    clean_up(uses)
    for at in range(1, total + 1, 2):

        def act() -> None:
            getattr(uses, reentry)()
            assert is_patched(fake_torch) == claimed(uses) or registry._held, "wrong inside the handler"

        run(operation_of(uses, name), at, act)
        check(fake_torch, uses)
        clean_up(uses)
        assert not is_patched(fake_torch)


def test_handler_in_the_middle_sees_its_own_context_in_force(fake_torch, uses):
    uses.with_block()
    total, _ = run(uses.with_block, -1, lambda: None)
    for at in range(1, total + 1):
        seen = []

        def act(seen: list[bool] = seen) -> None:
            with uses.context():
                seen.append(is_patched(fake_torch))

        run(uses.with_block, at, act)
        assert seen == [True], at
    assert not is_patched(fake_torch)


# Methods in which an interrupt arrives. The tests above reach each bytecode, but coverage cannot see what runs under
# their trace function.
IN_A_BLOCK = ["patching.context:Scope.end", "patching.patch:Patch.enter", "patching.patch:Patch.reconcile"]
IN_UNINSTALL = ["installation:Install.remove", "patching.patch:Patch.leave", "patching.patch:Patch.reconcile"]


def interrupt_first_call(monkeypatch: pytest.MonkeyPatch, place: str, late: bool) -> None:
    """Have the first call of a method raise KeyboardInterrupt, before or after it does its work."""
    module, _, path = place.partition(":")
    owner = getattr(importlib.import_module(f"compat.{module}"), path.partition(".")[0])
    method = vars(owner)[path.partition(".")[2]]
    calls: list[Any] = []

    def interrupted(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 1 or late:
            method(*arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(owner, method.__name__, interrupted)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", IN_A_BLOCK)
def test_interrupted_block_is_over(fake_torch, uses, monkeypatch, place, late):
    context = uses.context()  # kept here: a block ends with its context, too
    interrupt_first_call(monkeypatch, place, late)
    with pytest.raises(KeyboardInterrupt), context:
        assert is_patched(fake_torch)
    assert not claimed(uses)
    check(fake_torch, uses)
    assert context._innermost() is None


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", IN_UNINSTALL)
def test_interrupted_uninstall_is_completed(fake_torch, uses, monkeypatch, place, late):
    uses.install()
    interrupt_first_call(monkeypatch, place, late)
    with pytest.raises(KeyboardInterrupt):
        uses.uninstall()
    assert not claimed(uses)
    check(fake_torch, uses)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_interrupted_patch_leaves_all_the_same(fake_torch, uses, monkeypatch, late):
    patch, claim = uses.shim.patch("backport"), uses.shim.claim()
    patch.enter(claim)
    interrupt_first_call(monkeypatch, "patching.patch:Patch.reconcile", late)
    with pytest.raises(KeyboardInterrupt):
        patch.leave(claim)
    check(fake_torch, uses)
    assert not is_patched(fake_torch)


def test_context_that_is_collected_while_python_ends_does_nothing(fake_torch, uses):
    context = uses.context()
    with context:
        collected = context._innermost().context.__callback__
        collected(None, ending=lambda: True)  # the modules may be gone
        assert claimed(uses)
        collected(None, ending=lambda: False)
        assert not claimed(uses)


def test_interrupted_context_ends_when_it_is_collected(fake_torch, uses):
    context = uses.context()
    context.__enter__()
    assert is_patched(fake_torch)
    del context  # `__exit__` never runs
    gc.collect()
    assert not is_patched(fake_torch)
    assert not claimed(uses)
