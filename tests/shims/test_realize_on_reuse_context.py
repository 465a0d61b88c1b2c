"""`realize_on_reuse`: its modes, its context in threads, and its status."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from chain_loads import BF16, F32, ours, shape_of
from helpers.this_torch import RELEASE
from torch._inductor import ir

import compat
from compat.shims import realize_on_reuse as shim

BOX = ir.StorageBox


def test_context_affects_neither_code_nor_key_of_another_thread() -> None:
    seen: list[Any] = []

    def other() -> None:
        seen.append((shape_of(4, F32, None), compat.cache_key(), torch.compiler.config.cache_key_tag))

    # Torch 2.11.0 without a GPU crashes, also without compat, if its first trace ran in a thread that has ended.
    shape_of(1, F32, None)
    with ours():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert shape_of(4, F32, None) == [1, 2] * 4
        assert compat.cache_key() in torch.compiler.config.cache_key_tag
    assert seen == [([1, 2, 3, 4, 5], "", "")]


def test_overlapping_contexts_and_install_restore_original_code() -> None:
    code, plain = BOX.should_realize_on_reuse.__code__, [1, 2, 3, 4, 5]
    compat.install("realize_on_reuse", mode="backport")
    with ours(numerics="traffic"):
        compat.uninstall("realize_on_reuse")
        assert shape_of(4, BF16, None) == [1, 2] * 4
        with ours():
            assert shape_of(4, BF16, None) == plain
    assert BOX.should_realize_on_reuse.__code__ is code
    assert shape_of(4, F32, None) == plain


@pytest.mark.parametrize("word", ["", "fast", "Exact"])
def test_unknown_numerics_raise_value_error_with_allowed_words(word: str) -> None:
    with pytest.raises(ValueError, match="exact, traffic"):
        compat.realize_on_reuse(numerics=word)


def test_auto_is_backport_on_2_11_only() -> None:
    row = {row.name: row for row in compat.status()}["realize_on_reuse"]
    assert row.mode == ("backport" if RELEASE == (2, 11) else "noop")
    assert "backed out" in row.upstream
    expected = [1, 2] * 4 if RELEASE == (2, 11) else [1, 2, 3, 4, 5]
    assert shape_of(4, F32, None, compat.realize_on_reuse()) == expected


def test_torch_with_the_rule_is_native_and_unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_the_rule(self: Any, users: int) -> bool:
        return users > 1 and len(self.get_reads()) > 1

    monkeypatch.setattr(BOX, "should_realize_on_reuse", with_the_rule)
    monkeypatch.setattr("compat.selection._selected", {})
    row = {row.name: row for row in compat.status()}["realize_on_reuse"]
    assert row.mode == "native"
    with compat.realize_on_reuse():
        assert BOX.should_realize_on_reuse is with_the_rule
        assert compat.cache_key() == ""
    compat.install("realize_on_reuse")
    assert shim.SHIM.requested() is None
    compat.uninstall("realize_on_reuse")
    with pytest.raises(compat.UnsupportedError, match="num_reads"):
        compat.realize_on_reuse(mode="backport")


@pytest.mark.slow
@pytest.mark.parametrize("word", ["SUBPROCESS", "", "async+subprocess", "SERIALIZE"])
def test_status_warns_if_inductor_compiles_in_a_subprocess(python: Callable[..., Any], word: str) -> None:
    code = f"""
import compat
compat.install("realize_on_reuse", mode="backport")
compat.install("lazy_graph_module", mode="backport") if {RELEASE < (2, 12)} else None
import sys
sys.argv[1:] and __import__("torch._inductor.compile_fx")
print([row.name for row in compat.status() if "in a subprocess" in row.reason and row.name[0] in "lr"])
"""
    for imported in ([], ["imported"]):
        done = python("-c", code, *imported, TORCHINDUCTOR_FX_COMPILE_MODE=word)
        expected = ["realize_on_reuse"] if "SUBPROCESS" in word.upper() else []
        assert done.stdout.splitlines()[-1] == str(expected), done.stderr
