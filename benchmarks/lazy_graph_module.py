"""Measure the gain and the cost of `lazy_graph_module` on the installed torch, and write JSON.

One run compares, interleaved and with medians: the plain split, the engines' way (torch's own context around it), ours,
and the limit (the same split with the construction of GraphModules stubbed out). Then what it takes in fresh processes:
the first split, everything counted. Then entering and leaving the context, beside torch's own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import statistics
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from results import save
from torch.fx._lazy_graph_module import _use_lazy_graph_module

import compat
from compat.tools.demo import first
from compat.tools.demo.demo import Piecewise, counted, deferred_in
from compat.tools.demo.model import capture, partitions, split
from compat.tools.demo.timing import interleaved


@contextlib.contextmanager
def stubbed_construction() -> Iterator[None]:
    """Every GraphModule that split_module would build is one ready-made object instead."""
    module = importlib.import_module("torch.fx.passes.split_module")
    holder, name = (
        (module, "_make_graph_module")
        if hasattr(module, "_make_graph_module")
        else (importlib.import_module("torch.fx.graph_module"), "GraphModule")
    )
    ready = SimpleNamespace(meta={})
    with mock.patch.object(holder, name, new=lambda *_: ready):  # noqa: PT008 - a Mock costs time
        yield


def split_times(layers: int, rounds: int) -> dict[str, Any]:
    graph, _ = capture(layers)
    numbers = partitions(graph)

    def way(context: Callable[[], contextlib.AbstractContextManager[Any]]) -> torch.fx.GraphModule:
        with context():
            return split(graph, numbers)

    contexts = {
        "plain": contextlib.nullcontext,
        "context alone": lambda: _use_lazy_graph_module(True),
        "compat": compat.lazy_graph_module,
        "limit": stubbed_construction,
    }
    seconds = interleaved({name: partial(way, context) for name, context in contexts.items()}, rounds)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    # Of each round by itself: what slows a whole round down leaves its ratio alone.
    paired = [plain / ours for plain, ours in zip(seconds["plain"], seconds["compat"])]
    to_limit = [ours / limit for ours, limit in zip(seconds["compat"], seconds["limit"])]
    return {
        "nodes": len(graph.graph.nodes),
        "partitions": len(set(numbers.values())),
        "median_ms": {name: round(median * 1e3, 2) for name, median in medians.items()},
        "plain_over_compat": round(statistics.median(paired), 3),
        "compat_over_limit": round(statistics.median(to_limit), 3),
        "seconds": seconds,
    }


def recompiles(layers: int) -> dict[str, int]:
    """Recompiles that run in the split, and deferred ones that happen when all partitions are compiled and run."""
    graph, inputs = capture(layers)
    lazy, ran = counted(graph, partitions(graph), "compat")
    before = len(deferred_in(lazy))
    with torch.no_grad():
        Piecewise(lazy).run(*inputs)
    return {"in_the_split": ran, "deferred": before, "after_compiling_and_running": before - len(deferred_in(lazy))}


def first_splits(layers: int, processes: int) -> dict[str, Any]:
    seconds = {way: [] for way in ("plain", "compat")}
    for _ in range(processes):
        for way, taken in seconds.items():
            taken.append(first.measure(layers, way))
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    return {
        "median_ms": {way: round(median * 1e3, 2) for way, median in medians.items()},
        "plain_over_compat": round(medians["plain"] / medians["compat"], 3),
        "seconds": seconds,
    }


def context_cost(rounds: int) -> dict[str, float]:
    """Microseconds to make, enter and leave each context."""

    def ours() -> None:
        with compat.lazy_graph_module():
            pass

    def upstream() -> None:
        with _use_lazy_graph_module(True):
            pass

    best = {"compat": [], "upstream": []}
    for _ in range(rounds):
        for name, way in (("compat", ours), ("upstream", upstream)):
            best[name].append(timeit.timeit(way, number=10_000) / 10_000 * 1e6)
    medians = {name: statistics.median(taken) for name, taken in best.items()}
    return {f"{name}_us": round(median, 3) for name, median in medians.items()} | {
        "more_us": round(medians["compat"] - medians["upstream"], 3)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--processes", type=int, default=5)
    options = parser.parse_args()
    mode = next(row.mode for row in compat.status() if row.name == "lazy_graph_module")
    measured = {"mode": mode, "split": split_times(options.layers, options.rounds)}
    measured["first_split"] = first_splits(options.layers, options.processes)
    measured["context"] = context_cost(15)
    measured["recompiles"] = recompiles(options.layers)
    save("lazy_graph_module", measured)


if __name__ == "__main__":
    main()
