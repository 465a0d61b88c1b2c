"""Small models of many kinds, and their results through `torch.compile`, for `test_torch_stays.py`."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import compat
from compat.selfcheck.quick import compile_quickly

Run = Callable[[Callable[..., Any]], list[torch.Tensor]]  # takes the compiling function, returns the results


def conv_net(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5)
    )
    return [compiled(net.eval())(torch.randn(2, 3, 8, 8))]


class Attention(nn.Module):
    """One attention layer, with a cache of keys and values that grows by one step per call."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.register_buffer("keys", torch.zeros(1, 2, 8, 8))
        self.register_buffer("values", torch.zeros(1, 2, 8, 8))

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.view(1, -1, 2, 8).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        self.keys.index_copy_(2, at, k)
        self.values.index_copy_(2, at, v)
        seen = torch.arange(8)[None, :] <= at[:, None]
        found = nn.functional.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=seen)
        return x + self.out(found.transpose(1, 2).reshape(1, -1, 16))


def transformer_with_a_cache(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    layers = nn.ModuleList([Attention() for _ in range(2)])

    def step(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            x = layer(x, at)
        return x

    run = compiled(step)
    return [run(torch.randn(1, 1, 16), torch.tensor([at])) for at in range(3)] + [layers[1].keys]


def gru(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    return list(compiled(nn.GRU(4, 6, num_layers=2, batch_first=True))(torch.randn(2, 5, 4)))


def scatter_and_gather(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    def mix(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        spread = torch.zeros(6, 4).index_add(0, index, x)
        largest = torch.zeros(6, 4).scatter_reduce(0, index[:, None].expand(-1, 4), x, "amax")
        return (spread + largest).gather(0, index[:, None].expand(-1, 4)) + x[index.clamp(max=4)]

    return [compiled(mix)(torch.randn(5, 4), torch.tensor([0, 5, 5, 2, 1]))]


def control_flow(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    def branch(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x.sin() * 2, lambda x: x.cos() - 1, (x,))

    run = compiled(branch)
    return [run(torch.ones(3)), run(-torch.ones(3))]


def dynamic_shapes(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    def mean(x: torch.Tensor) -> torch.Tensor:
        return (x.view(x.shape[0] // 2, -1) * x.shape[0]).softmax(-1).mean(0)

    run = compiled(mean, dynamic=True)
    return [run(torch.randn(rows, 3)) for rows in (4, 6, 10)]


def training_step(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    run, losses = compiled(net), []
    for _ in range(3):
        loss = run(torch.randn(4, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, *(parameter.detach() for parameter in net.parameters())]


def residuals(dtype: torch.dtype) -> Run:
    def run(compiled: Callable[..., Any]) -> list[torch.Tensor]:
        layers = [nn.Linear(16, 16).to(dtype) for _ in range(4)]

        def chain(x: torch.Tensor) -> torch.Tensor:
            for layer in layers:
                x = x + layer(nn.functional.rms_norm(x, (16,)))
            return x

        with torch.no_grad():
            return [compiled(chain)(torch.randn(3, 16).to(dtype))]

    return run


def exported(compiled: Callable[..., Any]) -> list[torch.Tensor]:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"sum": x.sum(0), "top": x.topk(2).values}

    x = torch.randn(3, 4)
    program = torch.export.export(Net(), (x,), dynamic_shapes={"x": {0: torch.export.Dim("rows", min=2)}})
    return [*program.module()(x).values(), *compiled(program.module())(x).values()]


MODELS: dict[str, Run] = {
    "conv net": conv_net,
    "transformer with a cache": transformer_with_a_cache,
    "GRU": gru,
    "scatter and gather": scatter_and_gather,
    "control flow": control_flow,
    "dynamic shapes": dynamic_shapes,
    "training step": training_step,
    "float32": residuals(torch.float32),
    "bfloat16": residuals(torch.bfloat16),
    "float16": residuals(torch.float16),
    "export": exported,
}


def outcome(name: str, shims: bool) -> tuple[list[Any], set[str]]:
    """Run a model in a new process, with all shims or without. Returns the results and the names of active shims."""
    torch.manual_seed(0)
    if shims:
        for row in (row for row in compat.status() if row.kind != "api"):
            force = row.kind == "speed" and row.mode == "noop"  # works, but is not chosen by auto
            compat.install(row.name, mode="backport" if force else "auto")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        with compile_quickly():
            results = MODELS[name](torch.compile)
    active = {row.name for row in compat.status() if row.active} if shims else set()
    return [(result.dtype, result.shape, result.double().tolist()) for result in results], active
