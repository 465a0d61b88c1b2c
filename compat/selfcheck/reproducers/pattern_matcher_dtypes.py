"""A pattern of custom ops is replaced, with dtypes that Inductor cannot generate."""

from __future__ import annotations

import torch
from torch import library as torch_library

from ..quick import compile_quickly

DTYPES = ("float32", "complex64", "float8_e8m0fnu")


def _ops(word: str, library: torch_library.Library) -> None:
    """Define three ops.

    `scales` returns ones and `fused` twos, both in this dtype. `read` goes to float32.
    """
    dtype = getattr(torch, word)

    def define(name: str, implementation: object, fake: object) -> None:
        library.define(f"{name}(Tensor x) -> Tensor")
        library.impl(name, implementation, "CompositeExplicitAutograd")
        torch_library.register_fake(f"{library.ns}::{name}", fake, lib=library)

    def same(x: torch.Tensor) -> torch.Tensor:
        return torch.empty(x.shape, dtype=dtype)

    define("scales", lambda x: torch.ones(x.shape).to(dtype), same)
    define("fused", lambda x: torch.full(x.shape, 2.0).to(dtype), same)
    real = (
        (lambda x: x.real.clone())
        if dtype.is_complex
        else (lambda x: x.float().clone())
    )
    define("read", real, lambda x: torch.empty(x.shape))


def _replaced(word: str) -> bool:
    from torch._inductor import config
    from torch._inductor.custom_graph_pass import CustomGraphPass
    from torch._inductor.pattern_matcher import (
        PatternMatcherPass,
        fwd_only,
        register_replacement,
    )

    library = torch_library.Library(f"reproducer_{word}", "FRAGMENT")
    _ops(word, library)
    ops, patterns = getattr(torch.ops, library.ns), PatternMatcherPass()
    register_replacement(
        lambda x: ops.scales(x @ x),
        lambda x: ops.fused(x),
        [torch.ones(2, 2)],
        fwd_only,
        patterns,
    )

    class Pass(CustomGraphPass):
        def __call__(self, graph: torch.fx.Graph) -> None:
            patterns.apply(graph)

        def uuid(self) -> str:
            return word

    torch._dynamo.reset()
    with compile_quickly(), config.patch(post_grad_custom_post_pass=Pass()):
        result = torch.compile(lambda x: ops.read(ops.scales(x @ x)), fullgraph=True)(
            torch.ones(2, 2)
        )
    assert result.unique().tolist() in ([1.0], [2.0]), result
    return bool(result[0, 0] == 2)


def outcome() -> str:
    missed = [word for word in DTYPES if not _replaced(word)]
    return f"not replaced: {', '.join(missed)}" if missed else "right"
