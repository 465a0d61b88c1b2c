"""`status`, the command line, what an import costs in modules, and life without torch."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
import torch
from conftest import ASK, RELEASE

import compat
from compat import __main__ as command_line
from compat.status import as_json, as_table, table

FIELDS = ["name", "kind", "mode", "reason", "evidence", "active", "upstream", "changes_codegen"]
OWN = "TORCH_COMPAT_LAZY_GRAPH_MODULE"
BY_AUTO = "native" if RELEASE >= (2, 12) else "backport" if RELEASE == (2, 11) else "noop"


def test_status_has_the_documented_fields():
    row, *_ = compat.status()
    assert list(row._fields) == FIELDS
    assert isinstance(row, compat.ShimStatus)
    assert row.upstream.startswith("pytorch#177907")
    assert row.reason
    assert all((type(a.requirement), type(a.holds), type(a.found)) == (str, bool, str) for a in row.evidence)


def test_status_tells_whether_it_is_in_force():
    assert not compat.status()[0].active
    with compat.lazy_graph_module(mode=ASK):
        assert compat.status()[0].active
    assert not compat.status()[0].active


def test_json_has_the_documented_shape():
    read = json.loads(as_json(compat.status()))
    assert list(read) == ["torch", "shims"]
    assert read["torch"] == torch.__version__
    assert [list(shim) for shim in read["shims"]] == [FIELDS]
    assert [list(answer) for answer in read["shims"][0]["evidence"]] == [["requirement", "holds", "found"]] * len(
        compat.status()[0].evidence
    )


def test_the_table_has_a_line_for_each_shim():
    first, blank, head, rule, *rows = as_table(compat.status()).splitlines()
    assert first == f"torch {torch.__version__}"
    assert (blank, head.split(), set(rule)) == ("", ["shim", "kind", "mode", "active", "reason"], {"-", " "})
    assert [row.split()[:4] for row in rows] == [["lazy_graph_module", "speed", BY_AUTO, "no"]]


def test_columns_stand_under_each_other_and_no_line_ends_in_blanks():
    assert table([("a", "long head"), ("wide cell", ""), ("", "x")]) == (
        "a          long head\n---------  ---------\nwide cell\n           x"
    )


# --- The command line, in this process -----------------------------------------------------------------------------


def test_status_command(capsys):
    assert command_line.main(["status"]) == 0
    assert capsys.readouterr().out.startswith(f"torch {torch.__version__}\n")
    assert command_line.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shims"][0]["mode"] == BY_AUTO


@pytest.mark.parametrize("arguments", [[], ["nobody"], ["status", "--nobody"]])
def test_what_the_command_line_does_not_know_is_exit_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("variable", "allowed"), [("TORCH_COMPAT", "auto, noop"), (OWN, "auto, native, backport, noop")]
)
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_a_wrong_word_in_the_environment_is_one_line_and_exit_status_2(
    capsys, monkeypatch, variable, allowed, arguments
):
    monkeypatch.setenv(variable, "lazily")
    assert command_line.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"compat: {variable} is 'lazily'; it can be {allowed}\n"


def test_a_mode_in_the_environment_that_cannot_be_had_is_told_and_no_failure(capsys, monkeypatch):
    monkeypatch.setenv(OWN, "backport" if RELEASE >= (2, 12) else "native")
    assert command_line.main(["status"]) == 0
    assert re.search(
        rf"noop +no +.*{OWN}=\w+ is set, but torch {re.escape(torch.__version__)}", capsys.readouterr().out
    )


# --- Processes of their own ----------------------------------------------------------------------------------------


def test_the_command_line_from_outside_imports_no_torch(python):
    got = python("-X", "importtime", "-m", "compat", "status", "--json")
    assert got.returncode == 0
    assert json.loads(got.stdout)["torch"] == torch.__version__
    assert json.loads(got.stdout)["shims"][0]["mode"] == BY_AUTO
    imported = [line.rpartition("|")[2].strip() for line in got.stderr.splitlines()]
    assert [name for name in imported if name.partition(".")[0] == "torch"] == []
    assert [name for name in imported if name.startswith("compat.tools")] == []


def test_a_wrong_word_from_outside(python):
    got = python("-m", "compat", "status", TORCH_COMPAT="of")
    assert (got.returncode, got.stdout) == (2, "")
    assert got.stderr == "compat: TORCH_COMPAT is 'of'; it can be auto, noop\n"


AFTER_TORCH = """
import sys, json
import torch
before = set(sys.modules)
import compat
imported = sorted(set(sys.modules) - before)
before = set(sys.modules)
compat.status()
by_status = sorted(set(sys.modules) - before)
with compat.lazy_graph_module(mode="auto"):
    pass
by_use = sorted(set(sys.modules) - before - set(by_status))
print(json.dumps([imported, by_status, by_use]))
"""


@pytest.mark.skipif("COMPAT_TEST_COPY" in os.environ, reason="asks for modules by the original's name")
def test_importing_compat_after_torch_imports_nothing_of_torch_and_no_tools(python):
    got = python("-c", AFTER_TORCH)
    assert got.returncode == 0, got.stderr
    imported, by_status, by_use = json.loads(got.stdout)
    assert [name for name in imported if name.partition(".")[0] not in {"compat", *sys.stdlib_module_names}] == [
        "_torch_compat_registry"
    ]
    assert [name for name in imported if name.startswith("compat.tools")] == []
    assert by_status == []
    assert by_use == []


BEFORE_TORCH = """
import sys, json
import compat
before = set(sys.modules)
row, *_ = compat.status()
of_torch = [name for name in sys.modules if name.partition(".")[0] == "torch"]
print(json.dumps([sorted(set(sys.modules) - before), of_torch, row.mode]))
"""


def test_status_before_torch_is_imported_reads_its_source_and_imports_nothing(python):
    got = python("-c", BEFORE_TORCH)
    assert got.returncode == 0, got.stderr
    by_status, of_torch, mode = json.loads(got.stdout)
    assert [name for name in by_status if name.partition(".")[0] not in {"packaging", *sys.stdlib_module_names}] == []
    assert of_torch == []
    assert mode == BY_AUTO


WITHOUT_TORCH = """
import json, runpy, sys
{hide}
import compat
assert compat.cache_key() == ""
runs = []
with compat.lazy_graph_module():
    runs.append(1)
assert runs == [1]
for mode in ("native", "backport"):
    try:
        compat.lazy_graph_module(mode=mode)
    except compat.UnsupportedError as error:
        assert "torch is not installed" in str(error), error
    else:
        raise AssertionError
    try:
        compat.install("lazy_graph_module", mode=mode)
    except compat.UnsupportedError as error:
        assert "torch is not installed" in str(error), error
    else:
        raise AssertionError
finders = list(sys.meta_path)
compat.install("lazy_graph_module")
compat.install()
row, *_ = compat.status()
assert (row.mode, row.reason, row.active, row.evidence) == ("noop", "torch is not installed", False, ()), row
compat.uninstall("lazy_graph_module")
compat.uninstall()
assert sys.meta_path == finders
class Tree:
    def modules(self):
        return [self]
assert compat.force_recompile(Tree()) == 0
assert not [name for name in sys.modules if name.startswith("torch") and sys.modules[name]]
sys.argv = ["compat", "status", *{arguments}]
runpy.run_module("compat", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("flags", "hide"),
    [([], "sys.modules['torch'] = None"), (["-S"], "")],
    ids=["torch must not be imported", "no site-packages at all"],
)
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_without_torch_it_imports_works_and_says_so(python, flags, hide, arguments):
    got = python(*flags, "-c", WITHOUT_TORCH.format(hide=hide, arguments=arguments))
    assert (got.returncode, got.stderr) == (0, "")
    if arguments:
        read = json.loads(got.stdout)
        assert (read["torch"], read["shims"][0]["mode"]) == (None, "noop")
        assert list(read["shims"][0]) == FIELDS
    else:
        assert got.stdout.startswith("torch is not installed\n")
