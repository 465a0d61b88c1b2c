"""A shim that changes generated code changes the keys of torch's compile caches and `compat.cache_key()`."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.this_torch import SLOW_ELSEWHERE, needs_compiler
from helpers.warm import Warm
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import compat
from compat.selfcheck.quick import compile_quickly
from compat.shims.base import all_shims
from compat.tools.demo import chain

CONFIG = torch.compiler.config


def compiled(folder: str, who: str, aot: bool) -> list[Any]:
    """Compile a chain of two residual adds in a fresh process.

    Returns the generated code, the hits of the FX graph cache and of the AOTAutograd cache, and whether
    `cache_key_tag` was set.
    """
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._dynamo.utils import counters
    from torch._functorch import config as functorch
    from torch._inductor import codecache

    functorch.enable_autograd_cache = aot
    if who == "ours":
        compat.install("realize_on_reuse", mode="backport")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with compile_quickly():
            torch.compile(chain.make())(*chain.inputs(2, 8, torch.float32, hidden=64))
    code = Path(codecache.PyCodeCache.modules[-1].__file__).read_text()
    hits = counters["inductor"]["fxgraph_cache_hit"], counters["aot_autograd"]["autograd_cache_hit"]
    return [code, *hits, CONFIG.cache_key_tag != ""]


@needs_compiler
@pytest.mark.parametrize(
    ("aot", "order"),
    [
        pytest.param(True, ["stock", "ours"], marks=SLOW_ELSEWHERE),
        pytest.param(False, ["ours", "stock"], marks=pytest.mark.slow),
    ],
)
def test_shared_compile_cache_keeps_stock_and_patched_code_apart(
    warm: Warm, tmp_path: Path, aot: bool, order: list[str]
) -> None:
    got = [warm(compiled, str(tmp_path), who, aot) for who in order * 2]
    codes = [row[0] for row in got]
    assert codes[0] != codes[1]
    assert codes[2:] == codes[:2]
    hits = 2 if aot else 1  # after an AOTAutograd hit torch does not consult the FX graph cache
    assert [row[hits] for row in got] == [0, 0, 1, 1]
    assert [row[3] for row in got] == [who == "ours" for who in order * 2]


def key() -> str:
    return compat.cache_key()


def in_force() -> Any:
    return compat.realize_on_reuse(mode="backport")


def test_compat_suffix_follows_changes_of_user_tag() -> None:
    with CONFIG.patch(cache_key_tag="mine"):
        with in_force():
            assert CONFIG.cache_key_tag == f"mine+compat-{key()}"
            CONFIG.cache_key_tag = "other"
            assert CONFIG.cache_key_tag == f"other+compat-{key()}"
            with CONFIG.patch(cache_key_tag="inner"):
                assert CONFIG.cache_key_tag == f"inner+compat-{key()}"
            assert CONFIG.cache_key_tag == f"other+compat-{key()}"
        assert CONFIG.cache_key_tag == "other"
    assert CONFIG.cache_key_tag == ""


def test_user_config_patch_can_outlive_compat_context() -> None:
    ours, theirs = in_force(), CONFIG.patch(cache_key_tag="mine")
    ours.__enter__()
    theirs.__enter__()
    ours.__exit__()
    assert CONFIG.cache_key_tag == "mine"
    theirs.__exit__(None, None, None)
    assert CONFIG.cache_key_tag == ""


def test_exit_removes_tag_property_from_config_class() -> None:
    before = dict(vars(type(CONFIG)))
    assert "cache_key_tag" not in before  # also checks that no earlier test left it there
    with in_force():
        assert "cache_key_tag" in vars(type(CONFIG))
    assert dict(vars(type(CONFIG))) == before


def test_saved_config_contains_user_tag_only() -> None:
    with in_force():
        saved = CONFIG.get_config_copy() if hasattr(CONFIG, "get_config_copy") else CONFIG.shallow_copy_dict()
        CONFIG.cache_key_tag = "other"
        CONFIG.load_config(saved)
    assert CONFIG.cache_key_tag == ""


def test_cache_key_covers_numerics_but_not_fixes_without_codegen_changes() -> None:
    assert key() == ""
    with in_force():
        exact = key()
        with compat.realize_on_reuse(mode="backport", numerics="traffic"):
            assert key() not in ("", exact)
        assert key() == exact
    compat.install("operator_str")
    assert key() == ""
    compat.uninstall("operator_str")


CHANGING = {shim.name for shim in all_shims() if shim.changes_codegen}
KEYS = """
import compat, json
from compat.shims.base import all_shims

def keys():
    found = {}
    for shim in all_shims():
        if shim.kind == "api":
            continue
        try:
            compat.install(shim.name, mode="backport")
        except compat.UnsupportedError:
            continue
        found[shim.name] = [compat.cache_key(), tag()]
        compat.uninstall(shim.name)
    return found

tag = lambda: None
waiting = keys()
import torch._inductor.compile_fx, torch._inductor.codegen.cpp, torch._dynamo.pgo
tag = lambda: torch.compiler.config.cache_key_tag
print(json.dumps([waiting, keys(), compat.cache_key(), tag()]))
"""


def test_cache_key_is_equal_before_and_after_inductor_import(python: Any) -> None:
    done = python("-c", KEYS)
    assert done.returncode == 0, done.stderr
    waiting, there, key_after, tag_after = json.loads(done.stdout.splitlines()[-1])
    assert {name: key for name, (key, _) in waiting.items()} == {name: key for name, (key, _) in there.items()}
    assert {name for name, (key, _) in there.items() if key} == CHANGING & set(there)
    assert all(tag == (f"+compat-{key}" if key else "") for key, tag in there.values())
    assert "realize_on_reuse" in there
    assert (key_after, tag_after) == ("", "")


def test_every_shim_has_revision_1_unless_listed_here() -> None:
    """A new revision invalidates the warm caches of every user. This list makes the change deliberate."""
    assert {shim.token for shim in all_shims() if shim.revision != 1} == set()


class Tags(RuleBasedStateMachine):
    """Compares `cache_key_tag` with a model: the user's tag and the number of open contexts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Any] = []
        self.tag, self.mocks = "", []

    @rule()
    def enter(self) -> None:
        self.open.append(in_force())
        self.open[-1].__enter__()

    @rule(which=st.integers(0))
    def leave(self, which: int) -> None:
        if self.open:
            self.open.pop(which % len(self.open)).__exit__(None, None, None)

    @rule(tag=st.sampled_from(["", "a", "b"]))
    def user_sets(self, tag: str) -> None:
        CONFIG.cache_key_tag = self.tag = tag

    @rule()
    def user_patches_and_leaves(self) -> None:
        with CONFIG.patch(cache_key_tag="within"):
            assert CONFIG.cache_key_tag.startswith("within")

    @rule()
    def user_mocks_while_we_stay(self) -> None:
        with mock.patch.object(CONFIG, "cache_key_tag", "mocked"):
            assert CONFIG.cache_key_tag.startswith("mocked")

    @invariant()
    def the_tag_is_the_users_and_ours(self) -> None:
        ours = f"+compat-{key()}" if self.open else ""
        assert (key() != "") == bool(self.open)
        assert CONFIG.cache_key_tag == self.tag + ours

    def teardown(self) -> None:
        for context in self.open:
            context.__exit__(None, None, None)
        CONFIG.cache_key_tag = ""


def test_any_order_of_enter_and_exit_restores_user_tag() -> None:
    run_state_machine_as_test(Tags, settings=settings(max_examples=60, deadline=None))


def test_exit_restores_tag_that_is_not_a_string() -> None:
    with mock.patch.object(torch.compiler.config, "cache_key_tag", None):
        with in_force():
            assert torch.compiler.config.cache_key_tag.startswith("None+compat-")
        assert torch.compiler.config.cache_key_tag is None
