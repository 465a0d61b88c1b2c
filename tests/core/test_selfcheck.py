"""`python -m compat check`: a row for each reproducer, an exit status, and outcomes of processes that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from helpers.this_torch import RELEASE, same_on_every_torch

from compat import selfcheck
from compat.__main__ import main
from compat.selfcheck import reproducers

NAME = "split_module_tuple_return"
MODE = "native" if RELEASE >= (2, 12) else "backport"


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Have the command take outcomes from this dict in place of processes; "right" if there is none."""
    given: dict[str, str] = {}
    monkeypatch.setattr(selfcheck, "_in_process", lambda name, *rest: (given.get(name, "right"), "backport"))
    monkeypatch.setattr(selfcheck, "_import_inductor", lambda folder: None)
    return given


@same_on_every_torch
def test_check_runs_reproducer_with_its_shim(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = python("-m", "compat", "check", NAME)
    assert done.returncode == 0, done.stderr
    first, _, head, row, _, last = done.stdout.splitlines()
    assert first.startswith("torch 2.")
    assert head.split() == ["shim", "mode", "seconds", "result"]
    name, mode, seconds, result = row.split()
    assert (name, mode, result) == (NAME, MODE, "right")
    assert float(seconds) < 60
    assert last == "nothing is wrong"


def test_check_has_a_row_for_every_reproducer(outcomes: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    rows = capsys.readouterr().out.splitlines()[3:-2]
    assert sorted(row.split()[0] for row in rows) == selfcheck.available()


def test_a_wrong_outcome_is_shown_and_exits_with_1(
    outcomes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes[NAME] = "no tuple"
    assert main(["check", NAME, "operator_str"]) == 1
    printed = capsys.readouterr().out
    assert "no tuple\n" in printed
    assert printed.endswith(f"\nwrong: {NAME}\n")


def test_without_a_compiler_check_says_which_shims_need_one(
    outcomes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes[NAME] = selfcheck.NO_COMPILER
    assert main(["check", NAME, "operator_str"]) == 2
    assert capsys.readouterr().err == f"compat: Inductor finds no C++ compiler, so {NAME} was not checked\n"
    outcomes["operator_str"] = "wrong"
    assert main(["check", NAME, "operator_str"]) == 1


@pytest.mark.parametrize(("variable", "word"), [("TORCH_COMPAT", "noop"), (f"TORCH_COMPAT_{NAME.upper()}", "noop")])
def test_a_shim_that_is_turned_off_is_not_run(
    variable: str,
    word: str,
    outcomes: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes[NAME] = "no tuple"
    monkeypatch.setenv(variable, word)
    assert main(["check", NAME]) == 0
    assert f"not run: {variable}={word} is set" in capsys.readouterr().out


def test_a_torch_older_than_the_defect_is_not_run(
    outcomes: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes["aot_runtime_env"] = "NameError"
    monkeypatch.setattr("compat.version.text", lambda: "2.9.1")
    assert main(["check", "aot_runtime_env"]) == 0
    assert "not run: this torch is older than the defect" in capsys.readouterr().out


def test_reproducer_of_two_processes_gets_one_folder_and_ends_at_first_wrong_outcome(
    outcomes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[str] = []
    replies = ["right", "right", "wrong"]

    def in_process(name: str, folder: str, bare: bool) -> tuple[str, str]:
        assert os.path.isdir(folder)
        folders.append(folder)
        return replies.pop(0), "backport"

    monkeypatch.setattr(selfcheck, "_in_process", in_process)
    assert main(["check", "view_meta_cache"]) == 0
    assert (len(folders), len(set(folders))) == (2, 1)
    assert main(["check", "view_meta_cache"]) == 1
    assert len(folders) == 3
    assert not os.path.exists(folders[0])


@pytest.mark.parametrize(("name", "said"), [
    ("nothing", "there is no shim 'nothing'"),
    ("lazy_graph_module", "lazy_graph_module has no reproducer; "),
])  # fmt: skip
def test_a_name_without_reproducer_is_one_sentence(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", name]) == 2
    assert said in capsys.readouterr().err


def test_without_torch_check_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("compat.version.folder", lambda: None)
    assert main(["check"]) == 2
    assert "there is nothing to check: " in capsys.readouterr().err


# --- Processes -----------------------------------------------------------------------------------------------------


def ends(status: int) -> Callable[[], str]:
    return lambda: os._exit(status)


def fails() -> str:
    raise RuntimeError("first line\nsecond line")


def lacks_compiler() -> str:
    raise RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found in torch.")


@pytest.mark.skipif(sys.platform == "win32", reason="the reproducer is passed on by a fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork of a process that has threads
@same_on_every_torch
@pytest.mark.parametrize(("outcome", "limit", "said"), [
    (lambda: "right", 60, "right"),
    (lambda: "wrong values", 60, "wrong values"),
    (fails, 60, "RuntimeError: first line"),
    (lacks_compiler, 60, selfcheck.NO_COMPILER),
    (ends(3), 60, "the process ended with exit status 3"),
    (lambda: "right", 0, "no outcome after 0 seconds"),
], ids=["right", "wrong", "raises", "no compiler", "crashes", "late"])  # fmt: skip
def test_outcome_of_a_process(
    outcome: Any, limit: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    module = ModuleType(NAME)
    module.outcome = outcome  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"{reproducers.__name__}.{NAME}", module)
    monkeypatch.setattr(selfcheck, "_LIMIT", limit)
    assert selfcheck._in_process(NAME, str(tmp_path), False)[0] == said


@pytest.mark.skipif(sys.platform == "win32", reason="a fork is quick")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork of a process that has threads
@same_on_every_torch
def test_a_mode_that_torch_cannot_have_is_the_outcome(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv(f"TORCH_COMPAT_{NAME.upper()}", "native")
    said, mode = selfcheck._in_process(NAME, str(tmp_path), False)
    assert said.startswith(f"UnsupportedError: {NAME}: ")
    assert mode == "noop"
