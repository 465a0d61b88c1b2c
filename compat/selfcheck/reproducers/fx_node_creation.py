"""Copies a graph, and counts how often the Python pytree walks arguments."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch.fx import Graph
from torch.utils import _pytree

FIRST = (2, 13)


def outcome() -> str:
    graph = Graph()
    node = graph.placeholder("x")
    for _ in range(50):
        node = graph.call_function(torch.add, (node, 1))
        node = graph.call_method("view", (node, [2, 3]))
        node = graph.call_function(torch.cat, ([node, node],), {"dim": 1})
    graph.output(node)

    walks = 0
    tree_iter = _pytree.tree_iter

    def counting(tree: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal walks
        walks += 1
        return tree_iter(tree, *args, **kwargs)

    with mock.patch.object(_pytree, "tree_iter", counting):
        copy = Graph()
        copy.graph_copy(graph, {})
    assert len(copy.nodes) == len(graph.nodes) - 1  # without the output
    return f"the pytree walks {walks} times for 150 calls" if walks else "right"
