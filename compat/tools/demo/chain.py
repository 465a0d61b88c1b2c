"""A chain of residual adds and norms, as a transformer has it. The demo and the benchmarks compile it."""

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
    """Stand in for attention or MLP.

    The op does nothing: its result is already in `out`, so that only the chain itself takes time. Inductor treats the
    op as an extern kernel between one layer and the next.
    """


def inputs(depth: int, rows: int, dtype: torch.dtype, hidden: int = HIDDEN, device: str = "cpu") -> list[torch.Tensor]:
    """Make the chain's first value, and one branch result for each layer. A seed gives the same on every device."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, hidden, generator=generator).to(device, dtype) for _ in range(depth + 1)]


def make(residual: torch.dtype | None = None) -> Callable[..., torch.Tensor]:
    """Make a chain function with a code object of its own.

    Dynamo keeps compiled code on the code object. Two chains that are compared must therefore not share one.

    Args:
        residual: the dtype of the residual adds. None: the dtype of the inputs.
    """
    namespace: dict[str, Any] = {"torch": torch, "residual": residual}
    exec(compile(_SOURCE, "<chain>", "exec"), namespace)
    function: Callable[..., torch.Tensor] = namespace["chain"]
    return function


_SOURCE = """
def chain(x, *branches):
    for branch in branches:
        wide = x if residual is None else x.to(residual)
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        torch.ops.compat_chain.branch(normed.to(branch.dtype), branch)
        x = (wide + branch).to(branch.dtype)
    return x
"""
