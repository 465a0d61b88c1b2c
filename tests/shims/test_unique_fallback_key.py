"""`unique_fallback_key`: graphs without a cache key, in one process and in two, and what the program draws itself."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat
from compat.selfcheck.quick import compile_quickly
from compat.selfcheck.reproducers.unique_fallback_key import _compiled
from compat.shims import unique_fallback_key as shim


def run(folder: str, install: bool, factors: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """Compile functions that multiply by `factors`. Return what they return, and what the program draws after each."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo import config

    if install:
        compat.install("unique_fallback_key")
    results, drawn = [], []
    with config.patch(enable_aot_compile=True), compile_quickly(call_operators=True):
        for factor in factors:
            torch._dynamo.reset()
            random.seed(0)
            results.append(float(_compiled(factor)(torch.eye(2))[0, 0]))
            drawn.append(random.random())
    return results, drawn


# torch 2.9 saves no artifact for such a graph, so nothing can be confused.
needs_aot_compile = pytest.mark.skipif(RELEASE < (2, 10), reason="torch cannot compile it ahead of time")


@needs_aot_compile
@pytest.mark.parametrize("install", [False, True])
def test_two_processes_with_one_seed_get_their_own_code(install: bool, warm: Warm, tmp_path: Path) -> None:
    got = [warm(run, str(tmp_path), install, (factor,))[0] for factor in (2, 7)]
    assert got == ([[2.0], [7.0]] if install or RELEASE >= (2, 15) else [[2.0], [2.0]])


@needs_aot_compile
def test_one_process_gets_the_code_of_each_function_and_its_own_random_numbers(warm: Warm, tmp_path: Path) -> None:
    results, drawn = warm(run, str(tmp_path), True, (2, 7, 3))
    assert results == [2.0, 7.0, 3.0]
    random.seed(0)
    assert drawn == [random.random()] * 3


Key = Callable[..., tuple[str, list[str]]]


def replaced(stock: Key) -> Key:
    wrapper: Any = SimpleNamespace(next=stock)
    made: Key = shim._replace_autograd_cache_key(wrapper)
    return made


def test_key_is_passed_on_with_its_lines() -> None:
    before = random.getstate()
    assert replaced(lambda graph, inputs: ("aabc", [graph, inputs]))("g", "i") == ("aabc", ["g", "i"])
    assert random.getstate() == before


def test_key_of_a_number_is_replaced_and_never_twice_the_same() -> None:
    key = replaced(lambda: (str(random.random()), []))
    state = random.getstate()
    drawn = set()
    for _ in range(100):
        random.seed(0)
        drawn.add(key()[0])
    assert len(drawn) == 100
    random.setstate(state)


def test_small_numbers_are_recognized() -> None:
    assert replaced(lambda: ("1e-05", []))()[0] != "1e-05"


def test_number_that_another_thread_draws_meanwhile_is_not_drawn_again() -> None:
    drawn = []

    def stock() -> tuple[str, list[str]]:
        number = random.random()
        thread = threading.Thread(target=lambda: drawn.append(random.random()))
        thread.start()
        thread.join()
        return str(number), []

    random.seed(0)
    replaced(stock)()
    assert random.random() != drawn[0]


def test_an_error_without_a_fallback_stays_an_error() -> None:
    def stock() -> tuple[str, list[str]]:
        raise ValueError("no key")

    with pytest.raises(ValueError, match="no key"):
        replaced(stock)()
