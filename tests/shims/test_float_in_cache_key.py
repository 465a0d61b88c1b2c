"""`float_in_cache_key`: other operators, other sources of a float, and the ways through torch's caches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat
from compat.selfcheck.quick import compile_quickly
from compat.shims import float_in_cache_key as shim

Program = Callable[[torch.Tensor, Any], torch.Tensor]
X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
W = torch.linspace(1, 2, 16).view(4, 4)
LABELS = torch.tensor([0, 1, 2, 3])
STATE = {"scale": 0.5}


def image(x: torch.Tensor) -> torch.Tensor:
    return x[None, None]


def set_item(x: torch.Tensor, s: float) -> torch.Tensor:
    y = x * s
    y[0] = s
    return y


def attribute(x: torch.Tensor, s: float) -> torch.Tensor:
    return SCALED(x)


def from_global(x: torch.Tensor, s: float) -> torch.Tensor:
    return F.pad(x * STATE["scale"], (1, 1), value=STATE["scale"] + 1)


class Scaled(torch.nn.Module):
    scale = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x * self.scale, (4,), eps=self.scale) + F.pad(x, (0, 0), value=self.scale * 2)


SCALED = Scaled()

OPERATORS: dict[str, Program] = {
    "clamp": lambda x, s: (x * s).clamp(-s, s),
    "clamp by name": lambda x, s: torch.clamp(x * s, max=s),
    "clamp in place": lambda x, s: (x * s).clamp_(min=s),
    "hardtanh": lambda x, s: F.hardtanh(x * s, -s, s),
    "full": lambda x, s: x * s + torch.full((4,), s),
    "full_like": lambda x, s: x * s + torch.full_like(x, s),
    "new_full": lambda x, s: x * s + x.new_full((4,), s),
    "fill": lambda x, s: x * s + torch.empty_like(x).fill_(s),
    "masked_fill": lambda x, s: (x * s).masked_fill(x > 0, s + 1),
    "setitem": set_item,
    "alpha": lambda x, s: torch.add(x * s, W, alpha=s),
    "addmm": lambda x, s: torch.addmm(x * s, x, W, beta=s, alpha=s),
    "baddbmm": lambda x, s: torch.baddbmm((W * s)[None], x[None], x[None], beta=1.0, alpha=s + 1),
    "addcmul": lambda x, s: torch.addcmul(x * s, x, W, value=s),
    "lerp": lambda x, s: torch.lerp(x * s, W, s),
    "foreach": lambda x, s: torch._foreach_lerp([x * s], [W], s)[0],
    "rms_norm": lambda x, s: F.rms_norm(x * s, (4,), eps=s + 1e-3),
    "layer_norm": lambda x, s: F.layer_norm(x * s, (4,), eps=s * 0.1),
    "group_norm": lambda x, s: F.group_norm(image(x) * s, 1, eps=s),
    "batch_norm": lambda x, s: F.batch_norm(image(x) * s, None, None, training=True, eps=s),
    "normalize": lambda x, s: F.normalize(x * s, p=s + 1),
    "attention": lambda x, s: F.scaled_dot_product_attention(image(x) * s, image(x), image(W), scale=s * 2),
    "pad": lambda x, s: F.pad(x * s, (1, 1), value=s + 1),
    "leaky_relu": lambda x, s: F.leaky_relu(x * s, s * 0.5),
    "elu": lambda x, s: F.elu(x * s, alpha=s + 1),
    "softplus": lambda x, s: F.softplus(x * s, beta=s, threshold=s),
    "softshrink": lambda x, s: F.softshrink(x * s, s),
    "threshold": lambda x, s: F.threshold(x * s, s, s + 1),
    "huber_loss": lambda x, s: F.huber_loss(x * s, W, delta=s + 0.1),
    "smooth_l1_loss": lambda x, s: F.smooth_l1_loss(x * s, W, beta=s),
    "margin": lambda x, s: F.triplet_margin_loss(x * s, W, x, margin=s),
    "label smoothing": lambda x, s: F.cross_entropy(x * s, LABELS, label_smoothing=s / 4),
    "cdist": lambda x, s: torch.cdist(x * s, W, p=s + 1),
    "vector_norm": lambda x, s: torch.linalg.vector_norm(x * s, s + 1),
    "logit": lambda x, s: torch.logit(torch.sigmoid(x * s), eps=s / 8),
    "where": lambda x, s: torch.where(x > 0, x * s, s + 1),
    "pow": lambda x, s: (x.abs() * s).pow(s + 1),
    "interpolate": lambda x, s: F.interpolate(image(x) * s, scale_factor=s * 4),
    "bilinear": lambda x, s: F.interpolate(image(x) * s, scale_factor=(s * 4, s * 8), mode="bilinear"),
    "arange": lambda x, s: torch.arange(0, s * 8, s).sum() + x * s,
    "linspace": lambda x, s: x * s + torch.linspace(0, s, 4),
    "nan_to_num": lambda x, s: torch.nan_to_num(x * s / 0.0, nan=s, posinf=s + 1, neginf=-s),
    "rounding": lambda x, s: torch.div(x * s, s, rounding_mode="floor"),
    "integer": lambda x, s: x * s + int(s * 4),
    "condition": lambda x, s: x * s + 1 if s > 0.7 else x * s - 1,
    "sizes": lambda x, s: (x * s).clamp(max=x.shape[0] * s / 4),
    "slices": lambda x, s: x[: int(s * 2)] * s,
    "tensor": lambda x, s: x * s + torch.tensor(s),
    "list": lambda x, s: torch.cat([F.pad(x * s, (0, 1), value=v) for v in (s, s + 1)]),
    "renorm": lambda x, s: torch.renorm(x * s, 2, 0, s),
    "quantile": lambda x, s: torch.quantile(x * s, s / 4),
    "isclose": lambda x, s: torch.isclose(x * s, W, rtol=s, atol=s).float() + x * s,
    "cosine_similarity": lambda x, s: F.cosine_similarity(x * s, W, eps=s * 8),
    "index_fill": lambda x, s: (x * s).index_fill(0, LABELS[:2], s + 1),
    "scatter": lambda x, s: (x * s).scatter(0, LABELS[None], s + 1),
    "std": lambda x, s: torch.std(x * s, 1, correction=s),
    "lp_pool": lambda x, s: F.lp_pool2d(image(x.abs()) * s, s + 1, 2),
    "inner graph": lambda x, s: torch.utils.checkpoint.checkpoint(
        lambda y: F.pad(y * s, (1, 1), value=s + 1), x, use_reentrant=False
    ),
}
SOURCES: dict[str, Program] = {
    "keyword": lambda x, s: by_name(x, scale=s),
    "attribute": attribute,
    "global": from_global,
    "dictionary": lambda x, s: in_dictionary(x, {"scale": s}),
    "numpy": lambda x, s: F.pad(x * s, (1, 1), value=float(np.float64(s)) + 1),
    "two floats": lambda x, s: F.pad(x * s, (1, 1), value=s + 1) * two(x, s, s * 3),
    "tensor of no dimension": lambda x, s: F.pad(x * s, (1, 1), value=s),
}


def by_name(x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
    return F.pad(x * scale, (1, 1), value=scale + 1)


def in_dictionary(x: torch.Tensor, options: dict[str, float]) -> torch.Tensor:
    return F.pad(x * options["scale"], (1, 1), value=options["scale"] + 1)


def two(x: torch.Tensor, s: float, t: float) -> torch.Tensor:
    return F.pad(x * t, (1, 1), value=t + 1) + s


FOR_ANY_VALUE: dict[str, Program] = {
    "any value": lambda x, s: x * s + s,
    "branch": lambda x, s: x * s if s > 0.1 else x,
}
PROGRAMS = {**OPERATORS, **SOURCES, **FOR_ANY_VALUE, "no float": lambda x, s: x @ x}
FIRST, SECOND = (0.5, 0.75, 1.25, 2.0), (0.5, 0.75, 2.0, 1.5)


def called(program: Program, x: torch.Tensor, s: Any) -> list[torch.Tensor]:
    """Return the result, and the gradient if there is one."""
    STATE["scale"] = SCALED.scale = s
    result = program(x, s)
    return [result.detach(), *(torch.autograd.grad(result.sum(), x) if result.requires_grad else ())]


def run(
    folder: str, install: bool, names: Iterable[str], values: Iterable[float], how: dict[str, Any] | None = None
) -> tuple[list[str], int]:
    """Compile and run programs in a new process. Return which are wrong, and how often the cache was hit."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo import config as dynamo
    from torch._dynamo.exc import Unsupported
    from torch._dynamo.utils import counters
    from torch._functorch import config as functorch

    how = {"enable_autograd_cache": True, **(how or {})}
    training, dynamic = how.pop("training", False), how.pop("dynamic", None)
    if install:
        compat.install("float_in_cache_key")
    wrong = []
    with compile_quickly(call_operators=True), dynamo.patch(recompile_limit=16), functorch.patch(how):
        for name in names:
            torch._dynamo.reset()
            compiled = torch.compile(PROGRAMS[name], fullgraph=True, dynamic=dynamic)
            x = X.clone().requires_grad_(training)
            for value in values:
                s = torch.tensor(value, dtype=torch.float64) if name == "tensor of no dimension" else value
                try:
                    got = called(compiled, x, s)
                except Unsupported:  # Dynamo of this torch does not take the operator
                    break
                pairs = list(zip(got, called(PROGRAMS[name], x, s)))
                right = all(a.shape == b.shape and torch.allclose(a, b, 1e-4, 1e-5, True) for a, b in pairs)
                if not right and name not in wrong:
                    wrong.append(name)
    counted = counters["aot_autograd"]["autograd_cache_hit"], counters["inductor"]["fxgraph_cache_hit"]
    return wrong, counted[not how["enable_autograd_cache"]]


EVERYWHERE = ["pad", "layer_norm", "rms_norm", "attention", "huber_loss", "interpolate", "logit"]
TO_2_14 = ["clamp", "sizes"]
FEW = ["pad", "layer_norm", "attention", "interpolate", "clamp", "sizes", "inner graph"]


@pytest.mark.slow
def test_without_shim_operators_get_an_earlier_value(warm: Warm, tmp_path: Path) -> None:
    names = [*EVERYWHERE, *TO_2_14, "condition", "any value"]
    wrong = {name for values in (FIRST, SECOND) for name in warm(run, str(tmp_path), False, names, values)[0]}
    assert wrong == {*EVERYWHERE, *(TO_2_14 if RELEASE < (2, 15) else ())}


@pytest.mark.slow
def test_with_shim_each_operator_gets_its_value_in_two_processes(warm: Warm, tmp_path: Path) -> None:
    names = [*OPERATORS, *SOURCES]
    assert warm(run, str(tmp_path), True, names, FIRST)[0] == []
    wrong, hits = warm(run, str(tmp_path), True, names, SECOND)
    assert wrong == []
    assert hits > 2 * len(names)  # equal values still find their entries


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [{"training": True}, {"dynamic": True}, {"enable_autograd_cache": False}, {"bundled_autograd_cache": True}],
    ids=lambda how: next(iter(how)),
)
def test_with_shim_each_kind_of_cache_and_graph_is_right(how: dict[str, Any], warm: Warm, tmp_path: Path) -> None:
    assert warm(run, str(tmp_path), True, FEW, FIRST, how)[0] == []
    wrong, hits = warm(run, str(tmp_path), True, FEW, SECOND, how)
    assert wrong == []
    assert hits > len(FEW)


@pytest.mark.slow
def test_hit_adds_its_guards_to_the_second_process(warm: Warm, tmp_path: Path) -> None:
    names = ["pad", "layer_norm", "sizes", "clamp", "two floats", "attribute"]
    assert warm(run, str(tmp_path), True, names, (0.5, 0.75))[0] == []
    # The hit for 0.75 says for which value its code is, so 2.0 does not run it.
    wrong, hits = warm(run, str(tmp_path), True, names, (0.5, 0.75, 2.0, 0.75))
    assert wrong == []
    assert hits >= 2 * len(names)


@pytest.mark.slow
def test_entries_saved_without_shim_are_not_read(warm: Warm, tmp_path: Path) -> None:
    names = ["pad", "attention"]
    for values in (FIRST, SECOND):
        wrong = warm(run, str(tmp_path), False, names, values)[0]
    assert wrong == names
    assert warm(run, str(tmp_path), True, names, SECOND)[0] == []
    assert warm(run, str(tmp_path), False, names, SECOND)[0] == names


@pytest.mark.slow
def test_entries_of_graphs_without_floats_are_read_with_shim(warm: Warm, tmp_path: Path) -> None:
    for install, hits in ((False, 0), (True, 1), (False, 1)):
        assert warm(run, str(tmp_path), install, ["no float"], [1.0]) == ([], hits)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOR_ANY_VALUE)
def test_code_for_any_value_is_shared_by_all_values(name: str, warm: Warm, tmp_path: Path) -> None:
    assert warm(run, str(tmp_path), True, [name], (0.5, 0.75)) == ([], 0)
    for values in ((0.5, 1.25), (0.5, 3.5, 4.25)):
        assert warm(run, str(tmp_path), True, [name], values) == ([], 2)


def test_values_are_told_apart_exactly(warm: Warm, tmp_path: Path) -> None:
    values = (0.5, 0.1 + 0.2, 0.3, 1 / 3, 1e-7, -0.25, 2.0**60 + 2.0**8)
    for hits in (0, len(values)):
        wrong, got = warm(run, str(tmp_path), True, ["full", "pad"], values)
        assert wrong == []
        assert got >= hits


def test_guards_that_torch_cannot_write_pin_every_float() -> None:
    from torch._functorch._aot_autograd.schemas import AOTAutogradCacheInfo

    def generate(cls: Any, info: Any) -> str | None:
        if any(isinstance(symbol, SimpleNamespace) for symbol in info.forward_symints):
            raise AssertionError("no source")
        return "L['t0'] < 5"

    info: Any = AOTAutogradCacheInfo("key", 0, forward_symints=[])
    wrapper: Any = SimpleNamespace(next=generate)
    save = shim._replace_generate_guards(wrapper)
    assert save(None, info) == "L['t0'] < 5"
    setattr(info, shim._ATTRIBUTE, (SimpleNamespace(node=SimpleNamespace(hint=0.1 + 0.2)),))
    assert save(None, info) == "L['t0'] < 5 and L['t0'] == 0.30000000000000004"


def test_guards_of_an_entry_are_checked_with_plain_floats_first() -> None:
    asked: list[Any] = []
    answers = {1: False, 2: True}

    def evaluate(expression: int, hints: Any) -> bool:
        asked.append(hints)
        return answers[expression]

    wrapper: Any = SimpleNamespace(next=evaluate)
    check = shim._replace_evaluate_guards(wrapper)
    symbol, integer = SimpleNamespace(node=SimpleNamespace(hint=0.5)), object()
    assert check(2, [3])  # no graph with floats
    token = shim._looked_up.set((symbol,))
    try:
        assert check(2, [3])  # a lookup
        assert check(2, [integer])  # a hit: the guards are added
        assert check(2, [])  # both in one
        assert not check(1, [])
    finally:
        shim._looked_up.reset(token)
    assert asked == [[3], [3, 0.5], [integer, symbol], [0.5], [symbol], [0.5]]


def checked(repaired: bool) -> tuple[Any, Any]:
    from torch._dynamo.exc import TensorifyScalarRestartAnalysis
    from torch._dynamo.symbolic_convert import TensorifyState
    from torch.fx.passes import _tensorify_python_scalars as module

    def starts_over(*args: Any) -> None:
        raise TensorifyScalarRestartAnalysis

    said = shim._explain_stale(starts_over if repaired else module.tensorify_python_scalars)
    return said, set(TensorifyState.force_specializations)


def test_native_check_tells_torches_apart_and_leaves_nothing_behind(warm: Warm) -> None:
    assert warm(checked, True) == (None, set())
    assert warm(checked, False) == ("it leaves the float a symbol that its guard pins to one value", set())
