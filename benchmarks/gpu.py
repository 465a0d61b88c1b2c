"""Measure lazy splits, piecewise compiles and residual chains on a GPU, and write benchmarks/results/gpu-*.json.

`python benchmarks/gpu.py`. Each measurement compares the same torch without and with a shim, interleaved in one
process, with medians:

- the split of a transformer whose parameters are on the device, plain and in `compat.lazy_graph_module()`; how long its
  partitions then take to compile, in new caches; and how many deferred recompiles run after all;
- chains of residual adds with torch's own rule and with both numerics of `realize_on_reuse`: loads, bytes, run time.

On a GPU the chains run as CUDA graphs, as engines run them, so the launches take no time of the host. They are timed by
events of the GPU. A round runs the ways in random order and overwrites the L2 cache before each. The CPU is timed by
the clock.

`python benchmarks/gpu.py --device cpu --small` runs every part in two minutes without a GPU. Its numbers say nothing
about a GPU, so it prints the JSON and writes no file.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from results import save, told
from torch._inductor import config
from torch._inductor.utils import fresh_cache, run_and_get_code

import compat
from compat.tools.demo import chain, lowering
from compat.tools.demo.demo import Piecewise, deferred_in
from compat.tools.demo.model import capture, partitions, split
from compat.tools.demo.timing import interleaved

DEPTHS, ROWS, HIDDEN = (8, 24, 80), (1, 16, 256, 1024, 8192), 4096
SMALL_DEPTHS, SMALL_ROWS, SMALL_HIDDEN = (2, 4), (16,), 256
DTYPE, RESIDUAL = torch.bfloat16, torch.float32
CLEARED = 256 * 2**20  # bytes, more than the L2 cache of any card


def ours(numerics: str) -> AbstractContextManager[None]:
    return compat.realize_on_reuse(mode="backport", numerics=numerics)


WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "torch": nullcontext,
    "exact": functools.partial(ours, "exact"),
    "traffic": functools.partial(ours, "traffic"),
}


class Clock:
    """Times calls on one device, in milliseconds."""

    def __init__(self, device: str) -> None:
        self.on_cpu = torch.device(device).type == "cpu"
        self._module: Any = None if self.on_cpu else torch.get_device_module(device)
        self._junk = None if self.on_cpu else torch.empty(CLEARED, dtype=torch.int8, device=device)

    @property
    def card(self) -> dict[str, Any]:
        if self.on_cpu:
            return {"card": None}
        about = self._module.get_device_properties()
        return {
            "card": about.name,
            "memory_GB": round(about.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "rocm": torch.version.hip,
        }

    def prepare(self, function: Callable[..., Any], given: list[torch.Tensor]) -> Callable[[], Any]:
        """Return a call of a function that has run before. On CUDA devices it replays a CUDA graph."""
        if self.on_cpu or self._module is not torch.cuda:
            return functools.partial(function, *given)
        self.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            function(*given)
        replay: Callable[[], Any] = graph.replay
        return replay

    def wait(self) -> None:
        if not self.on_cpu:
            self._module.synchronize()

    def round(self, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Time each call once, in random order."""
        names = list(calls)
        random.shuffle(names)
        if self.on_cpu:
            return {name: self._by_the_clock(calls[name]) for name in names}
        events = {name: [self._module.Event(enable_timing=True) for _ in range(2)] for name in names}
        for name in names:
            self._junk.zero_()
            events[name][0].record()
            calls[name]()
            events[name][1].record()
        self.wait()
        return {name: start.elapsed_time(end) for name, (start, end) in events.items()}

    @staticmethod
    def _by_the_clock(call: Callable[[], Any]) -> float:
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3


def lazy_split(layers: int, rounds: int, runs: int, device: str) -> dict[str, Any]:
    """Measure the split, and the compile of all partitions with a run through them."""
    graph, inputs = capture(layers, device)
    numbers = partitions(graph)

    def way(context: Callable[[], AbstractContextManager[None]]) -> torch.fx.GraphModule:
        with context():
            return split(graph, numbers)

    ways = {"plain": functools.partial(way, nullcontext), "compat": functools.partial(way, compat.lazy_graph_module)}
    seconds = interleaved(ways, rounds)
    compiles: dict[str, list[float]] = {name: [] for name in ways}
    deferred, ran, clock = 0, 0, Clock(device)
    for _ in range(runs):
        for name, function in ways.items():
            torch._dynamo.reset()
            made = function()
            before = len(deferred_in(made))
            with fresh_cache(), torch.no_grad():
                start = time.perf_counter()
                Piecewise(made).run(*inputs)
                clock.wait()
                compiles[name].append(time.perf_counter() - start)
            deferred, ran = max(deferred, before), ran + before - len(deferred_in(made))
    return {
        "layers": layers,
        "nodes": len(graph.graph.nodes),
        "partitions": len(set(numbers.values())),
        "split_median_ms": {name: round(statistics.median(taken) * 1e3, 2) for name, taken in seconds.items()},
        "split_plain_over_compat": ratio(seconds["plain"], seconds["compat"]),
        "compile_and_run_s": {name: round(statistics.median(taken), 2) for name, taken in compiles.items()},
        "deferred_recompiles": deferred,
        "of_those_run_after_all": ran,
    }


def ratio(theirs: list[float], mine: list[float]) -> float:
    """Return the median over the rounds: what slows a whole round down leaves its ratio alone."""
    return round(statistics.median(one / other for one, other in zip(theirs, mine)), 3)


def kernels(depth: int, rows: int, hidden: int, device: str) -> dict[str, Any]:
    """Count what the scheduler makes of a chain, by way."""
    found: dict[str, Any] = {}
    for way, context in WAYS.items():
        given = chain.inputs(depth, rows, DTYPE, hidden, device)
        with context():
            made = lowering.kernels(lowering.lower(chain.make(RESIDUAL), given))
        found[way] = {
            "loads a layer": round(sum(kernel.loads for kernel in made) / depth, 2),
            "most loads of one kernel": max(kernel.loads for kernel in made),
            "kernels": len(made),
            "MB": round(sum(kernel.moved for kernel in made) / 1e6, 2),
        }
    return found


def run_time(depth: int, rows: int, hidden: int, rounds: int, device: str) -> dict[str, Any]:
    """Time one chain, by way."""
    torch._dynamo.reset()
    given, clock = chain.inputs(depth, rows, DTYPE, hidden, device), Clock(device)
    calls: dict[str, Callable[[], Any]] = {}
    codes, values = {}, {}
    for way, context in WAYS.items():
        function = torch.compile(chain.make(RESIDUAL), fullgraph=True, dynamic=False)
        with context():
            values[way], generated = run_and_get_code(function, *given)
        codes[way] = "\n".join(generated)
        function(*given)
        calls[way] = clock.prepare(function, given)
    for _ in range(3):
        clock.round(calls)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, milliseconds in clock.round(calls).items():
            taken[way].append(milliseconds)
    return {
        "depth": depth,
        "rows": rows,
        "columns": hidden,
        "median_ms": {way: round(statistics.median(times), 4) for way, times in taken.items()},
        "torch_over": {way: ratio(taken["torch"], taken[way]) for way in WAYS},
        "kernels": kernels(depth, rows, hidden, device),
        "tl.load": {way: code.count("tl.load(") for way, code in codes.items()},
        "equal_to_torch": {way: torch.equal(value, values["torch"]) for way, value in values.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="2 and 4 layers, 16 rows of 256, few rounds")
    parser.add_argument("--rounds", type=int, default=101)
    given = parser.parse_args()
    try:
        torch.empty(1, device=given.device)
    except Exception as error:  # noqa: BLE001 (each kind of device has errors of its own)
        why = str(error).splitlines()[0][:80]
        parser.error(f"torch sees no {given.device} ({why}); on the CPU: --device cpu --small")
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    clock = Clock(given.device)
    layers, rounds = (2, 5) if given.small else (28, given.rounds)
    depths, rows, hidden = (SMALL_DEPTHS, SMALL_ROWS, SMALL_HIDDEN) if given.small else (DEPTHS, ROWS, HIDDEN)
    modes = {row.name: row.mode for row in compat.status() if row.name in ("lazy_graph_module", "realize_on_reuse")}
    # Without caches each way compiles its own kernels, and one cache folder keeps Triton's tuning of all of them.
    no_caches = config.patch(fx_graph_cache=False), torch._functorch.config.patch(enable_autograd_cache=False)
    # On the CPU, half a minute of trying out the C++ compiler in each new cache folder would hide the rest.
    config.cpp_cache_precompile_headers, config.cpp.vec_isa_ok = False, True
    torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=given.device))
    splits = told([lazy_split(layers, min(rounds, 31), 1 if given.small else 3, given.device)])
    cases = [(depth, n) for depth in depths for n in rows]
    with fresh_cache(), no_caches[0], no_caches[1]:
        chains = told(run_time(depth, n, hidden, rounds, given.device) for depth, n in cases)
    means = {way: math.prod(row["torch_over"][way] for row in chains) ** (1 / len(chains)) for way in WAYS}
    print(f"geometric mean of all chains: {means}")
    found = {"device": given.device, "small": given.small, "modes": modes, "dtype": f"{DTYPE}, adds in {RESIDUAL}"}
    found |= {"lazy_split": splits[0], "chains": chains, "geometric_mean": means}
    if clock.on_cpu:
        print(json.dumps(clock.card | found, indent=1))
    else:
        save("gpu", clock.card | found)


if __name__ == "__main__":
    main()
