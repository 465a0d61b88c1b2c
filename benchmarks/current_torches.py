"""Measure the shims that save time on torch 2.13 and later, and write JSON.

Three measurements on the installed torch, each against the same torch without the shim: copying a graph
(`fx_node_creation`; also against an older torch, whose Python is given by --reference), the lazy split of a
transformer, and the first compile in a fresh cache folder (`vector_isa_probe`). The compared ways take turns: processes
for the copy and for the compile, calls in one process for the split. Ratios are medians of the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

import compat

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def installed(*names: str) -> Iterator[None]:
    if names:
        compat.install(*names)
    try:
        yield
    finally:
        if names:
            compat.uninstall(*names)


def cpu_time(function: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call, which the load of the machine changes least."""
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time()
        function()
        return time.thread_time() - start
    finally:
        gc.enable()


# --- In a process of its own ---------------------------------------------------------------------------------------


def copy_seconds(layers: int, copies: int, shim: str) -> dict[str, Any]:
    """Return the CPU seconds of one copy of the graph of a transformer."""
    from compat.tools.demo.model import capture

    graph = capture(layers)[0].graph

    def copy() -> torch.fx.Graph:
        made = torch.fx.Graph()
        made.graph_copy(graph, {})
        return made

    with installed(*filter(None, [shim])):
        made = copy()
        seconds = [cpu_time(copy) for _ in range(copies)]
    return {
        "torch": str(torch.__version__),
        "nodes": len(made.nodes),
        "median": statistics.median(seconds),
        "least": min(seconds),
    }


def compile_seconds(shim: str) -> dict[str, Any]:
    """Return the seconds of the first compile: on the clock, and of CPU time with compilers."""
    import torch._dynamo
    import torch._inductor.compile_fx
    from torch._inductor import cpu_vec_isa

    value = torch.ones(16, 64)
    with installed(*filter(None, [shim])):
        start, before = time.perf_counter(), os.times()
        torch.compile(lambda x: torch.relu(x.sin() + 1))(value)
        after, seconds = os.times(), time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu": sum(after[:4]) - sum(before[:4]),
        "vectors": [str(isa) for isa in cpu_vec_isa.valid_vec_isa_list()],
    }


# --- Taking turns --------------------------------------------------------------------------------------------------


def child(python: str, *words: str, **variables: str) -> dict[str, Any]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    command = [python, "-W", "ignore", __file__, "--child", *words]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def graph_copy(layers: int, copies: int, rounds: int, reference: str | None) -> dict[str, Any]:
    ways: dict[str, tuple[str, str]] = {
        "torch": (sys.executable, ""),
        "compat": (sys.executable, "fx_node_creation"),
    }
    if reference:
        ways["reference"] = (reference, "")
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in sorted(ways, reverse=bool(turn % 2)):
            python, shim = ways[way]
            run = child(python, "copy", str(layers), str(copies), shim)
            runs[way].append(run)

    def each(way: str, kind: str) -> list[float]:
        return [run[kind] / run["nodes"] * 1e6 for run in runs[way]]

    against = "reference" if reference else "torch"
    ratios = [
        [ours / theirs for ours, theirs in zip(each(way, "least"), each(against, "least"))]
        for way in ("torch", "compat")
    ]
    return {
        "torches": {way: taken[0]["torch"] for way, taken in runs.items()},
        "nodes": {way: taken[0]["nodes"] for way, taken in runs.items()},
        "median_us_per_node": {way: round(statistics.median(each(way, "median")), 3) for way in runs},
        "least_us_per_node": {way: round(min(each(way, "least")), 3) for way in runs},
        f"torch_over_{against}": round(statistics.median(ratios[0]), 3),
        f"compat_over_{against}": round(statistics.median(ratios[1]), 3),
        "runs": runs,
    }


def lazy_split(layers: int, rounds: int) -> dict[str, Any]:
    from compat.tools.demo.model import capture, partitions, split

    graph, _ = capture(layers)
    numbers = partitions(graph)

    def way(lazy: bool, *shims: str) -> torch.fx.GraphModule:
        with installed(*shims), compat.lazy_graph_module(lazy):
            return split(graph, numbers)

    ways: dict[str, Callable[[], Any]] = {
        "plain": lambda: split(graph, numbers),
        "compat": partial(way, True),
        "compat with fx_node_creation": partial(way, True, "fx_node_creation"),
    }
    for function in ways.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in sorted(ways, reverse=bool(turn % 2)):
            seconds[name].append(cpu_time(ways[name]))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    gains = {name: statistics.median(p / o for p, o in zip(seconds["plain"], seconds[name])) for name in list(ways)[1:]}
    return {
        "nodes": len(graph.graph.nodes),
        "partitions": len(set(numbers.values())),
        "median_ms": {name: round(median * 1e3, 2) for name, median in medians.items()},
        "plain_over": {name: round(gain, 3) for name, gain in gains.items()},
        "seconds": seconds,
    }


def first_compile(rounds: int) -> dict[str, Any]:
    shims = {"torch": "", "compat": "vector_isa_probe"}
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in shims}
    with tempfile.TemporaryDirectory() as base:
        # Torch keeps precompiled headers below TMPDIR, not in the compile cache folder:
        # the first two compiles here are the first ones of this user, and not counted.
        variables = {"XDG_CACHE_HOME": f"{base}/user", "TMPDIR": f"{base}/tmp"}
        os.mkdir(variables["TMPDIR"])
        for turn in range(rounds + 1):
            for way in sorted(shims, reverse=bool(turn % 2)):
                folder = {"TORCHINDUCTOR_CACHE_DIR": f"{base}/{way}{turn}"}
                run = child(sys.executable, "compile", shims[way], **variables, **folder)
                runs[way].append(run)
    vectors = [taken.pop("vectors") for way in runs for taken in runs[way]]
    result: dict[str, Any] = {
        "vectors": vectors[0],
        "same_vectors": all(found == vectors[0] for found in vectors),
        "first_folder_s": {way: round(runs[way][0]["seconds"], 2) for way in runs},
    }
    for kind in ("seconds", "cpu"):
        taken = {way: [run[kind] for run in runs[way][1:]] for way in runs}
        ratios = [theirs / ours for theirs, ours in zip(taken["torch"], taken["compat"])]
        result[f"median_{kind}"] = {way: round(statistics.median(values), 2) for way, values in taken.items()}
        result[f"torch_over_compat_{kind}"] = round(statistics.median(ratios), 3)
    return result | {"runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--copies", type=int, default=25, help="in one process")
    parser.add_argument("--rounds", type=int, default=6, help="an even number")
    parser.add_argument("--splits", type=int, default=15)
    parser.add_argument("--reference", help="the Python that has torch 2.12")
    parser.add_argument("--only", choices=["copy", "split", "compile"], action="append")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, *words = given.child
        found = compile_seconds(*words) if kind == "compile" else copy_seconds(int(words[0]), int(words[1]), words[2])
        print(json.dumps(found))
        return
    from results import save

    names = ("fx_node_creation", "vector_isa_probe", "lazy_graph_module")
    modes = {row.name: row.mode for row in compat.status() if row.name in names}
    measured: dict[str, Any] = {"modes": modes}
    only = given.only or ["copy", "split", "compile"]
    if "copy" in only:
        measured["graph_copy"] = graph_copy(given.layers, given.copies, given.rounds, given.reference)
    if "split" in only:
        measured["lazy_split"] = lazy_split(given.layers, given.splits)
    if "compile" in only:
        measured["first_compile"] = first_compile(given.rounds)
    save("current_torches", measured)


if __name__ == "__main__":
    main()
