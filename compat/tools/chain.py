"""A residual chain as a transformer has it: for the demo and the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import library as torch_library

HIDDEN = 4096

_library = torch_library.Library("compat_chain", "FRAGMENT")
_library.define("branch(Tensor normed, Tensor(a!) out) -> ()")


@torch_library.impl(_library, "branch", "CompositeExplicitAutograd")
def _branch(normed: torch.Tensor, out: torch.Tensor) -> None:
    """Stands for attention or MLP: what it gives is there already, so that only the chain itself takes time. To
    Inductor it is somebody else's kernel between one layer and the next."""


def inputs(depth: int, rows: int, dtype: torch.dtype, hidden: int = HIDDEN) -> list[torch.Tensor]:
    """What the chain starts with, and for each layer what its branch gives."""
    made = torch.Generator().manual_seed(0)
    return [torch.randn(rows, hidden, generator=made).to(dtype) for _ in range(depth + 1)]


def make(residual: torch.dtype | None = None) -> Callable[..., torch.Tensor]:
    """A chain with a code object of its own, because Dynamo keeps there what it compiled. residual: the dtype of the
    residual adds, where it is not that of the inputs."""
    space: dict[str, Any] = {"torch": torch, "residual": residual}
    exec(compile(_SOURCE, "<chain>", "exec"), space)
    made: Callable[..., torch.Tensor] = space["chain"]
    return made


_SOURCE = """
def chain(x, *branches):
    for branch in branches:
        wide = x if residual is None else x.to(residual)
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        torch.ops.compat_chain.branch(normed.to(branch.dtype), branch)
        x = (wide + branch).to(branch.dtype)
    return x
"""
