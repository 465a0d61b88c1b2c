"""A graph returns a view with a dynamic dimension, and torch should cache the graph."""

from __future__ import annotations

import torch

from ..quick import compile_quickly

FIXED = (2, 11)


def views(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = x.view(x.shape[0] * 4, x.shape[1] // 4)
    return y, y + 1


def outcome() -> str:
    from torch._dynamo.utils import counters

    x = torch.ones(6, 8)
    torch._dynamo.mark_dynamic(x, 0)
    with compile_quickly(), torch.no_grad():
        results = torch.compile(views, fullgraph=True)(x)
    assert all(map(torch.equal, results, views(x)))
    return "right" if counters["aot_autograd"]["autograd_cache_saved"] else "not saved"
