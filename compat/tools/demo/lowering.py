"""Count the kernels that Inductor would make of a function, without compiling them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch.fx.experimental.proxy_tensor import make_fx


class Kernel(NamedTuple):
    """The memory traffic of one kernel."""

    loads: int  # distinct reads of buffers that exist before the kernel starts
    stores: int  # buffers that are still needed after the kernel has ended
    moved: int  # bytes loaded and stored, by torch's size hints


def lower(function: Callable[..., Any], arguments: Sequence[torch.Tensor]) -> GraphLowering:
    """Lower the function for these arguments, up to the decision which values are stored.

    Sizes are static.
    """
    graph = make_fx(function, select_decomp_table(), tracing_mode="fake")(*arguments)
    values = [node.meta.get("val") for node in graph.graph.nodes if node.op == "placeholder"]
    return run(graph, values)


def run(graph: torch.fx.GraphModule, values: Sequence[Any]) -> GraphLowering:
    """Lower an FX graph of ATen operations for these fake values."""
    mode = next(value.fake_mode for value in values if isinstance(value, torch.Tensor))
    lowering = GraphLowering(graph, shape_env=mode.shape_env, example_inputs=values)
    with V.set_graph_handler(lowering), V.set_fake_mode(mode), torch.no_grad():
        lowering.run(*values)
    return lowering


def kernels(lowering: GraphLowering) -> list[Kernel]:
    """Return the kernels that the scheduler makes of a lowered graph, without extern kernels (matmuls, custom ops)."""
    with V.set_graph_handler(lowering), V.set_debug_handler(DebugContext()):
        lowering.init_wrapper_code()
        lowering._update_scheduler()
        return [_kernel(node) for node in lowering.scheduler.nodes if not node.is_extern()]


def _kernel(node: Any) -> Kernel:
    inside = {part.get_name() for part in node.get_nodes()}
    own = {buffer.get_name() for part in node.get_nodes() for buffer in part.get_outputs()}
    kept = {
        buffer.get_name()
        for part in node.get_nodes()
        for buffer in part.get_outputs()
        if any(user.node.get_name() not in inside for user in buffer.users)
    }
    reads = {dep for part in node.get_nodes() for dep in part.read_writes.reads if dep.name not in own}
    writes = {dep for part in node.get_nodes() for dep in part.read_writes.writes if dep.name in kept}
    return Kernel(len(reads), len(writes), sum(int(dep.numbytes_hint()) for dep in (*reads, *writes)))
