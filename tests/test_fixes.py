"""`compat.install()` without names: every fix, each where it is needed, and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import RELEASE, ROOT
from test_reproducers import FIRST, FIXED

import compat
from compat.shims import all_shims, autotune_raw_stream

FIXES = [shim.name for shim in all_shims() if shim.kind == "fix"]
ALWAYS = {"lazy_graph_break", "pattern_matcher_dtypes"}  # no torch to date has got right

ALL = """
import json, sys, torch
finders = list(sys.meta_path)
import compat
compat.install()
heavy = sorted({"torch._inductor", "torch._dynamo"} & set(sys.modules))
import torch._dynamo, torch._inductor.compile_fx, torch._inductor.standalone_compile
import torch._inductor.compile_worker.subproc_pool, torch._inductor.codegen.cpp, torch._inductor.codegen.wrapper
import torch.fx.passes.split_module
if hasattr(torch, "_dynamo"): import torch._dynamo.aot_compile, torch._dynamo.variables.builder
inside = {row.name: [row.mode, row.active] for row in compat.status() if row.kind == "fix"}
tag = torch.compiler.config.cache_key_tag
compat.uninstall()
left = [row.name for row in compat.status() if row.active], torch.compiler.config.cache_key_tag
print(json.dumps([heavy, inside, tag, left, sys.meta_path == finders]))
"""


def test_each_fix_is_in_where_torch_needs_it_and_native_patches_nothing(python: Callable[..., Any]) -> None:
    done = python("-c", ALL)
    assert done.returncode == 0, done.stderr
    heavy, inside, tag, left, same_finders = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert list(inside) == FIXES
    for name, (mode, active) in inside.items():
        needed = name in ALWAYS or FIRST.get(name, (0,)) <= RELEASE < FIXED[name]
        expected = "backport" if needed else "noop" if FIRST.get(name, (0,)) > RELEASE else "native"
        assert (name, mode, active) == (name, expected, needed)
    assert tag.startswith("+compat-")
    assert left == [[], ""]
    assert same_finders


def test_every_fix_has_a_reproducer_and_says_when_torch_got_right() -> None:
    there = {path.stem for path in (ROOT / "tests" / "reproducers").glob("*.py")}
    assert set(FIXES) == there - {"fx_node_creation", "vector_isa_probe"}  # of kind "speed"
    assert set(FIXES) == set(FIXED) | ALWAYS


def test_each_can_be_turned_off_by_its_own_word(monkeypatch: Any) -> None:
    for name in FIXES:
        monkeypatch.setenv(f"TORCH_COMPAT_{name.upper()}", "noop")
    compat.install()
    try:
        assert {row.mode for row in compat.status() if row.kind == "fix"} == {"noop"}
        assert not any(row.active for row in compat.status())
    finally:
        compat.uninstall()


@pytest.mark.parametrize("gpu", [True, False])
def test_the_stream_is_imported_where_the_build_has_it(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    wrapper = SimpleNamespace(kernel_autotune_defs=SimpleNamespace(writeline=written.append))
    layer: Any = SimpleNamespace(below=SimpleNamespace(call=lambda given: given))
    build = SimpleNamespace(**{"_cuda_getCurrentRawStream": print} if gpu else {})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch._C", build)
        assert autotune_raw_stream._importing(layer)(wrapper) is wrapper
    assert written == ["from torch._C import _cuda_getCurrentRawStream as get_raw_stream"] * gpu
