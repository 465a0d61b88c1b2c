"""Autocast without a dtype, under two ambient ones, with one cache.

The autocast is inside, in an inner graph, or outside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

from ..quick import compile_quickly

FIXED = (2, 15)
DEVICE = torch.get_default_device().type  # "cpu", unless a test sets another one


def inside(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(DEVICE):
        return x @ x


def inner(x: torch.Tensor) -> torch.Tensor:
    return checkpoint(inside, x, use_reentrant=False)


def outside(x: torch.Tensor) -> torch.Tensor:
    return x @ x


def outcome() -> str:
    wrong = []
    programs: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        inside,
        inner,
        outside,
    )
    with compile_quickly(call_operators=True):
        for program in programs:
            for dtype in (torch.bfloat16, torch.float16):
                torch._dynamo.reset()
                torch.set_autocast_dtype(DEVICE, dtype)
                with torch.autocast(DEVICE, enabled=program is outside):
                    got = torch.compile(program, fullgraph=True)(torch.eye(2)).dtype
                wrong += [program.__name__] * (got != dtype)
    return f"the dtype of another process: {', '.join(wrong)}" if wrong else "right"
