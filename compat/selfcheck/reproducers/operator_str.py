"""Inductor falls back for a custom op at the end of a chain.

The description of the chain doubles with each layer.
"""

from __future__ import annotations

import torch
from torch import library as torch_library

from ..quick import compile_quickly

FIXED = (2, 13)
LAYERS = 9


def outcome() -> str:
    # The shim waits for both modules.
    from torch._inductor import exc, graph  # noqa: F401

    made = []
    original = exc.OperatorIssue.operator_str

    def watched(*args: object) -> object:
        text = original(*args)
        made.append(text)
        return text

    exc.OperatorIssue.operator_str = staticmethod(watched)
    library = torch_library.Library("reproducer", "FRAGMENT")
    library.define("op(Tensor x) -> Tensor")
    library.impl("op", lambda x: x.clone(), "CompositeExplicitAutograd")
    torch_library.register_fake(
        "reproducer::op", lambda x: torch.empty_like(x), lib=library
    )

    def chain(x: torch.Tensor) -> torch.Tensor:
        for _ in range(LAYERS):
            x = x * 2 + x
        return torch.ops.reproducer.op(x)

    x = torch.ones(8)
    with compile_quickly():
        result = torch.compile(chain, fullgraph=True)(x)
    assert torch.equal(result, chain(x)), "wrong values"
    formatted = sum(len(text) for text in made if isinstance(text, str))
    return (
        f"{formatted // 1000} kB of text for a log line"
        if formatted > 10_000
        else "right"
    )
