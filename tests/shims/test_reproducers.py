"""Runs the reproducer of every fix on this torch, with its shim and without it.

docs/reproducers.md records the outcomes. `COMPAT_TEST_RECORD=1` makes these tests write that table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE, ROOT, SLOW_ELSEWHERE, needs_compiler, same_on_every_torch
from helpers.warm import Warm
from reproduce import outcome

from compat.selfcheck import available, declared

TABLE = ROOT / "docs" / "reproducers.md"
HEAD = """# Results of the reproducers

Each fix has a reproducer in `compat/selfcheck/reproducers/`. It runs in a process of its own, once without its shim
and once with it. The table shows both results; the mode of the shim is in brackets. "right" means that torch did the
right thing. `COMPAT_TEST_RECORD=1 pytest tests/shims/test_reproducers.py` writes the rows of one torch.

| shim | torch | without | with |
|---|---|---|---|
"""
TORCH = torch.__version__.partition("+")[0]


def recorded(name: str) -> list[str]:
    """Return what the table says of this torch: the outcomes without and with the shim."""
    rows = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines()]
    (row,) = [row[2:] for row in rows if row[:2] == [name, TORCH]]
    return row


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", available())
def test_reproducer_fails_only_on_affected_torch_without_shim(name: str, warm: Warm) -> None:
    without, fixed = (outcome(name, shim, warm) for shim in (False, True))
    about = declared(name)
    affected = about.get("FIXED", (99,)) > RELEASE
    if about.get("FIRST", (0,)) > RELEASE:  # the defect is younger than this torch, so the shim changes nothing
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
    assert recorded(name) == [without, fixed]


@needs_compiler
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW_ELSEWHERE) for name in available()])
def test_reproducer_is_right_with_shim(name: str, warm: Warm) -> None:
    # A release gives the same without the shim today as when it was recorded. `nox -s matrix` checks that.
    if "(backport)" not in recorded(name)[1]:
        pytest.skip("the shim changes nothing on this torch")
    assert outcome(name, True, warm) == recorded(name)[1]


@pytest.mark.slow
@same_on_every_torch
def test_command_prints_one_outcome_per_name(python: Callable[..., Any]) -> None:
    names = ("split_module_tuple_return", "cache_dir")  # in a fork, and in a Python of its own
    done = python("tests/reproduce.py", "with", *names)
    assert done.stdout.splitlines() == [f"{name}: right (backport)" for name in names], done.stderr
