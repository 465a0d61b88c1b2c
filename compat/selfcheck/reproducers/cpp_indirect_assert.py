"""A lookup in padded rows: the index is a vector, and its mask is a scalar."""

from __future__ import annotations

import torch

from ..quick import compile_quickly

FIXED = (2, 12)


def outcome() -> str:
    def padded(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x[:, index], [0, 0, 2, 1])

    torch.manual_seed(0)
    x, index = torch.randn(5, 40), torch.randint(0, 40, (37,))
    with compile_quickly():
        try:
            result = torch.compile(padded, fullgraph=True)(x, index)
        except Exception as error:
            if "VecMask(int&)" in str(error).replace(" ", ""):
                return "C++ compile error: no VecMask(int&)"
            raise
    return "right" if torch.equal(result, padded(x, index)) else "wrong values"
