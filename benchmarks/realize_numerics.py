"""Does it matter to results what Inductor stores? A study: eager, stock, and `realize_on_reuse` in both numerics.

Toy Llama-style models, with attention as a custom op as engines have it. For each dtype, depth and seed: the error
against float64, on how many of 20 inputs outputs are bitwise stock's, and whether greedy decoding gives the same
tokens; the same for two ranks of tensor parallelism over gloo. `python benchmarks/realize_numerics.py`
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

import torch
import torch.distributed as dist
from results import save
from torch import library as torch_library
from torch.distributed import _functional_collectives as collectives

import compat

HIDDEN, HEADS, VOCABULARY, TOKENS, PROMPT = 256, 8, 512, 24, 8
DEPTHS, SEEDS = (2, 8), (0, 1, 2)
# The dtype of weights and activations, and the dtype in which the residual is added.
MODELS = {
    "bf16, float32 residual adds": (torch.bfloat16, torch.float32),
    "bf16": (torch.bfloat16, torch.bfloat16),
    "fp16": (torch.float16, torch.float16),
    "float32": (torch.float32, torch.float32),
}
WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "stock": nullcontext,
    "exact": lambda: compat.realize_on_reuse(mode="backport"),
    "traffic": lambda: compat.realize_on_reuse(mode="backport", numerics="traffic"),
}

_library = torch_library.Library("compat_study", "FRAGMENT")
_library.define("attention(Tensor q, Tensor k, Tensor v) -> Tensor")


@torch_library.impl(_library, "attention", "CompositeExplicitAutograd")
def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = (one.view(TOKENS, -1, HIDDEN // HEADS).transpose(0, 1) for one in (q, k, v))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(0, 1).reshape(TOKENS, -1).contiguous()


torch_library.register_fake("compat_study::attention", lambda q, k, v: torch.empty_like(q), lib=_library)


def weights(depth: int, seed: int, dtype: torch.dtype, rank: int = 0, ranks: int = 1) -> list[torch.Tensor]:
    """Embedding, then for each layer what attention and MLP need, then head: this rank's part of them."""
    made = torch.Generator().manual_seed(seed)

    def random(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=made, dtype=torch.float64) / rows**0.5

    def by_column(weight: torch.Tensor) -> torch.Tensor:
        return weight.chunk(ranks, 1)[rank].contiguous()

    def by_row(weight: torch.Tensor) -> torch.Tensor:
        return weight.chunk(ranks, 0)[rank].contiguous()

    found = [random(VOCABULARY, HIDDEN) * VOCABULARY**0.5]
    for _ in range(depth):
        found += [by_column(random(HIDDEN, HIDDEN)) for _ in range(3)] + [by_row(random(HIDDEN, HIDDEN))]
        found += [by_column(random(HIDDEN, 2 * HIDDEN)) for _ in range(2)] + [by_row(random(2 * HIDDEN, HIDDEN))]
    return [weight.to(dtype) for weight in (*found, random(HIDDEN, VOCABULARY))]


def model(residual_in: torch.dtype, ranks: int) -> Callable[..., torch.Tensor]:
    def add_and_norm(x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wide = x.to(residual_in) + residual.to(residual_in)
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return normed.to(x.dtype), wide.to(x.dtype)

    def reduced(x: torch.Tensor) -> torch.Tensor:
        return collectives.wait_tensor(collectives.all_reduce(x, "sum", dist.group.WORLD)) if ranks > 1 else x

    def forward(tokens: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        embedding, *layers, head = weights
        x, residual = embedding[tokens], torch.zeros_like(embedding[tokens])
        for n in range(0, len(layers), 7):
            q, k, v, o, gate, up, down = layers[n : n + 7]
            normed, residual = add_and_norm(x, residual)
            x = reduced(torch.ops.compat_study.attention(normed @ q, normed @ k, normed @ v) @ o)
            normed, residual = add_and_norm(x, residual)
            x = reduced((torch.nn.functional.silu(normed @ gate) * (normed @ up)) @ down)
        return add_and_norm(x, residual)[0] @ head

    return forward


def with_own_code(function: Any) -> FunctionType:
    """Dynamo keeps what it compiled on the code object: without one of its own, each way would run the first one's."""
    code = function.__code__.replace()
    return FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)


def decoded(run: Callable[..., torch.Tensor], given: list[torch.Tensor], seed: int) -> list[int]:
    """Greedy, token by token, from a prompt of its own for each seed."""
    tokens = torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(seed + 100))
    for n in range(PROMPT, TOKENS):
        tokens[n] = run(tokens, *given)[n - 1].argmax()
    return tokens.tolist()


def runs(residual_in: torch.dtype, given: list[torch.Tensor], ranks: int = 1) -> dict[str, Callable[..., Any]]:
    """Eager and every compiled way, all of them compiled."""
    torch._dynamo.reset()
    found: dict[str, Callable[..., Any]] = {"eager": model(residual_in, ranks)}
    for way, context in WAYS.items():
        found[way] = torch.compile(with_own_code(model(residual_in, ranks)), fullgraph=True, dynamic=False)
        with context():
            found[way](torch.zeros(TOKENS, dtype=torch.int64), *given)
    return found


def study(name: str, depth: int) -> list[dict[str, Any]]:
    dtype, residual_in = MODELS[name]
    ways = runs(residual_in, weights(depth, 0, dtype))
    rows = []
    for seed in SEEDS:
        given = weights(depth, seed, dtype)
        tokens = torch.arange(TOKENS)
        exact = model(torch.float64, 1)(tokens, *(weight.double() for weight in given))
        out = {way: run(tokens, *given) for way, run in ways.items()}
        texts = {way: decoded(run, given, seed) for way, run in ways.items()}
        errors = {
            w: float((o.double() - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt()) for w, o in out.items()
        }
        rows.append(
            {"model": name, "depth": depth, "seed": seed, "error": errors}
            | {"inputs equal to stock, of 20": equal_to_stock(ways, given)}
            | {"tokens": texts}
        )
    return rows


def equal_to_stock(ways: dict[str, Callable[..., Any]], given: list[torch.Tensor]) -> dict[str, int]:
    made, equal = torch.Generator().manual_seed(7), dict.fromkeys(ways, 0)
    for _ in range(20):
        tokens = torch.randint(VOCABULARY, (TOKENS,), generator=made)
        out = {way: run(tokens, *given) for way, run in ways.items()}
        for way in ways:
            equal[way] += torch.equal(out[way], out["stock"])
    return equal


def one_rank(rank: int, ranks: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29531", TORCHINDUCTOR_CACHE_DIR=f"{folder}/{rank}")
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    found = []
    for name, (dtype, residual_in) in MODELS.items():
        ways = runs(residual_in, weights(2, 0, dtype, rank, ranks), ranks)
        for seed in SEEDS:
            given = weights(2, seed, dtype, rank, ranks)
            found.append((name, seed, {way: decoded(run, given, seed) for way, run in ways.items()}))
    if rank == 0:
        torch.save(found, f"{folder}/found")
    dist.destroy_process_group()


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    rows = [row for name, depth in itertools.product(MODELS, DEPTHS) for row in study(name, depth)]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(one_rank, (2, folder), nprocs=2)
        both = torch.load(f"{folder}/found", weights_only=True)
    for row in rows:
        texts = row.pop("tokens")
        row["decodes as stock"] = {way: text == texts["stock"] for way, text in texts.items()}
        row["decodes as eager"] = {way: text == texts["eager"] for way, text in texts.items()}
        if row["depth"] == 2:
            two = next(found for name, seed, found in both if (name, seed) == (row["model"], row["seed"]))
            row["two ranks decode as one"] = {way: two[way] == texts[way] for way in two}
            row["two ranks decode as stock on two"] = {way: two[way] == two["stock"] for way in two}
        print(row)
    save("realize_numerics", {"rows": rows})


if __name__ == "__main__":
    main()
