"""The support page and its record are up to date for the installed torch."""

import json

import pytest
from helpers.this_torch import ROOT, same_on_every_torch
from packaging.version import Version

from compat import version
from compat.shims.base import all_shims
from compat.tools.scan import support

PAGE = ROOT / "docs" / "support.md"


@pytest.fixture
def here():
    torch = version.parse(version.text())
    if torch is None or torch.public not in support.known():
        pytest.skip(f"torch {version.text()} has no entry in {support.RECORD.name}")
    return torch.public


def test_support_page_is_up_to_date(here):
    assert support.stale(PAGE) == []


def test_scanned_modes_equal_live_modes_or_are_undecided(here):
    for name, modes in support.known()[here]["scanned"].items():
        live = support.known()[here]["live"][name]
        assert all(modes[key] in (live[key], "undecided") for key in ("auto", "native", "backport"))


@same_on_every_torch
def test_outdated_page_or_entry_is_reported(here, tmp_path, monkeypatch):
    (tmp_path / "support.md").write_text(PAGE.read_text("utf-8").replace("native", "noop"), "utf-8")
    assert support.stale(tmp_path / "support.md") == ["support.md differs from the page that support.json makes"]
    other = json.loads(json.dumps(support.known()))
    other[here]["live"]["lazy_graph_module"]["auto"] = "another"
    monkeypatch.setattr(support, "known", lambda: other)
    assert support.stale(PAGE)[0] == f"support.json does not contain the modes of torch {here}"


@same_on_every_torch
def test_write_adds_this_torch_in_order_and_writes_the_page(here, tmp_path, monkeypatch):
    others = {torch: given for torch, given in support.known().items() if torch != here}
    (tmp_path / "support.json").write_text(json.dumps(others))
    monkeypatch.setattr(support, "RECORD", tmp_path / "support.json")
    monkeypatch.setattr(support, "PAGE", tmp_path / "docs" / "support.md")
    support.known.cache_clear()
    try:
        assert support.write() == here
        assert list(support.known()) == sorted([*others, here], key=Version)
        assert (tmp_path / "docs" / "support.md").read_text("utf-8") == PAGE.read_text("utf-8")
        assert support.main(["--check"]) == 0
    finally:
        support.known.cache_clear()


def test_cell_shows_scanned_and_live_mode_if_they_differ():
    modes = {"auto": "noop", "native": "no", "backport": "yes", "reason": "because"}
    ran = {"scanned": {"lazy_graph_module": {**modes, "auto": "undecided"}}, "live": {"lazy_graph_module": modes}}
    assert "| `lazy_graph_module` | undecided / noop* |\n" in support.page({"2.99.0": ran})


@pytest.mark.parametrize("shim", all_shims(), ids=lambda shim: shim.name)
def test_every_shim_has_a_removal_note(shim):
    assert support.removal(shim) != "not said"
    assert support.removal(shim) in PAGE.read_text("utf-8")


def test_missing_torch_prints_one_sentence_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr(support.version, "text", lambda: None)
    for arguments in ([], ["--check"]):
        assert support.main(arguments) == 2
        assert capsys.readouterr().err == "compat: torch is not installed, or states no version that can be parsed\n"
