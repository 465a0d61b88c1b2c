"""`status()`, the command line, the modules that an import loads, and use without torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types

import pytest
import torch
from helpers.this_torch import ASK, RELEASE, ROOT, same_on_every_torch
from helpers.torch_state import status_of

import compat
from compat import __main__ as command_line
from compat.reporting import as_json, as_table, table
from compat.shims.base import all_shims

FIELDS = ["name", "kind", "mode", "reason", "evidence", "active", "error", "upstream", "changes_codegen"]
NAME = "lazy_graph_module"
OWN = "TORCH_COMPAT_LAZY_GRAPH_MODULE"
BY_AUTO = "native" if RELEASE >= (2, 12) else "backport" if RELEASE == (2, 11) else "noop"


def row_of(rows: tuple[compat.ShimStatus, ...], name: str = NAME) -> compat.ShimStatus:
    (row,) = (row for row in rows if row.name == name)
    return row


def test_status_rows_have_documented_fields():
    rows = compat.status()
    assert [row.name for row in rows] == [shim.name for shim in all_shims()]
    for row in rows:
        assert list(row._fields) == FIELDS
        assert isinstance(row, compat.ShimStatus)
        assert row.kind in ("fix", "speed", "policy", "api")
        assert row.mode in ("native", "backport", "noop")
        assert row.upstream
        assert row.reason
        for answer in row.evidence:
            assert (type(answer.requirement), type(answer.found)) == (str, str)
            assert answer.holds in (True, False, None)
    row = row_of(rows)
    assert row.upstream.startswith("pytorch#177907")
    assert all(type(answer.holds) is bool for answer in row.evidence)


def test_status_reports_active_while_context_is_open():
    def active() -> list[str]:
        return [row.name for row in compat.status() if row.active]

    assert active() == []
    with compat.lazy_graph_module(mode=ASK):
        assert active() == [NAME]
    assert active() == []


def test_row_of_one_shim_equals_its_row_in_status():
    assert row_of(compat.status()) == status_of(NAME)


def test_json_has_documented_shape():
    rows = compat.status()
    read = json.loads(as_json(rows))
    assert list(read) == ["torch", "shims"]
    assert read["torch"] == torch.__version__
    assert [list(shim) for shim in read["shims"]] == [FIELDS] * len(rows)
    for shim, row in zip(read["shims"], rows):
        assert shim["name"] == row.name
        assert [list(answer) for answer in shim["evidence"]] == [["requirement", "holds", "found"]] * len(row.evidence)


def test_table_has_one_line_per_shim():
    status = compat.status()
    first, blank, head, rule, *rows = as_table(status).splitlines()
    assert first == f"torch {torch.__version__}"
    assert (blank, head.split(), set(rule)) == ("", ["shim", "kind", "mode", "active", "reason"], {"-", " "})
    assert [row.split()[:4] for row in rows] == [[row.name, row.kind, row.mode, "no"] for row in status]
    assert [row.split()[:4] for row in rows if row.startswith(NAME)] == [[NAME, "speed", BY_AUTO, "no"]]


WAITING = """
import compat
from compat.reporting import as_table
compat.install({name!r}, mode={mode!r})
print(as_table([row for row in compat.status() if row.name == {name!r}]))
"""


@pytest.mark.skipif(RELEASE >= (2, 12), reason="native: nothing to wait for")
def test_table_names_the_module_that_an_installed_shim_waits_for(python):
    row = python("-c", WAITING.format(name="split_module_tuple_return", mode="backport")).stdout.splitlines()[-1]
    assert "  waiting for torch.fx.passes.split_module  " in row


def test_installed_shim_that_source_cannot_decide_waits(python):
    row = python("-c", WAITING.format(name="full_of_bool", mode="auto")).stdout.splitlines()[-1]
    assert row.split()[2:6] == ["noop", "waiting", "for", "torch._inductor.codecache"], row
    assert "not decided from source text" in row


def test_table_says_which_shims_are_active():
    active, other = (row._replace(active=active) for row, active in zip(compat.status(), (True, False)))
    assert [row.split()[3] for row in as_table((active, other)).splitlines()[-2:]] == ["yes", "no"]


def test_row_says_that_inductor_compiles_elsewhere(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._inductor.compile_fx", None)  # not imported yet: the variable counts
    monkeypatch.setenv("TORCHINDUCTOR_FX_COMPILE_MODE", "async+subprocess")
    reasons = {row.name: row.reason for row in compat.status()}
    told = "; but Inductor compiles in a subprocess here (TORCHINDUCTOR_FX_COMPILE_MODE), where it is not in force"
    assert reasons["pattern_matcher_dtypes"].endswith(told)
    assert told not in reasons[NAME]


def test_table_aligns_columns_without_trailing_blanks():
    assert table([("a", "long head"), ("wide cell", ""), ("", "x")]) == (
        "a          long head\n---------  ---------\nwide cell\n           x"
    )


# --- The command line, in this process -----------------------------------------------------------------------------


def modes_in(printed: str) -> dict[str, str]:
    return {shim["name"]: shim["mode"] for shim in json.loads(printed)["shims"]}


def test_status_command_prints_table_and_json(capsys):
    assert command_line.main(["status"]) == 0
    assert capsys.readouterr().out.startswith(f"torch {torch.__version__}\n")
    assert command_line.main(["status", "--json"]) == 0
    assert modes_in(capsys.readouterr().out)[NAME] == BY_AUTO


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["status", "--unknown"]])
def test_unknown_arguments_exit_with_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("variable", "allowed"), [("TORCH_COMPAT", "auto, noop"), (OWN, "auto, native, backport, noop")]
)
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_invalid_environment_word_prints_one_line_and_exits_with_2(capsys, monkeypatch, variable, allowed, arguments):
    monkeypatch.setenv(variable, "lazily")
    assert command_line.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"compat: {variable} is 'lazily'; it can be {allowed}\n"


def test_unavailable_environment_mode_is_reported_and_exits_with_0(capsys, monkeypatch):
    monkeypatch.setenv(OWN, "backport" if RELEASE >= (2, 12) else "native")
    assert command_line.main(["status"]) == 0
    assert re.search(
        rf"noop +no +.*{OWN}=\w+ is set, but torch {re.escape(torch.__version__)}", capsys.readouterr().out
    )


# --- The command line and imports, in new processes ----------------------------------------------------------------


def test_status_command_imports_no_torch(python):
    got = python("-X", "importtime", "-m", "compat", "status", "--json")
    assert got.returncode == 0
    assert json.loads(got.stdout)["torch"] == torch.__version__
    assert modes_in(got.stdout)[NAME] == BY_AUTO
    imported = [line.rpartition("|")[2].strip() for line in got.stderr.splitlines()]
    assert [name for name in imported if name.partition(".")[0] == "torch"] == []
    assert [name for name in imported if name.startswith("compat.tools")] == []


def test_invalid_environment_word_fails_in_subprocess(python):
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


def foreign(names: list[str]) -> list[str]:
    """Return the names that belong neither to compat nor to the standard library."""
    own = {"compat", os.environ.get("COMPAT_TEST_COPY", "compat").partition(".")[0]}
    return [name for name in names if name.partition(".")[0] not in {*own, *sys.stdlib_module_names}]


@same_on_every_torch
@pytest.mark.skipif("COMPAT_TEST_COPY" in os.environ, reason="asks for modules by the original's name")
def test_import_after_torch_imports_no_torch_module_and_no_tool(python):
    got = python("-c", AFTER_TORCH)
    assert got.returncode == 0, got.stderr
    imported, by_status, by_use = json.loads(got.stdout)
    assert foreign(imported) == []
    assert [name for name in imported + by_status if name.startswith("compat.tools")] == []
    assert foreign(by_status) == []  # only modules of compat and of the standard library
    assert by_use == []


BEFORE_TORCH = """
import sys, json
import compat
before = set(sys.modules)
assert "packaging.version" not in before  # its import would take two thirds of the time that importing compat may take
(row,) = (row for row in compat.status() if row.name == "lazy_graph_module")
of_torch = [name for name in sys.modules if name.partition(".")[0] == "torch"]
print(json.dumps([sorted(set(sys.modules) - before), of_torch, row.mode]))
"""


def test_status_before_torch_reads_source_without_importing_torch(python):
    got = python("-c", BEFORE_TORCH)
    assert got.returncode == 0, got.stderr
    by_status, of_torch, mode = json.loads(got.stdout)
    assert {name.partition(".")[0] for name in foreign(by_status)} <= {"packaging"}
    assert [name for name in by_status if name.startswith("compat.tools")] == []
    assert of_torch == []
    assert mode == BY_AUTO


TORCH_THAT_COMES_LATER = """
import sys
sys.modules["torch"] = None
import compat
def told():
    with compat.lazy_graph_module():
        return next(row.mode for row in compat.status() if row.name == "lazy_graph_module")
print(told())
del sys.modules["torch"]
print(told())
import torch.fx.passes.split_module
print(told())
"""


@same_on_every_torch
def test_status_notices_torch_that_appears_later(python):
    got = python("-c", TORCH_THAT_COMES_LATER)
    assert (got.stdout.split(), got.stderr) == (["noop", BY_AUTO, BY_AUTO], "")


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
rows = compat.status()
assert "lazy_graph_module" in [row.name for row in rows]
for row in rows:
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
def test_every_function_works_without_torch(python, flags, hide, arguments):
    got = python(*flags, "-c", WITHOUT_TORCH.format(hide=hide, arguments=arguments))
    assert (got.returncode, got.stderr) == (0, "")
    if arguments:
        read = json.loads(got.stdout)
        assert got.stdout == json.dumps(read, indent=2) + "\n"
        assert (read["torch"], {shim["mode"] for shim in read["shims"]}) == (None, {"noop"})
        assert [list(shim) for shim in read["shims"]] == [FIELDS] * len(all_shims())
    else:
        assert got.stdout.startswith("torch is not installed\n")


@pytest.mark.parametrize(
    ("command", "missing", "said"),
    [
        ("scan", "compat.tools.scan", "has no command `scan`"),
        ("scan", "numpy", "needs numpy, which is not installed"),
        ("check", "compat.selfcheck", "has no reproducers; vendor it again"),
    ],
)
def test_unavailable_tool_prints_one_sentence_and_exits_with_2(command, missing, said, monkeypatch, capsys):
    def import_module(name, package=None):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(command_line, "importlib", types.SimpleNamespace(import_module=import_module))
    assert command_line.main([command, "torch.whl"]) == 2
    assert said in capsys.readouterr().err


@same_on_every_torch
def test_closed_output_pipe_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "compat", "prune", "--torch", "==2.11.0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) != 2
