"""The `lazy_graph_module` context in threads, generators and tasks, and in any order of them.

Every test also checks that torch is left unchanged: see `torch_is_left_as_it_was` in conftest.py."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.this_torch import ASK
from helpers.torch_state import (
    lazy,
    made,
    same,
    split_kinds,
    state,
    status_of,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import compat
from compat.shims.lazy_graph_module import SHIM

pytestmark = pytest.mark.usefixtures("torch_contexts_are_collected")
scope = functools.partial(compat.lazy_graph_module, mode=ASK)


# --- Threads -------------------------------------------------------------------------------------------------------


def test_other_thread_without_context_gets_plain_modules(other_thread):
    with scope():
        assert other_thread.submit(lambda: (made(), split_kinds())).result() == ("plain", "plain")


def test_thread_in_copied_context_belongs_to_the_scope(other_thread):
    with scope():
        copy = contextvars.copy_context()
        assert other_thread.submit(copy.run, made).result() == "lazy"
    assert other_thread.submit(copy.run, made).result() == "plain", "the scope has ended in the copy too"


def test_overlapping_threads_do_not_affect_each_other(other_thread):
    here, there = scope(), scope(False)
    here.__enter__()
    other_thread.submit(there.__enter__).result()
    assert (made(), other_thread.submit(made).result()) == ("lazy", "plain")
    here.__exit__(None, None, None)
    assert (made(), other_thread.submit(made).result()) == ("plain", "plain")
    with scope():
        other_thread.submit(there.__exit__, None, None, None).result()
        assert (made(), other_thread.submit(made).result()) == ("lazy", "plain")
    assert lazy._use_lazy_graph_module_flag is False


def test_concurrent_contexts_give_each_thread_its_own_kind():
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


def test_generators_closed_out_of_order_restore_plain_modules():
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


def test_generator_closed_in_another_thread_ends_its_scope_here(other_thread):
    left = generator()
    assert (next(left), made()) == ("lazy", "lazy")
    other_thread.submit(left.close).result()
    assert (made(), other_thread.submit(made).result()) == ("plain", "plain")


def test_contexts_exited_in_other_threads_do_not_accumulate(other_thread):
    with scope():
        for _ in range(9):
            inner = scope()
            inner.__enter__()
            other_thread.submit(inner.__exit__).result()
            assert made() == "lazy"
        assert len(SHIM.scopes.open.get()) <= 2


def test_generator_resumed_in_another_thread_gets_plain_modules(other_thread):
    moved = generator()
    assert next(moved) == "lazy"
    assert other_thread.submit(next, moved).result() == "plain"
    assert next(moved) == "lazy"
    moved.close()


def test_garbage_collected_generator_ends_its_scope():
    dropped = generator()
    assert next(dropped) == "lazy"
    del dropped
    gc.collect()
    assert made() == "plain"


# --- Tasks ---------------------------------------------------------------------------------------------------------


def test_interleaved_tasks_have_separate_contexts():
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


def test_task_started_in_context_belongs_to_it_until_its_end():
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


def test_cancelled_task_ends_its_context():
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


def test_async_generator_closed_by_another_task_ends_its_context():
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


def scope_around_the_end_of_a_compile() -> list[object]:
    compiling, finish = threading.Event(), threading.Event()

    def backend(graph, inputs):
        compiling.set()
        assert finish.wait(60)
        return graph.forward

    def compile_and_run() -> torch.Tensor:
        return torch.compile(lambda x: torch.sin(x) + 1, backend=backend)(torch.zeros(2))

    with ThreadPoolExecutor(1) as other_thread:
        result = other_thread.submit(compile_and_run)
        assert compiling.wait(60), result.exception()
        with scope():
            seen = [made(), split_kinds()]
            finish.set()
            seen.append(torch.equal(result.result(), torch.ones(2)))
            seen += [made(), split_kinds()]
    return [*seen, lazy._use_lazy_graph_module_flag, made()]


# Runs in a new process: on torch 2.11.0 make_fx crashes after a torch.compile in another thread, also without compat.
def test_torch_compile_ending_in_another_thread_does_not_end_context(fresh):
    assert fresh(scope_around_the_end_of_a_compile) == ["lazy", "lazy", True, "lazy", "lazy", False, "plain"]


# --- Any order of anything -----------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Enters, exits, installs and uninstalls in any order from several context copies, and compares with a model.

    The model is a list of open scopes per context copy, innermost last. Without one the count of installs decides, and
    without installs torch's flag.
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
    def status_reports_whether_shim_is_active(self):
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


def test_exit_elsewhere_ends_innermost_of_two_entries() -> None:
    home = contextvars.Context()
    for _ in range(30):  # the defect depended on addresses in memory, so one try does not show it
        twice, between = scope(False), scope(True)
        for entered in (twice, between, twice):
            home.run(entered.__enter__)
        twice.__exit__(None, None, None)
        assert home.run(made) == "lazy"
        for left in (between, twice):
            home.run(left.__exit__, None, None, None)
