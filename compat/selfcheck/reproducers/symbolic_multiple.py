"""Splits the steps of a loop over a concatenation of two dynamic sizes."""

from __future__ import annotations

import sympy
from torch._inductor.codegen.simd import CantSplit, SIMDKernel
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch.fx import GraphModule, symbolic_trace
from torch.fx.experimental.symbolic_shapes import ShapeEnv

FIRST = (2, 12)
FIXED = (2, 14)


def outcome() -> str:
    module: GraphModule = symbolic_trace(lambda x: x)
    a, b = sympy.symbols("a b", integer=True, positive=True)
    with V.set_graph_handler(GraphLowering(module, shape_env=ShapeEnv())):
        sizes = V.graph.sizevars
        if sizes.statically_known_multiple_of(3 * a + 5 * b, a + b):
            return "no multiple is taken for one"
        if not sizes.statically_known_multiple_of(15360 * a + 15360 * b, a + b):
            return "15360*a + 15360*b counts as no multiple of a + b"
        groups = [sympy.expand(15360 * (a + b)), sympy.Integer(1)]
        try:
            SIMDKernel._split_iteration_ranges(groups, [[a + b, sympy.Integer(15360)]])
        except CantSplit as error:
            return f"CantSplit: {error}"
    return "right"
