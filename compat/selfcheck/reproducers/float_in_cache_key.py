"""A Python float that changes between calls, compiled twice with one cache.

The operators cannot take it as a tensor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812

from ..quick import compile_quickly

X, IMAGE = (
    torch.linspace(-2, 2, 16).view(4, 4),
    torch.linspace(-2, 2, 16).view(1, 1, 4, 4),
)
PROGRAMS: dict[str, Callable[[float], torch.Tensor]] = {
    "clamp": lambda s: (X * s).clamp(-s, s),
    "pad": lambda s: F.pad(X * s, (1, 1), value=s + 1),
    "layer_norm": lambda s: F.layer_norm(X * s, (4,), eps=s * 0.1),
    "attention": lambda s: F.scaled_dot_product_attention(
        IMAGE * s, IMAGE, IMAGE, scale=s * 2
    ),
    "interpolate": lambda s: F.interpolate(IMAGE * s, scale_factor=s * 4),
    "sizes": lambda s: (X * s).clamp(max=X.shape[0] * s / 4),
}


def outcome() -> str:
    wrong = []
    # Every operator is called as it is: the cache does the same, without C++.
    with compile_quickly(call_operators=True):
        for name, program in PROGRAMS.items():
            for values in ((0.5, 0.75), (0.5, 2.0)):
                torch._dynamo.reset()  # the cache takes it for another process
                compiled = torch.compile(program, fullgraph=True)
                pairs = [(compiled(value), program(value)) for value in values]
                if (
                    not all(
                        a.shape == b.shape and torch.allclose(a, b) for a, b in pairs
                    )
                    and name not in wrong
                ):
                    wrong.append(name)
    return f"another value: {', '.join(wrong)}" if wrong else "right"
