"""`split_module` is called with `tuple_return=True`.

It was imported by name before the shim is installed.
"""

from __future__ import annotations

import torch
from torch.fx.passes.split_module import split_module

FIXED = (2, 12)


def outcome() -> str:
    traced = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    try:
        split = split_module(
            traced,
            None,
            lambda node: int(node.name == "relu"),  # type: ignore[arg-type]
            tuple_return=True,  # type: ignore[call-arg]
        )
    except TypeError as error:
        return f"TypeError: {error}"
    x = torch.ones(2)
    assert torch.equal(split(x), traced(x)), "wrong values"
    returned = split.submod_1(split.submod_0(x)[0])
    return "right" if isinstance(returned, tuple) else "no tuple"
