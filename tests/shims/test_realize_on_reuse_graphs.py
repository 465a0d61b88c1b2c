"""`realize_on_reuse` on large graphs, and on every path by which Inductor gets its graphs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.this_torch import needs_compiler
from helpers.warm import Warm
from torch._inductor import config

import compat
from compat.selfcheck.quick import compile_quickly
from compat.tools.demo import chain, lowering


def ours() -> Any:
    return compat.realize_on_reuse(mode="backport")


# --- Large graphs: kernels with very many arguments broke upstream's users -----------------------------------------


def long_chain(*xs: torch.Tensor) -> torch.Tensor:
    return chain.make()(*xs)


def sums_of_all(*xs: torch.Tensor) -> list[torch.Tensor]:
    """Return two reductions of every partial sum."""
    total, found = xs[0], []
    for x in xs[1:]:
        total = total + x
        found += [total.sum(1), total.amax(0)]
    return found


def many_users(*xs: torch.Tensor) -> list[torch.Tensor]:
    mixed = xs[0] * xs[1] + xs[2]
    return [reduce for x in xs for reduce in ((mixed + x).sum(1), (mixed * x).amax(1))]


def wide(*xs: torch.Tensor) -> list[torch.Tensor]:
    total = sum(xs[1:], xs[0])
    return [total.sum(1), total.amax(1), total.relu()]


@pytest.mark.parametrize(
    ("graph", "number", "more"),
    [
        pytest.param(long_chain, 100, 1, marks=pytest.mark.slow),
        pytest.param(sums_of_all, 100, config.max_fusion_size, marks=pytest.mark.slow),
        (many_users, 30, 1),
        pytest.param(wide, 200, 1, marks=pytest.mark.slow),
    ],
    ids=["chain", "sums", "users", "wide"],
)
def test_kernels_of_large_graphs_get_few_more_arguments(graph: Callable[..., Any], number: int, more: int) -> None:
    # Each stored value is one more argument. A kernel that stores a value and computes the next gets at most as many as
    # are fused, however long the chain is.
    given = [torch.ones(8, 32) for _ in range(number)]

    def most(context: Any) -> int:
        with context:
            return max(kernel.loads + kernel.stores for kernel in lowering.kernels(lowering.lower(graph, given)))

    assert most(ours()) <= most(nullcontext()) + more


# --- Paths to Inductor ---------------------------------------------------------------------------------------------


def by_torch_compile(xs: list[torch.Tensor]) -> None:
    torch.compile(chain.make())(*xs)


def traced(xs: list[torch.Tensor]) -> torch.fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(chain.make(), tracing_mode="fake")(*xs)


def by_standalone_compile(xs: list[torch.Tensor]) -> None:
    from torch._inductor import standalone_compile

    standalone_compile(traced(xs), xs)


def by_aot_inductor(xs: list[torch.Tensor]) -> None:
    class Sums(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
            both = x + y
            return [both.sum(0), both.amax(1), both.prod(1)]

    from torch._inductor import aot_compile

    program = torch.export.export(Sums(), tuple(xs[:2]))
    aot_compile(program.module(), tuple(xs[:2]))


def in_a_fork(xs: list[torch.Tensor]) -> None:
    """Compile in a forked child, which returns the number of nodes as its exit status."""
    from torch._inductor import metrics

    child = os.fork()
    if not child:
        by_torch_compile(xs)
        os._exit(metrics.ir_nodes_pre_fusion)
    metrics.ir_nodes_pre_fusion = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def nodes(way: Callable[[list[torch.Tensor]], None], shim: bool, folder: str) -> int:
    """Return, from a new process, the number of buffers after Inductor has decided which values to store."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    from torch._inductor import metrics

    if shim:
        compat.install("realize_on_reuse", mode="backport")
    with warnings.catch_warnings(), torch.no_grad(), compile_quickly():
        warnings.simplefilter("ignore")
        way(chain.inputs(2, 4, torch.float32, hidden=8))
    return int(metrics.ir_nodes_pre_fusion)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("way", [by_torch_compile, by_standalone_compile, by_aot_inductor, in_a_fork])
def test_shim_is_active_on_every_path_to_inductor(way: Callable[..., Any], warm: Warm, tmp_path: Path) -> None:
    stock, stored = (warm(nodes, way, shim, str(tmp_path / str(shim))) for shim in (False, True))
    assert stored > stock > 0
