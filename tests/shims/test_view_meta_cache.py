"""`view_meta_cache` and `symbolic_view_meta`: how affected torches are detected, and spoilt cache entries."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE, needs_compiler
from helpers.warm import Warm
from reproduce import here

import compat
from compat.probe.definition import Definition, Undecided
from compat.probe.requirements import answer
from compat.probe.source import SourceReader
from compat.selection import live_reader
from compat.shims.base import named
from compat.shims.view_meta_cache import _try_round_trip

SHIMS = named(["view_meta_cache", "symbolic_view_meta"])
(OWNING,) = SHIMS[0].native
SPOILT, SYMBOLIC = (
    RELEASE < (2, 14),
    RELEASE < (2, 11),
)  # by pytorch#185861 and upstream's history


def test_header_and_running_torch_give_same_answer() -> None:
    found = live_reader().find(OWNING.target)
    assert found.text is not None
    without = Definition("file", value=torch)
    reshaped = without._replace(text=found.text.replace("SERIALIZABLE_TUPLE", "TUPLE"))
    for case in (found, found._replace(value=None), without, reshaped):
        assert (OWNING.explain_failure(case) is not None) == SPOILT


@pytest.mark.parametrize("text", [None, "", "#pragma once"])
def test_source_without_header_is_undecided(text: str | None) -> None:
    with pytest.raises(Undecided):
        OWNING.explain_failure(Definition("file", text=text))
    assert answer(OWNING, SourceReader(lambda path: text if path.endswith(".h") else "")).holds is None


def test_one_field_by_reference_fails_requirement() -> None:
    found = live_reader().find(OWNING.target)
    by_value = re.sub(r"const (std::vector<[\w:]+>)&(?=\);)", r"\1", found.text or "")
    assert OWNING.explain_failure(found._replace(text=by_value)) is None
    for kind in ("std::vector<c10::SymInt>);", "std::vector<int64_t>);"):
        one = by_value.replace(kind, f"const {kind[:-2]}&);")
        assert "as a reference" in (OWNING.explain_failure(found._replace(text=one)) or "")


Unsafe = type("_unsafe_view_ViewMeta", (SimpleNamespace,), {})
View = type("view_ViewMeta", (SimpleNamespace,), {})
VIEWS: dict[str, list[Any] | None] = {
    "none": None,
    "plain": [View(has_symbolic_inputs=False)],
    "spoilt": [View(has_symbolic_inputs=False), Unsafe(has_symbolic_inputs=False)],
    "symbolic": [View(has_symbolic_inputs=True)],
}

FIELD = "view_meta_sequence"


def kept() -> set[str]:
    """Return the names of the views that are kept when the metadata is saved."""
    from torch._functorch._aot_autograd.schemas import OutputAliasInfo, ViewAndMutationMeta

    others = {field.name for field in dataclasses.fields(OutputAliasInfo)} - {FIELD}
    infos = []
    for views in VIEWS.values():
        sequence = None if views is None else SimpleNamespace(sequence=views)
        infos.append(OutputAliasInfo(**dict.fromkeys(others), **{FIELD: sequence}))  # type: ignore[arg-type]
    lists = ("traced_tangents", "subclass_inp_meta", "subclass_fw_graph_out_meta", "subclass_tangent_meta")
    meta = SimpleNamespace(**{name: [] for name in lists}, traced_tangent_metas=None, output_info=infos)
    ViewAndMutationMeta.make_runtime_safe(meta)  # type: ignore[arg-type]
    return {name for name, info in zip(VIEWS, meta.output_info) if getattr(info, FIELD) is not None}


@pytest.mark.parametrize(("order", "out"), [*itertools.product([(0, 1), (1, 0)], repeat=2)])
def test_both_shims_patch_one_function_in_any_order(order: tuple[int, int], out: tuple[int, int]) -> None:
    import torch._inductor.codecache  # noqa: F401
    from torch._functorch._aot_autograd.schemas import ViewAndMutationMeta

    function, key = ViewAndMutationMeta.make_runtime_safe, compat.cache_key()
    code, stock = function.__code__, {"plain", "spoilt"} | ({"symbolic"} if SYMBOLIC else set())
    assert kept() == stock
    for at in order:
        compat.install(SHIMS[at].name)
    assert [shim.active for shim in SHIMS] == [SPOILT, SYMBOLIC]
    assert kept() == {"plain"} | (set() if SPOILT else {"spoilt"})
    assert (compat.cache_key() != key) == SPOILT
    compat.uninstall(SHIMS[out[0]].name)
    assert kept() == stock - ({"spoilt"} if SPOILT and out[0] == 1 else set()) - (
        {"symbolic"} if out[0] == 0 else set()
    )
    compat.uninstall(SHIMS[out[1]].name)
    assert kept() == stock
    assert function.__code__ is code
    assert compat.cache_key() == key


@needs_compiler
@pytest.mark.skipif(not SPOILT, reason="torch saves no such entries")
def test_entry_saved_without_shim_is_not_read_with_shim(warm: Warm, tmp_path: Path) -> None:
    def said(shim: bool) -> str:
        return warm(here, "view_meta_cache", shim, str(tmp_path))

    assert said(False) == "right"
    assert said(True) == "not out of the cache (backport)"
    assert said(True) == "right (backport)"


def test_changed_view_types_fail_requirement() -> None:
    stored = (True, list(range(1, 101)))
    answers: list[object] = [None, (True, [1, 2]), stored]
    kind = {"resize__ViewMeta": lambda given: SimpleNamespace(as_tuple=answers.pop)}
    torch = SimpleNamespace(_C=SimpleNamespace(_functionalization=SimpleNamespace(**kind)))
    assert _try_round_trip(torch) is None
    assert _try_round_trip(torch) == _try_round_trip(torch) == "what comes out is not what went in"
    assert "AttributeError" in str(_try_round_trip(SimpleNamespace()))
    with pytest.raises(Undecided):
        _try_round_trip(None)
