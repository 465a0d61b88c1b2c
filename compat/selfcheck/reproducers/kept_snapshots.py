"""Values that are overwritten: by an op, with an input, before the backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import library as torch_library

from ..quick import compile_quickly


def outcome() -> str:
    library = torch_library.Library("reproducer", "FRAGMENT")
    library.define("shift(Tensor source, Tensor(a!) target) -> ()")
    library.impl("shift", shift, "CompositeExplicitAutograd")
    torch_library.register_fake(
        "reproducer::shift", lambda source, target: None, lib=library
    )
    cases: dict[str, Callable[..., torch.Tensor]]
    cases = {"an op": op, "a result": result, "a gradient": gradient, "an index": index}
    wrong = [name for name, case in cases.items() if not same(case)]
    return f"wrong values from {', '.join(wrong)}" if wrong else "right"


def shift(source: torch.Tensor, target: torch.Tensor) -> None:
    """Row by row, as a kernel may: wrong if both are one buffer."""
    for row in range(source.shape[0] - 1):
        target[row + 1].copy_(source[row])


def op(x: torch.Tensor) -> torch.Tensor:
    product = x @ x.t()
    old = product.clone()
    torch.ops.reproducer.shift(old, product)
    return product * 2


def index(x: torch.Tensor) -> torch.Tensor:
    x[torch.arange(3, -1, -1)] = x.clone()
    return x * 2


def result(x: torch.Tensor) -> torch.Tensor:
    x[torch.arange(2)] = 0
    old = x.clone()
    x.add_(1)
    return old


def gradient(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    x.add_(1)
    return (weight * old).sum()


def same(case: Callable[..., torch.Tensor]) -> bool:
    torch._dynamo.reset()
    results = []
    # A copy goes before any C++ is made, so most cases need none. The operator that
    # writes by index refuses what the C++ does wrong.
    with compile_quickly(call_operators=case is not index):
        for function in (case, torch.compile(case, fullgraph=True)):
            x = torch.arange(16.0).view(4, 4) / 8
            if case is gradient:
                weight = torch.ones(4, 4, requires_grad=True)
                function(x, weight).backward()
                results.append([weight.grad, x])
            else:
                results.append([function(x), x])
    return all(map(torch.equal, *results))
