"""Long use: thousands of thread interleavings, and rounds of enter, compile and exit, leave no residue."""

from __future__ import annotations

import gc
import random
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers.this_torch import ASK
from helpers.torch_state import made, same, split_kinds, state
from helpers.warm import Warm
from helpers.worker import Worker

import compat
from compat.patching.registry import shared
from compat.tools.demo import chain, lowering


def program(rng: random.Random) -> Iterator[Callable[[], None]]:
    """Yield the steps of one thread, which opens and closes contexts and checks the modules that it gets."""
    opened: list[tuple[Any, bool]] = []

    def right() -> None:
        assert made() == ("lazy" if opened and opened[-1][1] else "plain")

    for _ in range(rng.randint(1, 4)):
        if opened and rng.random() < 0.4:
            context, _ = opened.pop()
            yield lambda context=context: context.__exit__(None, None, None)
        else:
            enabled = rng.random() < 0.7
            context = compat.lazy_graph_module(enabled, mode=ASK)
            opened.append((context, enabled))
            yield context.__enter__
        yield right
    while opened:
        context, _ = opened.pop()
        yield lambda context=context: context.__exit__(None, None, None)
        yield right


@pytest.mark.slow
def test_ten_thousand_interleavings_of_threads_restore_torch() -> None:
    before, workers = state(), [Worker() for _ in range(3)]
    for seed in range(10_000):
        rng = random.Random(seed)
        programs = [(worker, program(rng)) for worker in workers]
        while programs:
            at = rng.randrange(len(programs))
            worker, steps = programs[at]
            step = next(steps, None)
            if step is None:
                del programs[at]
            else:
                worker(step)  # fails after a minute
        assert same(before, state())
    for worker in workers:
        worker.end()


@pytest.mark.slow
def test_free_running_threads_finish_and_restore_torch() -> None:
    before, wrong = state(), []

    def run(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(500):
            try:
                for step in program(rng):
                    step()
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=run, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert same(before, state())


def sizes() -> dict[str, int]:
    """Return the size of everything that could grow."""
    registry = {key: shared(key, dict) for key in ("claims/2", "points/2", "lock/2", "installed/2")}
    return {
        "objects": len(gc.get_objects()),
        "modules": len(sys.modules),
        "sys.meta_path": len(sys.meta_path),
        **{f"registry {key}": len(part) for key, part in registry.items()},
        "installed": sum(map(len, registry["installed/2"].values())),
    }


def rounds(number: int, active: bool) -> list[dict[str, int]]:
    """Return, from a new process, the sizes and the peak memory in kB after a fifth of the rounds and after all."""
    given, found = chain.inputs(2, 4, torch.float32, hidden=8), []
    function = chain.make()
    torch.set_num_threads(1)
    for done in range(number + 1):
        if done in (number // 5, number):  # after a fifth torch's own caches are full: one keeps 128 ShapeEnvs
            torch._dynamo.reset()
            gc.collect()
            found.append(sizes() | {"kB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss})
        if active:
            with compat.lazy_graph_module(mode=ASK), compat.realize_on_reuse(mode="backport"):
                compat.install()
                split_kinds()
                lowering.lower(function, given)
                compat.uninstall()
        else:
            split_kinds()
            lowering.lower(function, given)
        if not done % 100:
            torch.compile(lambda x: x + 1, backend="eager")(given[0])
    return found


@pytest.mark.slow
def test_a_thousand_rounds_leak_nothing(warm: Warm) -> None:
    early, late = warm(rounds, 1000, True)
    before, after = warm(rounds, 1000, False)
    grown, grown_alone = late.pop("kB") - early.pop("kB"), after.pop("kB") - before.pop("kB")
    assert grown - grown_alone < 8 * 1024
    assert late.pop("objects") - early.pop("objects") < 800  # less than one per round
    assert late == early
