"""Who gets lazy modules, and for how long: scopes nested, left in any order, in threads, tasks and generators.

Every test also shows that torch is left as it was: see `torch_is_left_as_it_was` in conftest.py.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import random
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import torch
from helpers.this_torch import ASK, WORKING
from helpers.torch_state import (
    kind_of,
    lazy,
    made,
    same,
    split,
    split_kinds,
    split_module,
    split_module_file,
    state,
    status_of,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import compat
from compat.shims.lazy_graph_module import _scopes

scope = functools.partial(compat.lazy_graph_module, mode=ASK)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


# --- One scope -----------------------------------------------------------------------------------------------------


def test_lazy_inside_and_plain_outside():
    assert (made(), split_kinds()) == ("plain", "plain")
    with scope():
        assert (made(), split_kinds()) == ("lazy", "lazy")
    assert (made(), split_kinds()) == ("plain", "plain")


HELD = {"function": split_module}


@pytest.mark.parametrize(
    "held",
    [
        split_module,
        split_module_file.split_module,
        functools.partial(split_module),
        HELD["function"],
        lambda *a: split_module(*a),
    ],
    ids=["by name", "by module", "in a partial", "in a container", "in a function"],
)
def test_lazy_however_the_caller_holds_split_module(held):
    with scope():
        assert split_kinds(held) == "lazy"
    assert split_kinds(held) == "plain"


def test_the_partitions_outlive_the_scope_and_run():
    with scope():
        result = split()
    assert {kind_of(result), kind_of(result.submod_0)} == {"lazy"}
    x = torch.linspace(-3, 3, 7)
    assert torch.equal(result(x), torch.relu(torch.sin(x)))


@pytest.mark.parametrize("enabled", [True, False])
def test_an_exception_passes_through_unchanged(enabled):
    class Mine(BaseException):
        pass

    def body() -> None:
        runs.append(1)
        raise error

    error, runs = Mine("mine"), []
    with pytest.raises(Mine) as caught, scope(enabled):
        body()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    here = sys._getframe().f_code.co_name
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == [here, "body"]
    assert runs == [1]
    assert made() == "plain"


@pytest.mark.parametrize("error", [StopIteration(1), GeneratorExit(), KeyboardInterrupt()], ids=repr)
def test_exceptions_that_python_itself_uses_pass_through_too(error):
    with pytest.raises(type(error)) as caught, scope():
        raise error
    assert caught.value is error


def test_an_error_of_split_module_itself_passes_through():
    with scope(), pytest.raises(ZeroDivisionError):
        split_module(torch.fx.symbolic_trace(lambda x: x + 1), torch.nn.Module(), lambda node: 1 // 0)
    assert split_kinds() == "plain"


def test_mode_noop_touches_nothing():
    before = state()
    with compat.lazy_graph_module(mode="noop"):
        assert same(before, state())
        assert (made(), split_kinds()) == ("plain", "plain")


def test_mode_noop_inside_a_scope_leaves_that_scope_alone():
    with scope(), compat.lazy_graph_module(mode="noop"):
        assert (made(), split_kinds()) == ("lazy", "lazy")


# --- Scopes in scopes ----------------------------------------------------------------------------------------------


def test_the_innermost_scope_decides():
    with scope():
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
            with scope():
                assert (made(), split_kinds()) == ("lazy", "lazy")
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_an_exception_ends_all_the_scopes_it_leaves():
    with scope(False):
        with pytest.raises(RuntimeError), scope(), scope(False), scope():
            raise RuntimeError
        assert made() == "plain"


def test_left_out_of_order_the_remaining_scope_decides():
    first, second = scope(), scope(False)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert made() == "plain"
    first.__enter__()
    second.__exit__(None, None, None)
    assert made() == "lazy"
    first.__exit__(None, None, None)
    assert made() == "plain"


def test_one_context_object_can_be_used_again_and_inside_itself():
    again = scope()
    for _ in range(2):
        with again:
            with scope(False), again:
                assert made() == "lazy"
            assert made() == "lazy"
        assert made() == "plain"


def test_one_context_object_in_two_threads(elsewhere):
    shared = scope()
    with shared:
        elsewhere.submit(shared.__enter__).result()
        assert elsewhere.submit(made).result() == "lazy"
        elsewhere.submit(shared.__exit__, None, None, None).result()
        assert elsewhere.submit(made).result() == "plain"
        assert made() == "lazy"


def test_as_a_decorator_it_holds_for_each_call():
    @scope()
    def inside(depth: int) -> list[str]:
        return [made(), *(inside(depth - 1) if depth else [])]

    assert inside(2) == ["lazy"] * 3
    assert made() == "plain"
    assert inside(0) == ["lazy"]


# --- Threads -------------------------------------------------------------------------------------------------------


def test_another_thread_outside_any_scope_gets_what_torch_alone_gives(elsewhere):
    with scope():
        assert elsewhere.submit(lambda: (made(), split_kinds())).result() == ("plain", "plain")


def test_a_thread_that_runs_in_a_copy_of_the_context_belongs_to_the_scope(elsewhere):
    with scope():
        copy = contextvars.copy_context()
        assert elsewhere.submit(copy.run, made).result() == "lazy"
    assert elsewhere.submit(copy.run, made).result() == "plain", "the scope has ended, there too"


def test_overlapping_threads_do_not_end_or_prolong_each_others_scopes(elsewhere):
    here, there = scope(), scope(False)
    here.__enter__()
    elsewhere.submit(there.__enter__).result()
    assert (made(), elsewhere.submit(made).result()) == ("lazy", "plain")
    here.__exit__(None, None, None)
    assert (made(), elsewhere.submit(made).result()) == ("plain", "plain")
    with scope():
        elsewhere.submit(there.__exit__, None, None, None).result()
        assert (made(), elsewhere.submit(made).result()) == ("lazy", "plain")
    assert lazy._use_lazy_graph_module_flag is False


def test_many_threads_at_once():
    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            enabled = chance.random() < 0.5
            with scope(enabled):
                assert made() == ("lazy" if enabled else "plain")
            assert made() == "plain"

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as executor:
            list(executor.map(work, range(6)))
    finally:
        sys.setswitchinterval(interval)


# --- Generators ----------------------------------------------------------------------------------------------------


def generator(enabled: bool = True) -> Iterator[str]:
    with scope(enabled):
        while True:
            yield made()


def test_generators_closed_out_of_order():
    one, other = generator(True), generator(False)
    assert (next(one), next(other)) == ("lazy", "plain")
    one.close()
    assert (made(), next(other)) == ("plain", "plain")
    third = generator(True)
    assert next(third) == "lazy"
    other.close()
    assert (made(), next(third)) == ("lazy", "lazy")
    third.close()
    assert made() == "plain"


def test_a_generator_closed_in_another_thread_ends_its_scope_in_this_one(elsewhere):
    left = generator()
    assert (next(left), made()) == ("lazy", "lazy")
    elsewhere.submit(left.close).result()
    assert (made(), elsewhere.submit(made).result()) == ("plain", "plain")


def test_scopes_that_others_have_left_do_not_pile_up(elsewhere):
    with scope():
        for _ in range(9):
            inner = scope()
            inner.__enter__()
            elsewhere.submit(inner.__exit__).result()
            assert made() == "lazy"
        assert len(_scopes.open.get()) <= 2


def test_a_generator_resumed_in_another_thread_gets_what_torch_alone_gives_there(elsewhere):
    moved = generator()
    assert next(moved) == "lazy"
    assert elsewhere.submit(next, moved).result() == "plain"
    assert next(moved) == "lazy"
    moved.close()


def test_a_generator_that_nobody_closes_ends_its_scope_when_it_is_collected():
    dropped = generator()
    assert next(dropped) == "lazy"
    del dropped
    gc.collect()
    assert made() == "plain"


# --- Tasks ---------------------------------------------------------------------------------------------------------


def test_interleaved_tasks_each_have_their_own_scopes():
    async def task(enabled: bool | None) -> None:
        expected = "lazy" if enabled else "plain"
        for _ in range(5):
            if enabled is None:
                await asyncio.sleep(0)
                assert made() == expected
            else:
                with scope(enabled):
                    await asyncio.sleep(0)
                    assert made() == expected
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(task(enabled) for enabled in (True, False, None, True)))

    asyncio.run(main())


def test_a_task_started_in_a_scope_belongs_to_it_until_it_ends():
    async def child(ended: asyncio.Event) -> list[str]:
        during = made()
        await ended.wait()
        return [during, made()]

    async def main() -> list[str]:
        ended = asyncio.Event()
        with scope():
            task = asyncio.create_task(child(ended))
            await asyncio.sleep(0)
        ended.set()
        return await task

    assert asyncio.run(main()) == ["lazy", "plain"]


def test_a_cancelled_task_ends_its_scope():
    async def child() -> None:
        with scope():
            await asyncio.sleep(60)

    async def main() -> str:
        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return made()

    assert asyncio.run(main()) == "plain"


def test_an_async_generator_closed_by_another_task():
    async def numbers():
        with scope():
            yield made()
            yield made()

    async def main() -> list[str]:
        left = numbers()
        seen = [await anext(left), made()]
        await asyncio.create_task(left.aclose())
        return [*seen, made()]

    assert asyncio.run(main()) == ["lazy", "lazy", "plain"]


# --- Torch's own switch --------------------------------------------------------------------------------------------


def test_a_scope_outranks_torchs_own_switch_and_gives_it_back():
    with lazy._use_lazy_graph_module(True):
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
        assert made() == "lazy"
    with scope():
        with lazy._use_lazy_graph_module(False):
            assert (made(), split_kinds()) == ("lazy", "lazy")
        assert made() == "lazy"


def test_torchs_own_context_left_after_ours():
    theirs = lazy._use_lazy_graph_module(True)
    with scope():
        theirs.__enter__()
    assert made() == "lazy", "theirs is still open"
    theirs.__exit__(None, None, None)
    assert made() == "plain"
    assert lazy._use_lazy_graph_module_flag is False


def test_torchs_own_context_overlapping_ours_in_another_thread_disturbs_neither(elsewhere):
    theirs = lazy._use_lazy_graph_module(True)
    elsewhere.submit(theirs.__enter__).result()
    ours = scope()
    ours.__enter__()
    elsewhere.submit(theirs.__exit__, None, None, None).result()
    assert (made(), split_kinds()) == ("lazy", "lazy")
    ours.__exit__(None, None, None)
    assert lazy._use_lazy_graph_module_flag is False

    with scope(False):
        theirs = lazy._use_lazy_graph_module(True)
        elsewhere.submit(theirs.__enter__).result()
        assert (made(), elsewhere.submit(made).result()) == ("plain", "lazy")
    elsewhere.submit(theirs.__exit__, None, None, None).result()
    assert lazy._use_lazy_graph_module_flag is False


def test_nothing_is_lazy_where_torch_forces_it_off():
    with lazy._force_skip_lazy_graph_module(), scope():
        assert (made(), split_kinds()) == ("plain", "plain")
    with scope():
        with lazy._force_skip_lazy_graph_module():
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def scope_around_the_end_of_a_compile() -> list[object]:
    compiling, finish = threading.Event(), threading.Event()

    def backend(graph, inputs):
        compiling.set()
        assert finish.wait(60)
        return graph.forward

    def compile_and_run() -> torch.Tensor:
        return torch.compile(lambda x: torch.sin(x) + 1, backend=backend)(torch.zeros(2))

    with ThreadPoolExecutor(1) as elsewhere:
        result = elsewhere.submit(compile_and_run)
        assert compiling.wait(60), result.exception()
        with scope():
            seen = [made(), split_kinds()]
            finish.set()
            seen.append(torch.equal(result.result(), torch.ones(2)))
            seen += [made(), split_kinds()]
    return [*seen, lazy._use_lazy_graph_module_flag, made()]


# In a process of its own: on torch 2.11.0, make_fx crashes after a torch.compile in another thread, with or without us.
def test_a_torch_compile_that_ends_in_another_thread_in_the_middle_of_a_scope(fresh):
    assert fresh(scope_around_the_end_of_a_compile) == ["lazy", "lazy", True, "lazy", "lazy", False, "plain"]


# --- Any order of anything -----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_to_the_collector():
    """A context of torch's own that was never left sets its global flag back whenever it is collected."""
    gc.collect()


class AnyOrder(RuleBasedStateMachine):
    """Scopes entered and left, and the shim installed and uninstalled, in any order from several contexts.

    The model: a list of open scopes for each context, innermost last; then the count of installs; then torch's flag.
    """

    CONTEXTS = 3

    def __init__(self) -> None:
        super().__init__()
        self.before = state()
        self.contexts = [contextvars.Context() for _ in range(self.CONTEXTS)]
        self.open: list[list[tuple[object, bool]]] = [[] for _ in range(self.CONTEXTS)]
        self.installed = 0
        self.theirs: list[object] = []

    @rule(home=st.integers(0, CONTEXTS - 1), enabled=st.booleans())
    def enter(self, home, enabled):
        entered = scope(enabled)
        self.contexts[home].run(entered.__enter__)
        self.open[home].append((entered, enabled))

    @rule(home=st.integers(0, CONTEXTS - 1), which=st.integers(0, 9))
    def enter_again(self, home, which):
        if self.open[home]:
            entered, enabled = self.open[home][which % len(self.open[home])]
            self.contexts[home].run(entered.__enter__)
            self.open[home].append((entered, enabled))

    @rule(home=st.integers(0, CONTEXTS - 1), where=st.integers(0, CONTEXTS - 1), which=st.integers(0, 9))
    def leave(self, home, where, which):
        if self.open[home]:
            left, _ = self.open[home][which % len(self.open[home])]
            self.contexts[where].run(left.__exit__, None, None, None)
            last = max(i for i, (entered, _) in enumerate(self.open[home]) if entered is left)
            del self.open[home][last]

    @rule()
    def install(self):
        compat.install("lazy_graph_module", mode=ASK)
        self.installed += 1

    @rule()
    def uninstall(self):
        compat.uninstall("lazy_graph_module")
        self.installed = max(0, self.installed - 1)

    @rule(should_use=st.booleans())
    def enter_theirs(self, should_use):
        self.theirs.append(lazy._use_lazy_graph_module(should_use))
        self.theirs[-1].__enter__()

    @rule()
    def leave_theirs(self):
        if self.theirs:
            self.theirs.pop().__exit__(None, None, None)

    @invariant()
    def each_context_gets_what_the_model_says(self):
        rest = True if self.installed else lazy._use_lazy_graph_module_flag
        for context, scopes in zip([*self.contexts, contextvars.Context()], [*self.open, []]):
            expected = scopes[-1][1] if scopes else rest
            assert context.run(made) == ("lazy" if expected else "plain")

    @invariant()
    def status_tells_whether_it_is_in_force(self):
        assert status_of().active == bool(self.installed or any(self.open))

    def teardown(self):
        for home, scopes in enumerate(self.open):
            for left, _ in scopes:
                self.contexts[home].run(left.__exit__, None, None, None)
        for _ in range(self.installed):
            compat.uninstall("lazy_graph_module")
        while self.theirs:
            self.theirs.pop().__exit__(None, None, None)
        assert same(self.before, state())


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_entered_twice_and_left_elsewhere_the_inner_one_ends() -> None:
    home = contextvars.Context()
    for _ in range(30):  # which one it was hung on where in memory they lay
        twice, between = scope(False), scope(True)
        for entered in (twice, between, twice):
            home.run(entered.__enter__)
        twice.__exit__(None, None, None)
        assert home.run(made) == "lazy"
        for left in (between, twice):
            home.run(left.__exit__, None, None, None)


def test_what_is_asked_for_has_a_name_but_for_enabled() -> None:
    with compat.lazy_graph_module(enabled=True, mode=ASK):
        assert made() == "lazy"
    with pytest.raises(TypeError, match="positional"):
        compat.lazy_graph_module(True, ASK)  # type: ignore[misc]


def test_a_context_that_has_been_left_is_left_again_without_harm() -> None:
    context = compat.lazy_graph_module(mode=ASK)
    context.__enter__()
    context.__exit__(None, None, None)
    context.__exit__(None, None, None)
    assert not status_of().active


def test_two_threads_that_come_first_make_one_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[compat.lazy_graph_module.__module__]
    stale = [here.Patch([(function, lambda _: print)]) for function in (lambda: 1, lambda: 2)]
    monkeypatch.setattr(here, "_patches", {WORKING: [*stale]})

    class Meanwhile:
        """Another thread is first to get the lock."""

        def __enter__(self) -> None:
            monkeypatch.setattr(patching, "lock", lock)
            compat.lazy_graph_module(mode=ASK)
            lock.acquire()

        def __exit__(self, *error: object) -> None:
            lock.release()

    patching = sys.modules[here.Patch.__module__]
    lock = patching.lock
    monkeypatch.setattr(patching, "lock", Meanwhile())
    with compat.lazy_graph_module(mode=ASK):
        assert made() == "lazy"
    compat.lazy_graph_module(mode=ASK)
    assert [len(patches) for patches in here._patches.values()] == [3]


def test_where_torch_has_lost_a_function_since_it_was_looked_at_nothing_goes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with compat.lazy_graph_module(mode=ASK):
        pass
    here = sys.modules[compat.lazy_graph_module.__module__]
    monkeypatch.setattr(here, "_patches", {})
    kept = lazy._get_graph_module_cls
    monkeypatch.delattr(lazy, "_get_graph_module_cls")
    with compat.lazy_graph_module(mode=ASK):
        assert not status_of().active
    compat.install("lazy_graph_module", mode=ASK)
    assert not status_of().active
    compat.uninstall("lazy_graph_module")
    monkeypatch.setattr(lazy, "_get_graph_module_cls", kept, raising=False)


def test_force_recompile_says_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with compat.lazy_graph_module(mode=ASK):
        module = split()
    monkeypatch.delattr(lazy._LazyGraphModule, "_needs_recompile")
    with pytest.raises(compat.UnsupportedError, match=r"force_recompile: .*_needs_recompile"):
        compat.force_recompile(module)


def test_the_class_is_the_one_that_torch_has_when_a_module_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[compat.lazy_graph_module.__module__]

    class Counting(lazy._LazyGraphModule): ...

    def built() -> type:
        with compat.lazy_graph_module(mode=ASK):
            return lazy._get_graph_module_cls()

    for patches in ({}, here._patches):  # where it is first made meanwhile, and where it was made before
        monkeypatch.setattr(here, "_patches", patches)
        with mock.patch.object(lazy, "_LazyGraphModule", Counting):
            assert built() is Counting
        assert built() is lazy._LazyGraphModule
