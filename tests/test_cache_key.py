"""What changes generated code changes the keys of torch's compile caches, and of an engine's own."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from conftest import needs_compiler
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from reproduce import compile_quickly
from warm import Warm

import compat
from compat.shims import all_shims
from compat.tools import chain

CONFIG = torch.compiler.config


def compiled(folder: str, who: str, aot: bool) -> list[Any]:
    """In a fresh process: compiles a chain of two residual adds, and gives the code that is run, whether the FX graph
    cache and the AOTAutograd cache had it, and whether the tag was ours."""
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
@pytest.mark.parametrize(("aot", "order"), [(True, ["stock", "ours"]), (False, ["ours", "stock"])])
def test_a_shared_cache_neither_hides_it_nor_outlives_it(
    warm: Warm, tmp_path: Path, aot: bool, order: list[str]
) -> None:
    got = [warm(compiled, str(tmp_path), who, aot) for who in order * 2]
    codes = [row[0] for row in got]
    assert codes[0] != codes[1]
    assert codes[2:] == codes[:2]
    hits = 2 if aot else 1  # an AOTAutograd hit asks no FX graph cache
    assert [row[hits] for row in got] == [0, 0, 1, 1]
    assert [row[3] for row in got] == [who == "ours" for who in order * 2]


def key() -> str:
    return compat.cache_key()


def in_force() -> Any:
    return compat.realize_on_reuse(mode="backport")


def test_the_tag_is_on_top_of_the_users_also_if_that_changes_meanwhile() -> None:
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


def test_a_patch_of_the_users_may_end_when_ours_has_ended() -> None:
    ours, theirs = in_force(), CONFIG.patch(cache_key_tag="mine")
    ours.__enter__()
    theirs.__enter__()
    ours.__exit__()
    assert CONFIG.cache_key_tag == "mine"
    theirs.__exit__(None, None, None)
    assert CONFIG.cache_key_tag == ""


def test_nothing_is_left_on_the_config_module() -> None:
    before = dict(vars(type(CONFIG)))
    assert "cache_key_tag" not in before  # nor by any test so far
    with in_force():
        assert "cache_key_tag" in vars(type(CONFIG))
    assert dict(vars(type(CONFIG))) == before


def test_what_is_saved_of_the_config_is_the_users() -> None:
    with in_force():
        saved = CONFIG.get_config_copy() if hasattr(CONFIG, "get_config_copy") else CONFIG.shallow_copy_dict()
        CONFIG.cache_key_tag = "other"
        CONFIG.load_config(saved)
    assert CONFIG.cache_key_tag == ""


def test_numerics_are_part_of_it_and_a_fix_that_changes_no_code_is_not() -> None:
    assert key() == ""
    with in_force():
        exact = key()
        with compat.realize_on_reuse(mode="backport", numerics="traffic"):
            assert key() not in ("", exact)
        assert key() == exact
    compat.install("operator_str")
    assert key() == ""
    compat.uninstall("operator_str")


CHANGING = {
    "realize_on_reuse",
    "cpp_indirect_assert",
    "fx_strides",
    "pattern_matcher_dtypes",
    "view_meta_cache",
    "float_in_cache_key",
}
KEYS = """
import compat, json
from compat.shims import all_shims

def keys():
    found = {}
    for shim in all_shims():
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


def test_what_changes_code_has_the_key_that_it_will_have_while_it_still_waits_for_inductor(python: Any) -> None:
    done = python("-c", KEYS)
    assert done.returncode == 0, done.stderr
    waiting, there, key_after, tag_after = json.loads(done.stdout.splitlines()[-1])
    assert {name: key for name, (key, _) in waiting.items()} == {name: key for name, (key, _) in there.items()}
    assert {name for name, (key, _) in there.items() if key} == CHANGING & set(there)
    assert all(tag == (f"+compat-{key}" if key else "") for key, tag in there.values())
    assert "realize_on_reuse" in there
    assert (key_after, tag_after) == ("", "")


def test_a_new_revision_is_meant() -> None:
    """It costs every user the warm entries of the last one. Those that are past their first are listed here."""
    assert {shim.part for shim in all_shims() if shim.revision != 1} == set()


class Tags(RuleBasedStateMachine):
    """Against a model: the user's tag, and how often we are in."""

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


def test_any_order_ends_in_the_users_tag() -> None:
    run_state_machine_as_test(Tags, settings=settings(max_examples=60, deadline=None))


def test_a_tag_of_another_kind_is_left_as_it_is() -> None:
    with mock.patch.object(torch.compiler.config, "cache_key_tag", None):
        with in_force():
            assert torch.compiler.config.cache_key_tag.startswith("None+compat-")
        assert torch.compiler.config.cache_key_tag is None
