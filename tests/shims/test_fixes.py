"""`compat.install()` without names installs every fix that this torch needs, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from helpers.this_torch import RELEASE
from packaging.version import Version

import compat
from compat.adapters import modes_for
from compat.selfcheck import available, declared
from compat.shims.base import all_shims

FIXES = [shim.name for shim in all_shims() if shim.kind == "fix"]
ALL = """
import importlib.util, json, sys, torch
finders = list(sys.meta_path)
import compat
from compat.adapters import modes_for
compat.install()
heavy = sorted({"torch._inductor", "torch._dynamo"} & set(sys.modules))
import torch._dynamo, torch._inductor.compile_fx
from compat.shims.base import all_shims
for name in sorted({name for shim in all_shims() for name in {*shim.modules, *shim.late}}):
    if importlib.util.find_spec(name): importlib.import_module(name)
fixes = {shim.name for shim in all_shims() if shim.kind == "fix"}  # a smaller copy has a row for each left-out one
inside = {row.name: [row.mode, row.active] for row in compat.status() if row.name in fixes}
others = [row.name for row in compat.status() if row.kind != "fix" and row.active]
tag = torch.compiler.config.cache_key_tag
compat.uninstall()
left = [row.name for row in compat.status() if row.active], torch.compiler.config.cache_key_tag
print(json.dumps([heavy, inside, others, tag, left, sys.meta_path == finders]))
"""


def test_install_patches_exactly_the_fixes_that_this_torch_needs(python: Callable[..., Any]) -> None:
    done = python("-c", ALL)
    assert done.returncode == 0, done.stderr
    heavy, inside, others, tag, left, same_finders = json.loads(done.stdout.splitlines()[-1])
    assert heavy == others == []
    assert list(inside) == FIXES
    for name, (mode, active) in inside.items():
        about = declared(name)
        first, fixed = about.get("FIRST", (0,)), about.get("FIXED", (99,))
        needed = first <= RELEASE < fixed
        unaffected = {"noop", "native"} if first > RELEASE else {"native"}
        assert mode in ({"backport"} if needed else unaffected), name
        assert (name, active) == (name, needed)
    assert tag.startswith("+compat-")
    assert left == [[], ""]
    assert same_finders


def test_every_fix_has_a_reproducer_that_names_the_release_with_the_fix() -> None:
    speeds = {shim.name for shim in all_shims() if shim.kind == "speed"}
    assert sorted(FIXES) == [name for name in available() if name not in speeds]
    open_upstream = {shim.name for shim in all_shims() if shim.kind == "fix" and "FIXED" not in declared(shim.name)}
    assert open_upstream == {name for name in FIXES if modes_for(Version("99"))[name] == "backport"}


def test_each_fix_can_be_turned_off_by_its_variable(monkeypatch: Any) -> None:
    for name in FIXES:
        monkeypatch.setenv(f"TORCH_COMPAT_{name.upper()}", "noop")
    compat.install()
    try:
        assert {row.mode for row in compat.status() if row.kind == "fix"} == {"noop"}
        assert not any(row.active for row in compat.status())
    finally:
        compat.uninstall()
