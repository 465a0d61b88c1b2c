"""Measure `realize_on_reuse` on residual chains: loads, bytes, run time, and the cost of the decision.

In one run, interleaved, with medians: torch as it is ("stock"), and ours, with both kinds of numerics; what it costs to
decide is taken for the rule as vLLM had it, too. `python benchmarks/realize_on_reuse.py [--rounds 31]`

With `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=1000000000` in the environment: run times
with a malloc that keeps its memory.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import os
import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from results import save, told
from torch._inductor import config, ir
from torch._inductor.utils import fresh_cache
from torch._inductor.virtualized import V

import compat
from compat.tools.demo import chain, lowering

BOX = ir.StorageBox
DEPTHS = (8, 24, 80)
# Whether malloc keeps what is given back to it. glibc's, left alone, gives large buffers back to the kernel, and each
# page that it takes anew is cleared.
KEPT = os.environ.get("MALLOC_MMAP_MAX_") == "0"
KINDS = {
    "float32": (torch.float32, None),
    "bf16, float32 residual adds": (torch.bfloat16, torch.float32),
}


def ours(numerics: str = "exact") -> AbstractContextManager[None]:
    return compat.realize_on_reuse(mode="backport", numerics=numerics)


@contextmanager
def as_vllm_had_it() -> Iterator[None]:
    """The rule as written, for what it costs to decide."""
    own = BOX.should_realize_on_reuse

    def decided(box: Any, users: int, **later: Any) -> bool:
        data = box.data
        if users < 2 or not isinstance(data, (ir.Pointwise, ir.Reduction)) or not later.get("graph_reuse", True):
            return bool(own(box, users, **later))
        read = sum(V.graph.get_dep_size_hint(dep) for dep in data.get_reads())
        size = math.prod(map(int, data.get_size())) * data.get_dtype().itemsize
        return bool(read * (users - 1) >= size * (1 + users))

    with mock.patch.object(BOX, "should_realize_on_reuse", decided):
        yield


WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "stock": nullcontext,
    "compat": ours,
    "compat, traffic": functools.partial(ours, "traffic"),
}
DECIDING = {"stock": nullcontext, "as vLLM had it": as_vllm_had_it, "compat": ours}


def kernels(function: Callable[..., Any], given: list[torch.Tensor], way: str) -> list[lowering.Kernel]:
    with WAYS[way]():
        return lowering.kernels(lowering.lower(function, given))


def loads(depth: int, kind: str) -> dict[str, Any]:
    dtype, residual = KINDS[kind]
    found: dict[str, Any] = {"depth": depth, "kind": kind}
    for way in WAYS:
        made = kernels(chain.make(residual), chain.inputs(depth, 64, dtype), way)
        found[way] = {
            "loads a layer": round(sum(kernel.loads for kernel in made) / depth, 2),
            "most loads of one kernel": max(kernel.loads for kernel in made),
            "kernels": len(made),
            "MB": round(sum(kernel.moved for kernel in made) / 1e6, 1),
        }
    return found


def run_time(kind: str, rows: int, depth: int, rounds: int) -> dict[str, Any]:
    dtype, residual = KINDS[kind]
    torch._dynamo.reset()
    given, ready = chain.inputs(depth, rows, dtype), {}
    for way in WAYS:
        ready[way] = torch.compile(chain.make(residual), fullgraph=True, dynamic=False)
        with WAYS[way]():
            ready[way](*given)
    taken: dict[str, list[float]] = {way: [] for way in ready}
    order = list(ready.items())
    for _ in range(rounds):
        random.shuffle(order)  # what one call gives back to malloc, the next one finds
        for way, function in order:
            start = time.perf_counter()
            function(*given)
            taken[way].append(time.perf_counter() - start)
    medians = {way: statistics.median(times) * 1e3 for way, times in taken.items()}
    return {
        "kind": kind,
        "rows": rows,
        "depth": depth,
        "median_ms": medians,
        "stock_over": {
            way: statistics.median(stock / mine for stock, mine in zip(taken["stock"], taken[way])) for way in taken
        },
    }


@contextmanager
def choosing(stored: frozenset[str] | None, asked: set[str]) -> Iterator[None]:
    """Has the values of these FX nodes stored, and no others; None: as torch decides. Notes what it is asked for."""
    own = BOX.should_realize_on_reuse

    def chosen(box: Any, users: int, **later: Any) -> bool:
        if users < 2 or not isinstance(box.data, ir.Pointwise) or not later.get("graph_reuse", True):
            return bool(own(box, users, **later))
        name = V.graph.current_node.name
        asked.add(name)
        return bool(own(box, users, **later)) if stored is None else name in stored

    with mock.patch.object(BOX, "should_realize_on_reuse", chosen):
        yield


def against_the_best(name: str, function: Callable[..., Any], given: list[torch.Tensor]) -> dict[str, Any]:
    """Bytes moved, by us and by the best of all choices what to store."""
    asked: set[str] = set()
    with choosing(None, asked):
        lowering.lower(function, given)

    def moved(stored: frozenset[str]) -> int:
        with choosing(stored, set()):
            return sum(kernel.moved for kernel in lowering.kernels(lowering.lower(function, given)))

    subsets = (itertools.combinations(sorted(asked), n) for n in range(len(asked) + 1))
    best = min(moved(frozenset(subset)) for subset in itertools.chain.from_iterable(subsets))
    found = {way: sum(kernel.moved for kernel in kernels(function, given, way)) / best for way in WAYS}
    return {"graph": name, "reused values": len(asked), "over the best": found}


def small_graphs() -> Iterator[tuple[str, Callable[..., Any], list[torch.Tensor]]]:
    for depth, (kind, (dtype, residual)) in itertools.product((2, 4, 5), KINDS.items()):
        yield f"chain of {depth}, {kind}", chain.make(residual), chain.inputs(depth, 64, dtype, 256)
    x = [torch.ones(64, 256) for _ in range(4)]
    yield "five reductions of one sum", lambda a, b: [(a + b).sum(0)] + [f(a + b) for f in (_sum, _max, _abs)], x[:2]
    yield "diamond", lambda a, b, c: _diamond(a, b, c), x[:3]
    yield "gated", lambda a, b, c, d: _gated(a, b, c, d), x


def _sum(x: torch.Tensor) -> torch.Tensor:
    return x.sum(1)


def _max(x: torch.Tensor) -> torch.Tensor:
    return x.amax(1)


def _abs(x: torch.Tensor) -> torch.Tensor:
    return x.abs().sum(0)


def _diamond(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> list[torch.Tensor]:
    left = a + b
    right = left * c
    return [left.sum(0), right.sum(0), (left + right).amax(1)]


def _gated(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor) -> list[torch.Tensor]:
    gate = a * b + c * d
    return [gate.sum(0), gate.amax(0), gate.t() @ gate]


def share_of_compile_time(context: Callable[[], AbstractContextManager[None]], depth: int = 20) -> dict[str, float]:
    """The share of a compile that is spent in deciding: of a cold one, and of one that finds its C++ compiled."""
    spent, shares = 0.0, {}

    def timed(box: Any, users: int, **later: Any) -> Any:
        nonlocal spent
        start = time.perf_counter()
        try:
            return own(box, users, **later)
        finally:
            spent += time.perf_counter() - start

    given = chain.inputs(depth, 64, torch.float32)
    # Half a minute of trying out the C++ compiler would make any share look small.
    with fresh_cache(), config.patch({"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True}), context():
        own = BOX.should_realize_on_reuse
        for found in ("no C++", "C++"):
            torch._dynamo.reset()
            spent = 0.0
            with mock.patch.object(BOX, "should_realize_on_reuse", timed):
                start = time.perf_counter()
                torch.compile(chain.make(), fullgraph=True, dynamic=False)(*given)
                shares[f"{found} compiled before"] = spent / (time.perf_counter() - start)
    return shares


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=31)
    options.add_argument("--rows", default="64,256,1024,4096,8192")
    given = options.parse_args()
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    for way in WAYS:
        kernels(chain.make(), chain.inputs(2, 64, torch.float32), way)
    rows = [int(number) for number in given.rows.split(",")]
    cases = [(8, n) for n in rows] + [(24, n) for n in rows if n <= 1024] + [(80, n) for n in rows if n == 256]
    with config.patch(fx_graph_cache=False), torch._functorch.config.patch(enable_autograd_cache=False):
        times = told(run_time(kind, n, depth, given.rounds) for kind in KINDS for depth, n in cases)
        found: dict[str, Any] = {"run time": times, "geometric mean": {}}
        for way in WAYS:
            ratios = [row["stock_over"][way] for row in times]
            found["geometric mean"][way] = math.prod(ratios) ** (1 / len(ratios))
        print(f"geometric mean of all: {found['geometric mean']}")
        if not KEPT:
            found["loads"] = told(loads(d, kind) for kind in KINDS for d in DEPTHS)
            found["share of compile time"] = told(
                {
                    way: share_of_compile_time(context)
                    for way, context in (WAYS | {"as vLLM had it": as_vllm_had_it}).items()
                }
                for _ in range(3)
            )
            found["bytes"] = told(against_the_best(*graph) for graph in small_graphs())
    save("realize_on_reuse_kept" if KEPT else "realize_on_reuse", found)


if __name__ == "__main__":
    main()
