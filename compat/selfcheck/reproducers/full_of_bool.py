"""Bools that are made of a symbolic number, and what counts them."""

from __future__ import annotations

import torch

from ..quick import compile_quickly


def outcome() -> str:
    def count(x: torch.Tensor, n: int) -> tuple[torch.Tensor, ...]:
        filled = torch.full((4,), n, dtype=torch.bool)
        converted = torch.full((4,), n + 1).to(torch.bool)
        sizes = torch.full((4,), x.shape[0], dtype=torch.bool)
        return filled * 2 + x[:4], converted * x[:4], sizes.to(torch.int64) * 3

    x, names = torch.ones(5), ("full", "conversion", "size")
    wrong = set()
    with compile_quickly():
        compiled = torch.compile(count, fullgraph=True, dynamic=True)
        for n in (3, 0, -2):
            for name, one, other in zip(names, count(x, n), compiled(x, n)):
                if not torch.equal(one, other):
                    wrong.add(name)
    return f"numbers for bools: {', '.join(sorted(wrong))}" if wrong else "right"
