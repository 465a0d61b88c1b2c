"""Dynamo traces calls of lazy GraphModules: directly, through `forward`, and nested."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx._lazy_graph_module import _LazyGraphModule


def _lazy(
    function: Callable[..., torch.Tensor] = lambda x: x + 10,
) -> torch.fx.GraphModule:
    return _LazyGraphModule.from_graphmodule(torch.fx.symbolic_trace(function))


def _tree() -> torch.fx.GraphModule:
    """Return a lazy root that calls a lazy child, as `split_module` does.

    Recompiling the root defers the child.
    """
    graph = torch.fx.Graph()
    graph.output(graph.call_module("submod_0", (graph.placeholder("x"),)))
    root = torch.nn.Module()
    root.submod_0 = _lazy()
    return _LazyGraphModule(root, graph)


def outcome() -> str:
    module, method, tree, root = _lazy(), _lazy(), _tree(), _tree()
    child = root.submod_0
    ways: dict[str, Callable[..., torch.Tensor]] = {
        "compiled": _lazy(),
        "called": lambda x: module(x),
        "forward": lambda x: method.forward(x),
        "tree": lambda x: tree(x),
        "child met before root": lambda x: (
            child(x) if child.training and root.training else x
        ),
    }
    wrong = []
    for name, way in ways.items():
        torch._dynamo.reset()
        compiled = torch.compile(way, backend="eager", fullgraph=True)
        try:
            results = [compiled(torch.zeros(2)).tolist() for _ in range(2)]
        except torch._dynamo.exc.Unsupported as error:
            if "_lazy_forward" not in str(error):
                raise
            wrong.append(name)
        else:
            expected = [10.0, 10.0]
            assert results == [expected] * 2, (name, results)
    return f"graph breaks: {', '.join(wrong)}" if wrong else "right"
