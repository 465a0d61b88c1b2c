"""A fusion pattern for `add(x, y)`, and a graph that adds `3 * y`."""

from __future__ import annotations

import torch

from ..quick import compile_quickly

FIXED = (2, 15)


def outcome() -> str:
    from torch._inductor import config
    from torch._inductor.custom_graph_pass import CustomGraphPass
    from torch._inductor.pattern_matcher import (
        PatternMatcherPass,
        fwd_only,
        register_replacement,
    )

    aten, patterns = torch.ops.aten, PatternMatcherPass()
    register_replacement(
        lambda x, y: aten.add.Tensor(x, y),
        lambda x, y: aten.sub.Tensor(x, aten.neg.default(y)),
        [torch.ones(4), torch.ones(4)],
        fwd_only,
        patterns,
    )
    counts = []

    class Pass(CustomGraphPass):
        def __call__(self, graph: torch.fx.Graph) -> None:
            counts.append(patterns.apply(graph))

        def uuid(self) -> str:
            return "reproducer"

    def scaled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.add(x, y, alpha=3))

    x = torch.ones(4)
    with compile_quickly(), config.patch(post_grad_custom_pre_pass=Pass()):
        result = torch.compile(scaled, fullgraph=True)(x, x)
    assert len(counts) == 1, counts
    return "right" if torch.equal(result, scaled(x, x)) else "alpha is dropped"
