"""Try torch's passes on two small graphs, for `kept_snapshots`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ._buffers import storage_of

_PASSES = "torch._inductor.fx_passes.reinplace"


def explain_failure(remove: Callable[..., None]) -> str | None:
    """Run the passes over two small graphs with real tensors, in 1 ms."""
    if _reads_what_it_writes(remove):
        return "an op reads the buffer that it writes"
    if _writes_over_its_input():
        return "an op's result is overwritten with its input"
    return None


def _reads_what_it_writes(remove: Callable[..., None]) -> bool:
    """Return whether `old = b.clone(); b.copy_(old)` gets one buffer twice."""
    aten, graph = sys.modules["torch"].ops.aten, sys.modules["torch"].fx.Graph()
    x = _input(graph)
    product = _call(aten.mm.default, x, x)
    old = _call(aten.clone.default, product)
    functional = sys.modules["torch"].ops.higher_order.auto_functionalized
    given = {"self": product, "src": old, "non_blocking": False}
    call = _call(functional, aten.copy_.default, graph=graph, **given)
    graph.output((_call(sys.modules["operator"].getitem, call, 1),))
    remove(graph)
    sys.modules[_PASSES].reinplace_inplaceable_ops_core(graph)
    cloned = call.meta.get("only_clone_these_tensors", ("self",))
    one, other = (call.kwargs[name].meta["val"] for name in ("self", "src"))
    return storage_of(one) == storage_of(other) and "self" not in cloned


def _writes_over_its_input() -> bool:
    """Return whether `y = x.index_put(...); x.copy_(y + 1)` writes y over x."""
    aten, graph = sys.modules["torch"].ops.aten, sys.modules["torch"].fx.Graph()
    x, index = _input(graph), _input(graph)
    y = _call(aten.index_put.default, x, [index], index)
    _call(aten.copy_.default, x, _call(aten.add.Tensor, y, 1))
    graph.output((y,))
    sys.modules[_PASSES].reinplace_inplaceable_ops_core(graph)
    return y.target is not aten.index_put.default


def _input(graph: Any) -> Any:
    made = graph.placeholder(f"input{len(graph.nodes)}")
    made.meta["val"] = sys.modules["torch"].empty(2, 2)
    return made


def _call(target: Any, *args: Any, graph: Any = None, **kwargs: Any) -> Any:
    made = (graph or args[0].graph).call_function(target, args, kwargs)
    made.meta["val"] = sys.modules["torch"].empty(2, 2)
    return made
