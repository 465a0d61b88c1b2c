"""`inference_mode_cached`: what is cached, that it is right out of the cache, and what stays uncached."""

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

import compat
from compat.probe.definition import Definition, Undecided
from compat.selfcheck.quick import compile_quickly
from compat.shims import inference_mode_cached as shim


def block(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        y = x * 2
    return y + 1


def off(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(False):
        return x * 3


@torch.inference_mode()
def decorated(x: torch.Tensor) -> torch.Tensor:
    return x * 4


def nested(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        y = x * 2
        with torch.inference_mode(False):
            y = y + 1
    return y * x.sum()


def two(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        y = x * 2
    z = x * 5
    with torch.inference_mode():
        return y + z


PROGRAMS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (block, off, decorated, nested, two)


def run(folder: str, install: bool) -> dict[str, Any]:
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo.utils import counters

    if install:
        compat.install("inference_mode_cached")
    found = {}
    with compile_quickly(call_operators=True):
        for program in PROGRAMS:
            counters.clear()
            result = torch.compile(program, fullgraph=True)(torch.ones(2))
            said = {name for name, n in counters["aot_autograd"].items() if n and "cache" in name}
            found[program.__name__] = result.tolist(), result.is_inference(), result.requires_grad, said
    return found


def test_second_process_gets_the_same_results_from_the_cache(warm: Warm, tmp_path: Path) -> None:
    stock = warm(run, str(tmp_path / "stock"), False)
    first, second = (warm(run, str(tmp_path / "ours"), True) for _ in range(2))
    for name, expected in stock.items():
        assert first[name][:3] == second[name][:3] == expected[:3]
        assert first[name][3] == {"autograd_cache_miss", "autograd_cache_saved"}
        assert second[name][3] == {"autograd_cache_hit"}


def test_without_shim_the_cache_is_bypassed(warm: Warm, tmp_path: Path) -> None:
    found = warm(run, str(tmp_path), False)
    bypassed = {name for name, (*_, said) in found.items() if "autograd_cache_bypass" in said}
    assert bypassed == ({program.__name__ for program in PROGRAMS} if (2, 13) <= RELEASE < (2, 15) else set())


def node(target: object, op: str = "call_function") -> Any:
    return SimpleNamespace(op=op, target=target)


def test_every_other_node_is_judged_by_torch() -> None:
    judged: list[Any] = []
    wrapper: Any = SimpleNamespace(next=judged.append)
    check = shim._replace_check_node_safe(wrapper)
    mode = torch.autograd.grad_mode
    for target in (mode._enter_inference_mode, mode._exit_inference_mode):
        assert check(node(target)) is None
    assert judged == []
    others = [node(print), node("_enter_inference_mode"), node(mode._enter_inference_mode, "get_attr")]
    for other in others:
        check(other)
    assert judged == others


class BypassAOTAutogradCache(Exception):
    pass


def test_native_requirement_tries_out_a_function_that_lists_no_names() -> None:
    def refuses_exit(node: Any) -> None:
        if node.target is torch.autograd.grad_mode._exit_inference_mode:
            raise BypassAOTAutogradCache

    def breaks(node: Any) -> None:
        raise TypeError("other nodes")

    accepts = [
        shim.SHIM.native[0].explain_failure(definition(one)) for one in (lambda node: None, refuses_exit, breaks)
    ]
    assert accepts[:2] == [None, "it refuses _exit_inference_mode"]
    assert "TypeError: other nodes" in str(accepts[2])
    with pytest.raises(Undecided):
        shim.SHIM.native[0].explain_failure(definition(breaks)._replace(value=None))


def definition(function: Any) -> Definition:
    return Definition("function", code=function.__code__, value=function)


@pytest.mark.skipif(not (2, 13) <= RELEASE < (2, 15), reason="torch does it itself")
def test_an_unsafe_function_beside_it_is_still_not_cached(warm: Warm, tmp_path: Path) -> None:
    assert warm(unsafe, str(tmp_path)) == 1


def unsafe(folder: str) -> int:
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo.utils import counters

    @torch.compiler.allow_in_graph
    def opaque(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    def function(x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return opaque(x)

    compat.install("inference_mode_cached")
    with compile_quickly(call_operators=True):
        torch.compile(function, fullgraph=True)(torch.ones(2))
    return int(counters["aot_autograd"]["autograd_cache_bypass"])
