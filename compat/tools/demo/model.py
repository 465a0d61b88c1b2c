"""A small Llama-like transformer for the demo and the benchmarks, captured by Dynamo and split at its attention ops.

The model is narrow, because the time of a split depends only on the number of nodes and partitions. Its structure is
the one that engines have: rotary embedding, grouped projections, gated MLP, float32 norms and residual adds, and
attention as one opaque custom op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library, nn

HIDDEN, HEADS, INNER, VOCABULARY, TOKENS = 64, 4, 128, 128, 16


@library.custom_op("compat_demo::attention", mutates_args=())
def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute causal attention over [tokens, heads, width]."""
    query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(0, 1).contiguous()


@attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(query, memory_format=torch.contiguous_format)


class RMSNorm(nn.Module):
    """Add the residual in float32, as engines do, and normalize the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor]:
        wide = x.to(torch.float32)
        if residual is not None:
            wide = wide + residual.to(torch.float32)
        residual = wide.to(x.dtype)
        wide = wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + 1e-6)
        return wide.to(x.dtype) * self.weight, residual


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = torch.chunk(x, 2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = RMSNorm(HIDDEN), RMSNorm(HIDDEN)
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate_up, self.down = nn.Linear(HIDDEN, 2 * INNER, bias=False), nn.Linear(INNER, HIDDEN, bias=False)

    def forward(self, x: Tensor, residual: Tensor | None, positions: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        x, residual = self.before_attention(x, residual)
        query, key, value = self.qkv(x).split([HIDDEN, HIDDEN, HIDDEN], dim=-1)
        cos, sin = table.index_select(0, positions).unsqueeze(-2).chunk(2, dim=-1)
        query, key, value = (t.view(-1, HEADS, HIDDEN // HEADS) for t in (query, key, value))
        x = self.out(attention(rotate(query, cos, sin), rotate(key, cos, sin), value).view(-1, HIDDEN))
        x, residual = self.before_mlp(x, residual)
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(nn.functional.silu(gate) * up), residual


class Transformer(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.norm = RMSNorm(HIDDEN)
        half = HIDDEN // HEADS // 2
        angles = torch.arange(TOKENS)[:, None] * 10000 ** (-torch.arange(half) / half)
        self.register_buffer("table", torch.cat((angles.cos(), angles.sin()), dim=-1))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        x, residual = self.embedding(tokens), None
        for layer in self.layers:
            x, residual = layer(x, residual, positions, self.table)
        return self.norm(x, residual)[0]


def capture(layers: int, device: str = "cpu") -> tuple[torch.fx.GraphModule, list[Any]]:
    """Return the model's graph as Dynamo passes it to a backend, and the inputs of the capture, on a device."""
    torch.manual_seed(0)
    captured: list[tuple[torch.fx.GraphModule, list[Any]]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        captured.append((graph, inputs))
        return graph.forward

    model = Transformer(layers).eval().to(device)
    positions = torch.arange(TOKENS, device=device)
    with torch.no_grad():
        torch.compile(model, backend=backend, fullgraph=True)(positions % VOCABULARY, positions)
    return captured[0]


def partitions(graph: torch.fx.GraphModule) -> dict[torch.fx.Node, int]:
    """Number the partitions: each attention op gets an odd number, the nodes between two of them share an even one."""
    numbers, number = {}, 0
    for node in graph.graph.nodes:
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        cut = "compat_demo" in str(node.target)
        number += cut
        numbers[node] = number
        number += cut
    return numbers


def split(graph: torch.fx.GraphModule, numbers: dict[torch.fx.Node, int]) -> torch.fx.GraphModule:
    """Split the graph with the arguments that vLLM and SGLang use."""
    from torch.fx.passes.split_module import split_module

    return split_module(graph, None, numbers.__getitem__, keep_original_order=True)
