"""Compare a transformer with and without `lazy_graph_module` and `realize_on_reuse`, and print two tables."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch.fx import GraphModule, Interpreter

from ... import lazy_graph_module, realize_on_reuse, status
from ...reporting import table
from . import first
from .model import capture, partitions, split
from .timing import interleaved

ROUNDS = 15


def compare(layers: int) -> int:
    """Print the comparison. Progress goes to stderr.

    Returns:
        0, or 1 if the two ways compute different results.

    Raises:
        ValueError: `layers` is less than 1.
    """
    if layers < 1:
        raise ValueError(f"--layers is {layers}; it can be 1 or more")
    say(f"capturing a transformer of {layers} layers with Dynamo")
    graph, inputs = capture(layers)
    numbers = partitions(graph)
    pieces = len(set(numbers.values()))
    say(f"splitting {len(graph.graph.nodes)} nodes into {pieces} partitions, {ROUNDS} times each way")
    medians, firsts = medians_of(graph, numbers), {}
    for way in medians:
        say(f"first use in a fresh process: {way}")
        firsts[way] = first.measure(layers, way)
    say("counting recompiles and comparing outputs")
    (plain, plain_ran), (lazy, lazy_ran) = (counted(graph, numbers, way) for way in medians)
    with torch.no_grad():
        eager = plain(*inputs)
        equal = all(map(torch.equal, eager, split_in(graph, numbers, "compat")(*inputs)))
    shim = next(row for row in status() if row.name == "lazy_graph_module")
    rows: list[tuple[str, ...]] = [
        ("", "plain split_module", "in compat.lazy_graph_module()"),
        ("mode", "", shim.mode),
        ("partitions", str(pieces), str(pieces)),
        ("split, median", *milliseconds(medians)),
        ("first split in a fresh process", *milliseconds(firsts)),
        ("recompiles run", str(plain_ran), str(lazy_ran)),
        ("recompiles avoided", "", str(plain_ran - lazy_ran)),
        ("outputs bitwise equal", "", "yes" if equal else "NO"),
    ]
    print(f"{shim.reason}\n\n{table(rows)}\n", flush=True)
    print(compiled(lazy, inputs, eager), flush=True)
    print(f"\n{reuse(graph, inputs)}")
    return 0 if equal else 1


def reuse(graph: GraphModule, inputs: list[Any]) -> str:
    """Compare the kernels that Inductor would make of the whole graph, with and without `realize_on_reuse`."""
    from . import lowering

    say("lowering the whole graph, with and without compat.realize_on_reuse()")
    shim = next(row for row in status() if row.name == "realize_on_reuse")
    made = {}
    with torch.no_grad():
        for name, context in (("plain", contextlib.nullcontext()), ("compat", realize_on_reuse(mode="backport"))):
            with context:
                made[name] = lowering.kernels(lowering.lower(graph, inputs))
    loads = {name: sum(kernel.loads for kernel in kernels) for name, kernels in made.items()}
    moved = {name: sum(kernel.moved for kernel in kernels) / 1e6 for name, kernels in made.items()}
    rows: list[tuple[str, ...]] = [
        ("", "torch as it is", 'in compat.realize_on_reuse(mode="backport")'),
        ("mode under auto", "", shim.mode),
        ("Inductor kernels", *(str(len(kernels)) for kernels in made.values())),
        ("loads", str(loads["plain"]), f"{loads['compat']} ({1 - loads['compat'] / loads['plain']:.0%} fewer)"),
        (
            "moved",
            f"{moved['plain']:.2f} MB",
            f"{moved['compat']:.2f} MB ({1 - moved['compat'] / moved['plain']:.0%} less)",
        ),
    ]
    return f"{shim.reason}\n\n{table(rows)}"


def say(progress: str) -> None:
    print(f"... {progress}", file=sys.stderr, flush=True)


def split_in(graph: GraphModule, numbers: dict[torch.fx.Node, int], way: str) -> GraphModule:
    with lazy_graph_module() if way == "compat" else contextlib.nullcontext():
        return split(graph, numbers)


def medians_of(graph: GraphModule, numbers: dict[torch.fx.Node, int]) -> dict[str, float]:
    """Measure the median of each way, in seconds."""
    seconds = interleaved({way: partial(split_in, graph, numbers, way) for way in ("plain", "compat")}, ROUNDS)
    return {way: statistics.median(taken) for way, taken in seconds.items()}


def milliseconds(seconds: dict[str, float]) -> tuple[str, str]:
    plain, ours = seconds["plain"] * 1e3, seconds["compat"] * 1e3
    return f"{plain:.1f} ms", f"{ours:.1f} ms ({plain / ours:.2f}x)"


@contextlib.contextmanager
def counting_recompiles() -> Iterator[list[GraphModule]]:
    """Collect every GraphModule that generates its code inside the context."""
    ran: list[GraphModule] = []
    recompile = GraphModule.recompile

    def counted_recompile(self: GraphModule) -> Any:
        ran.append(self)
        return recompile(self)

    with mock.patch.object(GraphModule, "recompile", counted_recompile):
        yield ran


def counted(graph: GraphModule, numbers: dict[torch.fx.Node, int], way: str) -> tuple[GraphModule, int]:
    with counting_recompiles() as ran:
        result = split_in(graph, numbers, way)
    return result, len(ran)


def deferred_in(gm: GraphModule) -> list[GraphModule]:
    from torch.fx._lazy_graph_module import _LazyGraphModule

    return [m for m in gm.modules() if isinstance(m, _LazyGraphModule) and m._needs_recompile()]


class Piecewise(Interpreter):
    """Run a split graph as an engine does: Inductor compiles the compute partitions, attention runs eagerly."""

    def call_module(self, target: Any, arguments: Any, keywords: Any) -> Any:
        piece = self.fetch_attr(target)
        if any("compat_demo" in str(node.target) for node in piece.graph.nodes):
            return Interpreter(piece).run(*arguments)
        say(f"compiling {target}")
        from torch._inductor import standalone_compile

        return standalone_compile(piece, list(arguments), dynamic_shapes="from_example_inputs")(*arguments)


def compiled(lazy: GraphModule, inputs: list[Any], eager: Any) -> str:
    """Compile and run all partitions. Return a sentence that says how many deferred recompiles ran after all."""
    deferred = len(deferred_in(lazy))
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):
        try:
            with torch.no_grad():
                output = Piecewise(lazy).run(*inputs)
        except Exception as error:
            if "No working C++ compiler" not in str(error):
                raise
            return "Not compiled piecewise: Inductor finds no C++ compiler on this machine."
    worst = max((a - b).abs().max().item() for a, b in zip(eager, output))
    return (
        f"Compiled the compute partitions with standalone_compile and ran the piecewise graph (largest difference to "
        f"eager: {worst:.1e}). {deferred - len(deferred_in(lazy))} of {deferred} deferred recompiles ran after all."
    )
