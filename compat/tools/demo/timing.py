"""Time alternatives in one process. The demo and the benchmarks use it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time each call of each function, in seconds.

    The functions take turns, so that other load on the machine slows all of them alike. Before each call the garbage
    of the previous one is collected.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            start = time.perf_counter()
            kept = way()
            seconds[name].append(time.perf_counter() - start)
            del kept
    return seconds
