"""The parts of compat itself that no torch in a range needs."""

import ast
import re
from pathlib import Path

import pytest
from helpers.shims import variant
from helpers.this_torch import same_on_every_torch

from compat.__main__ import main
from compat.adapters import NEWEST_FIRST, minor_of
from compat.shims.base import all_shims
from compat.tools.prune import own_shims
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch


def test_no_torch_from_2_12_on_needs_the_backport_of_lazy_graph_module(capsys):
    assert main(["prune", "--torch", ">=2.12,<2.16"]) == 0
    goes, stays = capsys.readouterr().out.split("Still needed:")
    assert "adapter torch_2_11: no torch in this range" in goes
    assert re.search(r"backport of lazy_graph_module: torch 2\.12\.0 has it: .* \[2\.12\.0, .*2\.15\.0\]", goes)
    assert "adapter torch_2_12: " in stays
    lines = stays[stays.index("Lines that go with it") :]
    assert "compat/adapters/torch_2_11.py:1-" in lines


def test_a_range_with_2_11_still_needs_it_and_says_for_which(capsys):
    assert main(["prune", "--torch", ">=2.11"]) == 0
    goes, stays = capsys.readouterr().out.split("Still needed:")
    stays, _, _ = stays.partition("\n\n")
    assert re.search(r"shim lazy_graph_module: torch 2\.11\.0 lacks it .* \[2\.11\.0\]$", stays, re.MULTILINE)
    for adapter in NEWEST_FIRST:
        name = adapter.__name__.rpartition(".")[2]
        assert (f"adapter {name}:" in stays) == (minor_of(adapter) >= (2, 11))
        assert (f"adapter {name}:" in goes) == (minor_of(adapter) < (2, 11))


def test_nothing_goes_for_torches_that_have_not_been_scanned():
    verdicts = own_shims.verdicts(torch_range(">=2.90,<3"))
    assert not any(verdict.goes for verdict in verdicts if "shim" in verdict.what)


MODES = {"native": "no", "backport": "no", "reason": "because"}


@pytest.mark.parametrize(("kind", "auto", "forced", "goes"), [
    ("fix", "native", "no", "shim x"),
    ("speed", "native", "no", "backport of x"),
    ("speed", "noop", "no", "shim x"),
    ("speed", "noop", "yes", None),
    ("fix", "backport", "yes", None),
    ("fix", "undecided", "no", None),
])  # fmt: skip
def test_what_goes_depends_on_what_every_torch_of_the_range_gets(kind, auto, forced, goes):
    shim = variant(all_shims()[0], name="x", kind=kind)
    within = {torch: {"x": {**MODES, "auto": auto, "backport": forced}} for torch in ("2.12.0", "2.13.0")}
    verdict = own_shims._shim(shim, within)
    assert (verdict.what if verdict.goes else None) == goes
    within["2.12.0"]["x"] = {**MODES, "auto": "backport"}
    assert not own_shims._shim(shim, within).goes


def test_definitions_that_only_dead_lines_use_are_found_through_one_another():
    source = """\
def only(): return helper()
def helper(): return CONSTANT
CONSTANT = 1
def shared(): ...
if False:
    only(), shared()
shared()
"""
    path = Path("engine.py")
    left = own_shims.only_used_in({path: ast.parse(source)}, {path: ((5, 6),)})
    assert [(one.name, one.first) for one in left] == [("only", 1), ("helper", 2), ("CONSTANT", 3)]
