"""`ambient_autocast`: ways in which autocast gets into a graph, and keys that must not change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE
from helpers.warm import Warm
from torch.utils.checkpoint import checkpoint

import compat
from compat.selfcheck.quick import compile_quickly
from compat.shims import ambient_autocast as shim


def plain(x: torch.Tensor) -> torch.Tensor:
    return x @ x


def inside(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu"):
        return x @ x


def by_name(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(device_type="cpu", enabled=True, cache_enabled=False):
        return x @ x


@torch.autocast("cpu")
def decorated(x: torch.Tensor) -> torch.Tensor:
    return x @ x


def nested(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        y = x @ x
    with torch.autocast("cpu"):
        return y @ x


def inner(x: torch.Tensor) -> torch.Tensor:
    return checkpoint(inside, x, use_reentrant=False)


PROGRAMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    function.__name__: function for function in (plain, inside, by_name, decorated, nested, inner)
}
DTYPES = (torch.bfloat16, torch.float16)


def run(
    folder: str, install: bool, dtypes: tuple[torch.dtype, ...], outside: bool, training: bool
) -> dict[str, tuple[bool, int]]:
    """Compile the programs under each ambient dtype. Return which have that dtype, and how often the cache was hit."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo.utils import counters

    if install:
        compat.install("ambient_autocast")
    found = {}
    with compile_quickly(call_operators=True):
        for name, program in PROGRAMS.items():
            right, hits = True, counters["aot_autograd"]["autograd_cache_hit"]
            for dtype in dtypes:
                torch._dynamo.reset()
                torch.set_autocast_dtype("cpu", dtype)
                x = torch.eye(2, requires_grad=training)
                with torch.autocast("cpu", enabled=outside):
                    got, expected = torch.compile(program, fullgraph=True)(x), program(x)
                right &= got.dtype == expected.dtype
                if training:
                    got.float().sum().backward()
            found[name] = right, counters["aot_autograd"]["autograd_cache_hit"] - hits
    return found


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("outside", [False, True], ids=["off outside", "on outside"])
def test_each_ambient_dtype_gets_its_own_code(outside: bool, training: bool, warm: Warm, tmp_path: Path) -> None:
    found = warm(run, str(tmp_path), True, (*DTYPES, *DTYPES), outside, training)
    assert {name for name, (right, _) in found.items() if not right} == set()
    assert found["inner"][1] == 2  # the second time both come from the cache


@pytest.mark.slow
def test_without_shim_one_dtype_gets_the_code_of_the_other(warm: Warm, tmp_path: Path) -> None:
    found = [warm(run, str(tmp_path / str(outside)), False, DTYPES, outside, False) for outside in (False, True)]
    off, on = [{name for name, (right, _) in each.items() if not right} for each in found]
    if RELEASE >= (2, 15):
        assert (off, on) == (set(), set())
    elif RELEASE >= (2, 14):
        assert (off, on) == ({"inside", "by_name", "nested", "inner"}, set())
    elif RELEASE >= (2, 13):
        assert (off, on) == ({"inner"}, set())
    else:
        assert (off, on) == ({"inner"}, {"plain", "inner"})


@pytest.mark.slow
def test_second_process_hits_only_for_its_own_dtype(warm: Warm, tmp_path: Path) -> None:
    for dtype, hits in ((torch.bfloat16, 0), (torch.float16, 0), (torch.bfloat16, 1), (torch.float16, 1)):
        assert warm(run, str(tmp_path), True, (dtype,), False, False)["inner"] == (True, hits)


def keyed(program: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """Return the key that the shim makes of "akey" for the graph of this program."""
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compile(program, backend=backend, fullgraph=True)(torch.eye(2))
    wrapper: Any = SimpleNamespace(next=lambda *args: ("akey", []))
    key, lines = shim._replace_autograd_cache_key(wrapper)(graphs[0], [])
    assert len(lines) == (key != "akey")
    wrapped = SimpleNamespace(gm=graphs[0])  # as Dynamo passes a graph whose inputs it has flattened
    assert shim._replace_autograd_cache_key(wrapper)(wrapped, [])[0] == key
    return str(key)


def test_key_of_a_plain_graph_is_torchs_own() -> None:
    module = torch.fx.symbolic_trace(plain)
    wrapper: Any = SimpleNamespace(next=lambda *args: ("akey", ["line"]))
    keyed = shim._replace_autograd_cache_key(wrapper)
    assert keyed(module, []) == ("akey", ["line"])
    with torch.autocast("cpu"):
        assert keyed(module, [])[0] != "akey"


@pytest.mark.slow
def test_only_graphs_with_autocast_get_another_key(warm: Warm) -> None:
    assert warm(keyed, plain) == "akey"
    assert len({warm(keyed, program) for program in (inside, inner)} - {"akey"}) == 1


@pytest.mark.slow
def test_native_check_sees_what_the_key_holds(warm: Warm) -> None:
    assert warm(checked) == (None if RELEASE >= (2, 15) else "it leaves out devices whose autocast is off")


def checked() -> str | None:
    from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCacheDetails

    record = getattr(AOTAutogradCacheDetails, "_record_runtime_state", None)
    if record is None:  # before 2.13, and there the name alone says no
        return "it leaves out devices whose autocast is off"
    with torch.autocast("cpu"):
        return shim._explain_missing(record)
