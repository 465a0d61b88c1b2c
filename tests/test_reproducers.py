"""Every fix on this torch, in processes and cache directories of their own: what goes wrong without it, and with it.

What came out is on record in docs/reproducers.md, a table that `COMPAT_TEST_RECORD=1` has these tests write.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from conftest import RELEASE, ROOT, needs_compiler
from reproduce import outcome
from warm import Warm

NAMES = sorted(path.stem for path in Path(__file__).with_name("reproducers").glob("*.py"))
TABLE = ROOT / "docs" / "reproducers.md"
HEAD = """# What the fixes fix

What each reproducer says (`tests/reproducers/`), in a process of its own, without its shim and with it: the mode that
the shim had is in brackets. Written by `COMPAT_TEST_RECORD=1 pytest tests/test_reproducers.py`, one torch at a time.

| shim | torch | without | with |
|---|---|---|---|
"""
TORCH = torch.__version__.partition("+")[0]
# The release in which torch got right itself, by upstream's own history, not as compat says; and where the
# defect is younger than the oldest torch that is tested, the first one that has it.
FIXED = {
    "cpp_indirect_assert": (2, 12),
    "fx_cache_pickle": (2, 11),
    "operator_str": (2, 13),
    "cache_dir": (2, 13),
    "atomic_artifact_save": (2, 12),
    "aot_runtime_env": (2, 12),
    "autotune_raw_stream": (2, 10),
    "split_module_tuple_return": (2, 12),
    "fx_strides": (2, 13),
    "view_meta_cache": (2, 14),
    "symbolic_view_meta": (2, 11),
}
FIRST = {"aot_runtime_env": (2, 10), "fx_node_creation": (2, 13)}


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_wrong_without_it_where_torch_is_wrong_and_right_with_it_everywhere(name: str, warm: Warm) -> None:
    without, fixed = (outcome(name, shim, warm) for shim in (False, True))
    affected = FIXED.get(name, (99,)) > RELEASE
    if FIRST.get(name, (0,)) > RELEASE:  # whatever it does, it does that with the shim, too
        assert fixed in (f"{without} (noop)", f"{without} (native)")
    else:
        assert (without != "right") == affected, without
        assert fixed == ("right (backport)" if affected else "right (native)")
    row = f"| {name} | {TORCH} | {without} | {fixed} |"
    if os.environ.get("COMPAT_TEST_RECORD"):
        old = TABLE.read_text().splitlines()[len(HEAD.splitlines()) :] if TABLE.exists() else []
        rows = {tuple(line.split(" | ")[:2]): line for line in (*old, row)}
        ordered = sorted(
            rows.values(), key=lambda line: (line.split(" | ")[0], [*map(int, re.findall(r"\d+", line)[:3])])
        )
        TABLE.write_text(HEAD + "\n".join(ordered) + "\n")
    assert row in TABLE.read_text().splitlines()
