"""Programs that no defect touches get the same generated code with all fixes and without: no fusion is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.this_torch import needs_compiler
from torch._inductor import config
from torch._inductor.graph import GraphLowering

import compat
from compat.selfcheck.quick import compile_quickly

Tensor, functional = torch.Tensor, torch.nn.functional
Program = tuple[Callable[..., Any], tuple[Any, ...]]
PROGRAMS: dict[str, Callable[[], Program]] = {}
pytestmark = pytest.mark.filterwarnings("ignore")


def program(make: Callable[[], Program]) -> Callable[[], Program]:
    PROGRAMS[make.__name__] = make
    return make


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


@program
def feed_forward() -> Program:
    weight, gate, up, down = torch.ones(64), torch.ones(64, 128), torch.ones(64, 128), torch.ones(128, 64)
    return lambda x: x + (functional.silu(rms(x, weight) @ gate) * (rms(x, weight) @ up)) @ down, (
        torch.ones(4, 16, 64),
    )


@program
def rotary_attention() -> Program:
    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return torch.cat((-second, first), -1)

    def run(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k = q * cos + turned(q) * sin, k * cos + turned(k) * sin
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return run, (*(torch.ones(2, 4, 16, 32) for _ in range(3)), torch.ones(16, 32), torch.ones(16, 32))


@program
def attention_with_a_mask() -> Program:
    def run(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return torch.softmax((q @ k.transpose(-1, -2)) / 5.6 + mask, -1) @ v

    return run, (*(torch.ones(2, 4, 16, 32) for _ in range(3)), torch.zeros(16, 16))


@program
def cache_by_index_copy() -> Program:
    def run(cache: Tensor, k: Tensor, places: Tensor, q: Tensor) -> Tensor:
        cache.index_copy_(1, places, k)
        return torch.softmax(q @ cache.transpose(-1, -2), -1) @ cache

    return run, (torch.ones(2, 32, 16), torch.ones(2, 3, 16), torch.tensor([4, 5, 6]), torch.ones(2, 3, 16))


@program
def cache_by_slice() -> Program:
    def run(cache: Tensor, k: Tensor, q: Tensor) -> Tensor:
        cache[:, 8:11] = k
        return q @ cache.transpose(-1, -2)

    return run, (torch.ones(2, 32, 16), torch.ones(2, 3, 16), torch.ones(2, 3, 16))


@program
def cache_by_slots() -> Program:
    def run(cache: Tensor, k: Tensor, slots: Tensor) -> Tensor:
        cache[slots] = k
        return cache.sum(0)

    return run, (torch.ones(64, 16), torch.ones(3, 16), torch.tensor([4, 9, 1]))


@program
def mixture_of_experts() -> Program:
    def run(x: Tensor, gate: Tensor, experts: Tensor) -> Tensor:
        share, which = torch.softmax(x @ gate, -1).topk(2, -1)
        share = share / share.sum(-1, keepdim=True)
        every = torch.einsum("td,edf->tef", x, experts)
        chosen = every.gather(1, which[..., None].expand(-1, -1, every.shape[-1]))
        return (chosen * share[..., None]).sum(1)

    return run, (torch.ones(16, 32), torch.ones(32, 4), torch.ones(4, 32, 32))


@program
def sampling() -> Program:
    def run(logits: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits / temperature
        best, _ = logits.topk(5)
        share = torch.softmax(logits.masked_fill(logits < best[:, -1:], -float("inf")), -1)
        return share, share.sort(-1, descending=True)[0].cumsum(-1)

    return run, (torch.ones(4, 100), torch.tensor(0.7))


@program
def quantization() -> Program:
    def run(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scale = x.abs().amax(-1, keepdim=True) / 127
        whole = (x / scale).round().clamp(-128, 127).to(torch.int8)
        return whole, scale, whole.float() * scale

    return run, (torch.ones(16, 64),)


@program
def layer_norm() -> Program:
    weight, matrix = torch.ones(64), torch.ones(64, 64)

    def run(x: Tensor) -> Tensor:
        return functional.gelu(functional.layer_norm(x, (64,), weight) @ matrix, approximate="tanh") + x

    return run, (torch.ones(4, 8, 64),)


@program
def norm_of_a_residual() -> Program:
    def run(x: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        residual = residual + x
        return rms(residual, weight), residual

    return run, (torch.ones(4, 64), torch.ones(4, 64), torch.ones(64))


@program
def convolution() -> Program:
    weight = torch.ones(8, 3, 3, 3)
    return lambda x: functional.relu(functional.conv2d(x, weight, padding=1)).mean((2, 3)), (torch.ones(2, 3, 8, 8),)


@program
def embedding() -> Program:
    table = torch.ones(50, 16)
    run = lambda words, places: functional.embedding(words, table) + places[: words.shape[1]]  # noqa: E731
    return run, (torch.ones(2, 7, dtype=torch.int64), torch.ones(10, 16))


@program
def mask_of_a_length() -> Program:
    def run(length: Tensor, x: Tensor) -> Tensor:
        at = torch.arange(x.shape[0])
        return x.masked_fill(~((at[:, None] >= at[None]) & (at[None] < length)), 0.0)

    return run, (torch.tensor(5), torch.ones(8, 8))


@program
def matrix_product_with_default_factors() -> Program:
    run = lambda a, b, c: torch.addmm(a, b, c, beta=1, alpha=1) + torch.add(a, b @ c)  # noqa: E731
    return run, (torch.ones(8, 8), torch.ones(8, 8), torch.ones(8, 8))


@program
def running_mean() -> Program:
    def run(mean: Tensor, x: Tensor) -> Tensor:
        mean.lerp_(x.mean(0), 0.1)
        return (x - mean) / (x.var(0) + 1e-5).sqrt()

    return run, (torch.zeros(16), torch.ones(8, 16))


@program
def optimizer_step() -> Program:
    def run(weights: list[Tensor], gradients: list[Tensor], means: list[Tensor], squares: list[Tensor]) -> None:
        torch._foreach_lerp_(means, gradients, 0.1)
        torch._foreach_mul_(squares, 0.99)
        torch._foreach_addcmul_(squares, gradients, gradients, 0.01)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, 1e-8)
        torch._foreach_addcdiv_(weights, means, roots, -0.01)

    return run, tuple([torch.ones(8, 8) for _ in range(3)] for _ in range(4))


@program
def parts_of_a_copy() -> Program:
    def run(x: Tensor) -> Tensor:
        first, second = x.clone().chunk(2, -1)
        return first.contiguous() * second

    return run, (torch.ones(4, 16),)


@program
def places_by_cumulative_sum() -> Program:
    return lambda mask: mask.long().cumsum(-1) - 1, (torch.ones(2, 8),)


@program
def ring_buffer() -> Program:
    def run(ring: Tensor, x: Tensor) -> Tensor:
        ring.copy_(torch.cat([ring[1:], x[None]]))
        return ring.mean(0)

    return run, (torch.ones(8, 4), torch.ones(4))


@program
def autocast_inside() -> Program:
    matrix = torch.ones(16, 16)

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return x @ matrix

    return run, (torch.ones(4, 16),)


@program
def number() -> Program:
    return lambda x, n: x * n + x.shape[0], (torch.ones(4, 16), 7)


class Generated(Exception):
    """Ends the compile where the code is there."""


def code_of(name: str, dynamic: bool) -> str:
    """Return the code that Inductor generates for a program, without what differs from compile to compile."""
    texts: list[str] = []

    def compile_to_module(graph: Any) -> None:
        texts.append(graph.codegen()[0].value)
        raise Generated

    run, arguments = PROGRAMS[name]()
    torch._dynamo.reset()
    with (
        config.patch(force_disable_caches=True),
        compile_quickly(),
        mock.patch.object(GraphLowering, "compile_to_module", compile_to_module),
        suppress(Exception),  # torch wraps ours in one of its own
        torch.no_grad(),
    ):
        torch.compile(run, dynamic=dynamic, fullgraph=True)(*arguments)
    (text,) = texts
    text = re.sub(r"(?m)^#.*$|^.*AOT ID.*$", "", text)  # tells of the trace, not of the code
    return re.sub(r"\bc[a-z2-7]{51}\b|0x[0-9a-f]+", "", text)  # names made of a hash, and addresses


# A few by default; `nox -s matrix` and `nox -s proof` compare all.
@needs_compiler
@pytest.mark.parametrize(
    ("name", "dynamic"),
    [
        pytest.param(name, dynamic, marks=() if dynamic and "cache" in name else pytest.mark.slow)
        for name in PROGRAMS
        for dynamic in (False, True)
    ],
)
def test_code_is_the_same_with_all_fixes(name: str, dynamic: bool) -> None:
    import torch._inductor.compile_fx  # noqa: F401 (the shims wait for it)

    without = code_of(name, dynamic)
    compat.install()
    try:
        assert code_of(name, dynamic) == without
    finally:
        compat.uninstall()
    assert len(without) > 500
