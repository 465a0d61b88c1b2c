"""`float_in_cache_key`: other operators, other sources of a float, other ways through the caches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from conftest import RELEASE
from warm import Warm

import compat
from compat.shims import float_in_cache_key as shim

Program = Callable[[torch.Tensor, Any], torch.Tensor]
X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
W = torch.linspace(1, 2, 16).view(4, 4)
LABELS, ONES = torch.tensor([0, 1, 2, 3]), torch.ones(4, 4)
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
    "inner graph": lambda x, s: torch.utils.checkpoint.checkpoint(
        lambda y: F.pad(y * s, (1, 1), value=s + 1), x, use_reentrant=False
    ),
}
SOURCES: dict[str, Program] = {
    "keyword": lambda x, s: by_name(x, scale=s),
    "attribute": attribute,
    "global": from_global,
    "dictionary": lambda x, s: in_dictionary(x, {"scale": s}),
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
PROGRAMS = {**OPERATORS, **SOURCES, **FOR_ANY_VALUE}
ROUNDS = ((0.5, 0.75, 1.25, 2.0), (0.5, 0.75, 2.0, 1.5))


def called(program: Program, x: torch.Tensor, s: Any) -> list[torch.Tensor]:
    """The result, and the gradient if there is one."""
    STATE["scale"] = SCALED.scale = s
    result = program(x, s)
    return [result.detach(), *(torch.autograd.grad(result.sum(), x) if result.requires_grad else ())]


def run(
    folder: str,
    ask: str | None,
    names: Iterable[str],
    rounds: Iterable[Iterable[float]],
    training: bool = False,
    dynamic: bool | None = None,
    autograd_cache: bool = True,
    bundled: bool = False,
) -> tuple[list[str], int]:
    """Compile and run programs in a fresh process. Return which are wrong, and how often the cache was hit."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo import config as dynamo
    from torch._dynamo.utils import counters
    from torch._functorch import config as functorch
    from torch._inductor import config as inductor

    if ask:
        compat.install("float_in_cache_key", mode=ask)  # type: ignore[arg-type]
    wrong = []
    caches = functorch.patch(enable_autograd_cache=autograd_cache, bundled_autograd_cache=bundled)
    with inductor.patch(fallback_by_default=True), dynamo.patch(recompile_limit=16), caches:
        for name in names:
            for values in rounds:
                torch._dynamo.reset()
                compiled = torch.compile(PROGRAMS[name], fullgraph=True, dynamic=dynamic)
                x = X.clone().requires_grad_(training)
                for value in values:
                    s = torch.tensor(value, dtype=torch.float64) if name == "tensor of no dimension" else value
                    pairs = list(zip(called(compiled, x, s), called(PROGRAMS[name], x, s)))
                    right = all(a.shape == b.shape and torch.allclose(a, b, 1e-4, 1e-5, True) for a, b in pairs)
                    if not right and name not in wrong:
                        wrong.append(name)
    hits = counters["aot_autograd"]["autograd_cache_hit"] if autograd_cache else counters["inductor"]["fxgraph_cache_hit"]
    return wrong, hits


EVERYWHERE = ["pad", "layer_norm", "rms_norm", "attention", "label smoothing", "interpolate", "logit"]
TO_2_14 = ["clamp", "huber_loss", "sizes"]
RIGHT = ["condition", "any value"]


def test_without_it_operators_get_an_earlier_value(warm: Warm, tmp_path: Path) -> None:
    names = [*EVERYWHERE, *TO_2_14, *SOURCES, *RIGHT]
    wrong = set(warm(run, str(tmp_path), None, names, ROUNDS)[0])
    assert wrong - set(SOURCES) == {*EVERYWHERE, *(TO_2_14 if RELEASE < (2, 15) else ())}
    assert len(wrong & set(SOURCES)) >= 4


@pytest.mark.parametrize("part", range(4))
def test_with_it_each_operator_gets_its_value(part: int, warm: Warm, tmp_path: Path) -> None:
    names = list(OPERATORS)[part::4]
    wrong, hits = warm_run(warm, tmp_path, names, ROUNDS)
    assert wrong == []
    assert hits > 2 * len(names)  # equal values still find their entries


@pytest.mark.parametrize(
    "how",
    [{}, {"training": True}, {"dynamic": True}, {"autograd_cache": False}, {"bundled": True}],
    ids=lambda how: " ".join(how) or "plain",
)
def test_with_it_each_source_of_a_float_and_each_cache_is_right(
    how: dict[str, Any], warm: Warm, tmp_path: Path
) -> None:
    names = [*SOURCES, "pad", "layer_norm", "attention", "interpolate", "clamp", "sizes", "inner graph"]
    wrong, hits = warm_run(warm, tmp_path, names, ROUNDS, **how)
    assert wrong == []
    assert hits > len(names)


def warm_run(warm: Warm, folder: Path, names: Iterable[str], rounds: Iterable[Iterable[float]], **how: Any) -> Any:
    call = [how.get(name, default) for name, default in HOW.items()]
    return warm(run, str(folder), "backport", list(names), list(rounds), *call)


HOW = {"training": False, "dynamic": None, "autograd_cache": True, "bundled": False}


def test_second_process_gets_its_own_values_after_a_hit(warm: Warm, tmp_path: Path) -> None:
    names = ["pad", "layer_norm", "sizes", "clamp", "interpolate", "two floats", "attribute"]
    assert warm_run(warm, tmp_path, names, [(0.5, 0.75)])[0] == []
    # The hit for 0.75 says for which value its code is, so 2.0 does not run it.
    wrong, hits = warm_run(warm, tmp_path, names, [(0.5, 0.75, 2.0, 0.75)])
    assert wrong == []
    assert hits >= 2 * len(names)


def test_entries_saved_without_it_are_not_served(warm: Warm, tmp_path: Path) -> None:
    names = ["pad", "attention"]
    assert warm(run, str(tmp_path), None, names, ROUNDS)[0] == names
    assert warm_run(warm, tmp_path, names, ROUNDS)[0] == []
    assert warm(run, str(tmp_path), None, names, [(0.5, 0.75, 1.25)])[0] == names


@pytest.mark.parametrize("name", FOR_ANY_VALUE)
def test_code_for_any_value_is_shared_by_all_values(name: str, warm: Warm, tmp_path: Path) -> None:
    assert warm_run(warm, tmp_path, [name], [(0.5, 0.75)]) == ([], 0)
    for values in ((0.5, 1.25), (0.5, 3.0, 4.0)):
        assert warm_run(warm, tmp_path, [name], [values]) == ([], 2)


def test_values_are_told_apart_exactly(warm: Warm, tmp_path: Path) -> None:
    values = (0.5, 0.1 + 0.2, 0.3, 1 / 3, 1e-7, -0.25, 2.0**60 + 2.0**8)
    for hits in (0, len(values)):
        wrong, got = warm_run(warm, tmp_path, ["full", "pad"], [values])
        assert wrong == []
        assert got >= hits


def test_graphs_without_floats_keep_their_keys(warm: Warm, tmp_path: Path) -> None:
    plain, without, extended = warm(keys, str(tmp_path))
    assert plain == without
    assert extended[0].startswith(extended[1])
    assert extended[0] != extended[1]


def keys(folder: str) -> tuple[Any, Any, Any]:
    """The keys of a graph without a float, with the shim's function and without; and those of one with a float."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder)
    from torch._functorch._aot_autograd import autograd_cache
    from torch._inductor import config as inductor

    stock, seen = autograd_cache.autograd_cache_key, []

    def watch(*args: Any, **named: Any) -> Any:
        layer: Any = SimpleNamespace(below=SimpleNamespace(call=stock))
        got = shim._add_values(layer)(*args, **named)
        seen.append((got[0], stock(*args, **named)[0]))
        return got

    autograd_cache.autograd_cache_key = watch
    with inductor.patch(fallback_by_default=True):
        torch.compile(lambda x: x @ x)(torch.ones(2, 2))
        scalar = torch.tensor(2.0, dtype=torch.float64)
        torch.compile(lambda x, y: x @ x * y)(torch.ones(2, 2), scalar)
        compiled = torch.compile(lambda x, s: F.pad(x * s, (1, 1), value=s + 1))
        compiled(torch.ones(2, 2), 0.5)
        compiled(torch.ones(2, 2), 0.75)
    return [got for got, _ in seen[:3]], [plain for _, plain in seen[:3]], seen[-1]


def test_guards_that_torch_cannot_write_pin_every_float(monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(cls: Any, info: Any) -> str | None:
        if any(isinstance(symbol, SimpleNamespace) for symbol in info.forward_symints):
            raise AssertionError("no source")
        return "L['t0'] < 5"

    from torch._functorch._aot_autograd.schemas import AOTAutogradCacheInfo

    info: Any = AOTAutogradCacheInfo("key", 0, forward_symints=[])
    layer: Any = SimpleNamespace(below=SimpleNamespace(call=generate))
    save = shim._save_guards(layer)
    assert save(None, info) == "L['t0'] < 5"
    setattr(info, shim._ATTRIBUTE, (SimpleNamespace(node=SimpleNamespace(hint=0.1 + 0.2)),))
    assert save(None, info) == "L['t0'] < 5 and L['t0'] == 0.30000000000000004"


def test_native_check_leaves_nothing_behind_and_is_quick(warm: Warm) -> None:
    said, left, seconds = warm(checked)
    assert said == "it leaves the float a symbol that its guard pins to one value"
    assert left == set()
    assert seconds < 1


def checked() -> tuple[Any, Any, float]:
    import time

    from torch._dynamo.symbolic_convert import TensorifyState
    from torch.fx.passes import _tensorify_python_scalars as module

    shim._explain_stale(module.tensorify_python_scalars)
    start = time.perf_counter()
    said = shim._explain_stale(module.tensorify_python_scalars)
    return said, set(TensorifyState.force_specializations), time.perf_counter() - start


def test_native_check_accepts_a_torch_that_starts_over(warm: Warm) -> None:
    assert warm(repaired) is None


def repaired() -> Any:
    from torch._dynamo.exc import TensorifyScalarRestartAnalysis

    def starts_over(*args: Any) -> None:
        raise TensorifyScalarRestartAnalysis

    return shim._explain_stale(starts_over)
