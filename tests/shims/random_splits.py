"""Random graphs, partitions and options of `split_module`, and the outcome of a split in comparable form."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from record_split import described, generated, whole
from torch.fx.passes.split_module import split_module

# ---- graphs ----------------------------------------------------------------------------------------------------------


class Root(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(whole(4))
        self.inner = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Softsign())
        self.register_buffer("shift", whole(3, 1) + 1)


def _halves_swapped(graph: torch.fx.Graph, a: torch.fx.Node, _: torch.fx.Node) -> torch.fx.Node:
    chunks = graph.call_function(torch.chunk, (a, 2), {"dim": -1})
    first, second = (graph.call_function(operator.getitem, (chunks, at)) for at in (0, 1))
    return graph.call_function(torch.cat, ([second, first],), {"dim": -1})


# Each operation makes a third value from two values of shape (3, 4).
OPERATIONS: dict[str, Callable[[torch.fx.Graph, torch.fx.Node, torch.fx.Node], torch.fx.Node]] = {
    "add": lambda graph, a, b: graph.call_function(operator.add, (a, b)),
    "add, by keyword": lambda graph, a, b: graph.call_function(torch.add, (a,), {"other": b, "alpha": 2}),
    "subtract a constant": lambda graph, a, b: graph.call_function(operator.sub, (a, 0.5)),
    "where": lambda graph, a, b: graph.call_function(torch.where, (graph.call_function(operator.lt, (a, b)), b, a)),
    "method": lambda graph, a, b: graph.call_method("clamp", (a,), {"min": -4, "max": 4}),
    "module": lambda graph, a, b: graph.call_module("inner.1", (a,)),
    "same module, as a value": lambda graph, a, b: graph.call_method("forward", (graph.get_attr("inner.1"), a)),
    "parameter": lambda graph, a, b: graph.call_function(operator.mul, (a, graph.get_attr("weight"))),
    "buffer": lambda graph, a, b: graph.call_function(operator.add, (graph.get_attr("shift"), b)),
    "several outputs": _halves_swapped,
    "unused": lambda graph, a, b: (graph.call_method("neg", (b,)), a)[1],
}
Step = tuple[str, int, int]  # the operation and the indices of its two values, counted from the last value
steps = st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 5), st.integers(0, 5)), max_size=10)
outputs = st.recursive(st.integers(0, 5), lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
# Sorted partitions contain no cycle. Some of the others do, and torch refuses those.
partitions = st.lists(st.integers(0, 4), min_size=1, max_size=12)
partitions = st.one_of(partitions.map(sorted), partitions)
options = st.fixed_dictionaries(
    {},
    optional={
        "keep_original_order": st.booleans(),
        "keep_original_node_name": st.booleans(),
        "keep_original_input_name": st.booleans(),
        **(
            {"partition_affix": st.just("pp")}
            if "partition_affix" in inspect.signature(split_module).parameters
            else {}
        ),
    },
)


def graph_of(steps: list[Step], output: Any, inputs: int) -> torch.fx.GraphModule:
    graph = torch.fx.Graph()
    values = [graph.placeholder(f"x{at}") for at in range(inputs)]
    for operation, a, b in steps:
        values.append(OPERATIONS[operation](graph, values[-1 - a % len(values)], values[-1 - b % len(values)]))

    def picked(tree: Any) -> Any:
        return tuple(map(picked, tree)) if isinstance(tree, tuple) else values[-1 - tree % len(values)]

    graph.output(picked(output))
    for node in graph.nodes:
        node.meta["note"] = node.name
    return torch.fx.GraphModule(Root(), graph)


# ---- the two splits --------------------------------------------------------------------------------------------------


def bits(values: Any) -> list:
    leaves = torch.utils._pytree.tree_leaves(values)
    return [(leaf.dtype, tuple(leaf.shape), leaf.detach().numpy().tobytes()) for leaf in leaves]


def partitioned(gm: torch.fx.GraphModule, partition: list[int]) -> Callable[[torch.fx.Node], int]:
    """Spread the partition numbers over the nodes, so that a sorted list stays sorted."""
    computing = [node for node in gm.graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    place = {node: partition[at * len(partition) // len(computing)] for at, node in enumerate(computing)}
    return place.__getitem__


def outcome(
    gm: torch.fx.GraphModule, partition: list[int], options: dict, asking: Any, *, run: bool = True
) -> tuple[Any, Any, set[str]]:
    """Return the description of a split or its error, the results of running it, and the laziness of its modules."""
    names: dict[str, str] = {}
    try:
        with asking:
            made = split_module(gm, gm, partitioned(gm, partition), qualname_map=names, **options)
    except Exception as error:  # noqa: BLE001  # every error is an outcome to compare
        return (type(error), str(error)), None, set()
    seen = described(made)
    lazy = set(seen.pop("laziness").values())
    readable = made.print_readable(print_output=False)
    results: Any = None
    if run:
        inputs = [whole(3, 4) + at for at, node in enumerate(gm.graph.nodes) if node.op == "placeholder"]
        try:
            results = bits(made(*inputs))
        except Exception as error:  # noqa: BLE001  # before 2.13, partitions that read a submodule as a value mix up inputs
            results = (type(error), str(error))
    return (seen, names, readable, generated(made)), results, lazy
