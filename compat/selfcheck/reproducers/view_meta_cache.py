"""A graph returns a view of an intermediate result.

The second process loads it from the cache.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ..quick import compile_quickly

FIXED = (2, 14)
PROCESSES = 2


def views(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # A matmul with more dimensions ends in this op. With one dimension a read of freed
    # memory does not crash the process.
    y = torch.ops.aten._unsafe_view(x @ x, [16])
    return y, y.view(2, 8)


def outcome() -> str:
    from torch._dynamo.utils import counters

    marker = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"], "has been filled")
    x = torch.ones(4, 4, requires_grad=True)
    with compile_quickly():
        try:
            results = torch.compile(views, fullgraph=True)(x)
        except RuntimeError as error:
            if "is invalid for input of size 16" in str(error):
                return "freed memory is used as a shape"
            raise
        sum(
            result.sum() for result in results
        ).backward()  # the backward saves the cache entry
    assert all(map(torch.equal, results, views(x)))
    if marker.exists() and not counters["aot_autograd"]["autograd_cache_hit"]:
        return "not out of the cache"
    marker.parent.mkdir(exist_ok=True)
    marker.touch()
    return "right"
