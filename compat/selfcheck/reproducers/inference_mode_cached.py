"""A function with `torch.inference_mode()` inside, compiled twice with one cache."""

from __future__ import annotations

import torch

from ..quick import compile_quickly

FIXED = (2, 15)
FIRST = (2, 13)
PROCESSES = 2


def doubled(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        y = x * 2
    return y + 1


def outcome() -> str:
    from torch._dynamo.utils import counters

    with compile_quickly(call_operators=True):
        result = torch.compile(doubled, fullgraph=True)(torch.ones(2))
    assert result.tolist() == [3.0, 3.0]
    return (
        "not cached" if counters["aot_autograd"]["autograd_cache_bypass"] else "right"
    )
