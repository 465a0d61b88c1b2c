"""`python -m compat vendor`: complete copies, detected edits, and interruptions that never leave a mixture."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.this_torch import ROOT, same_on_every_torch

import compat
from compat.__main__ import main
from compat.shims.base import all_shims
from compat.tools import vendor

pytestmark = same_on_every_torch


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    assert main(["vendor", str(tmp_path)]) == 0
    return tmp_path / "compat"


@pytest.fixture
def old(copy: Path) -> dict[str, bytes]:
    """Turn the copy into one of an older version, with other file contents and a matching manifest."""
    files = {name: content + b"# older\n" for name, content in contents(copy).items() if name != vendor.MANIFEST}
    digests = {name: vendor.digest(content) for name, content in files.items()}
    files[vendor.MANIFEST] = json.dumps({"compat": "0.0.9", "files": digests}).encode()
    for name, content in files.items():
        (copy / name).write_bytes(content)
    return files


def test_copy_contains_runtime_licence_and_manifest_but_no_tools(copy: Path) -> None:
    files = contents(copy)
    manifest = json.loads(files.pop(vendor.MANIFEST))
    assert files.pop("LICENSE") == (ROOT / "LICENSE").read_bytes()
    package = contents(vendor.PACKAGE)
    runtime = [name for name in package if name.endswith((".py", "py.typed")) and not name.startswith("tools/")]
    assert files == {name: package[name] for name in runtime}
    assert manifest["compat"] == compat.__version__
    assert manifest["tested_on_torch"] == list(vendor.TESTED)
    assert manifest["files"].keys() == files.keys() | {"LICENSE"}


def test_manifest_lists_torches_of_the_matrix() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("matrix-torches"))
    assert tuple(json.loads(line.partition("=")[2])) == vendor.TESTED


def lines_of_code(text: bytes) -> int:
    """Count the lines with code, without blank lines, comments and docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    words: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            words.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    layout = ("ENCODING", "COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER")
    every = tokenize.tokenize(io.BytesIO(text).readline)
    tokens = [token for token in every if tokenize.tok_name[token.type] not in layout]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - words)


def test_runtime_without_shims_has_under_1800_lines_of_code(copy: Path) -> None:
    """The files of the shims are not counted: each can be read alone, without the others.

    Nor is `api.py`, which only documents the shims behind it, and `selfcheck`, which the runtime does not import.
    """
    shims = {f"shims/{shim.name}.py" for shim in all_shims()}
    python = {name: text for name, text in contents(copy).items() if name.endswith(".py")}
    assert shims < python.keys()
    helpers = {name for name in python if re.match("shims/_[^_]", name)}
    counted = [name for name in python.keys() - shims - helpers - {"api.py"} if not name.startswith("selfcheck/")]
    lines = sum(lines_of_code(python[name]) for name in counted)
    print(f"{lines} lines of code")
    assert lines < 1800


def test_lines_of_code_exclude_comments_and_docstrings() -> None:
    text = '"""One\ntwo."""\n\nx = 1  # three\n# four\ndef f(a,\n      b):\n    """Five."""\n    return """\nsix"""\n'
    assert lines_of_code(text.encode()) == 5


def test_update_replaces_all_files(copy: Path, old: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "gone.py").write_text("")  # a file that only the older version has
    manifest = json.loads((copy / vendor.MANIFEST).read_bytes())
    manifest["files"]["gone.py"] = vendor.digest(b"")
    (copy / vendor.MANIFEST).write_text(json.dumps(manifest))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "patch.cpython-311.pyc").write_bytes(b"stale")
    assert main(["vendor", str(copy.parent)]) == 0
    assert contents(copy) == vendor.runtime()
    assert not (copy / "__pycache__").exists()
    assert "it was 0.0.9" in capsys.readouterr().out
    assert os.listdir(copy.parent) == ["compat"]


def test_path_of_copy_itself_is_accepted(copy: Path) -> None:
    assert main(["vendor", str(copy)]) == 0
    assert main(["vendor", str(copy), "--check"]) == 0
    assert not (copy / "compat").exists()


def test_link_to_copy_is_followed(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert main(["vendor", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()


def test_link_in_place_of_copy_is_followed(copy: Path, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "compat").symlink_to(os.path.relpath(copy, engine))
    (copy / "LICENSE").unlink()
    for _ in range(2):
        assert main(["vendor", str(engine), "--force"]) == 0
        assert main(["vendor", str(engine), "--check"]) == 0
        assert [path.name for path in engine.iterdir() if path.is_symlink()] == ["compat"]
    assert sorted(path.name for path in copy.parent.iterdir() if path != engine) == [copy.name]
    assert (copy / "LICENSE").exists()


def edit(copy: Path) -> None:
    with (copy / "errors.py").open("a") as file:
        file.write("# ours\n")


EDITS: dict[str, Callable[[Path], Any]] = {
    "changed  errors.py": edit,
    "missing  py.typed": lambda copy: (copy / "py.typed").unlink(),
    "extra    shims/ours.py": lambda copy: (copy / "shims" / "ours.py").write_text(""),
    "extra    dangling": lambda copy: (copy / "dangling").symlink_to("nowhere"),
}


@pytest.mark.parametrize("line", EDITS)
def test_edits_are_found_and_stop_update(line: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EDITS[line](copy)
    edited = contents(copy)
    capsys.readouterr()
    assert main(["vendor", str(copy.parent), "--check"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {line}"]
    assert main(["vendor", str(copy.parent)]) == 1
    said = capsys.readouterr().out
    assert f"  {line}" in said
    assert "diff -ru" in said
    assert contents(copy) == edited
    assert main(["vendor", str(copy.parent), "--force"]) == 0
    assert main(["vendor", str(copy.parent), "--check"]) == 0


def test_line_endings_and_bytecode_do_not_count_as_edits(copy: Path) -> None:
    path = copy / "errors.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "patch.pyc").write_bytes(b"")
    assert main(["vendor", str(copy.parent), "--check"]) == 0


def sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that `vendor` prints when it refuses."""
    capsys.readouterr()
    assert main(["vendor", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"compat": "1"}', '{"compat": "1", "files": 3}', "\xff"])
@pytest.mark.parametrize("options", [["--check"], [], ["--force"]])
def test_folder_that_is_no_copy_is_left_unchanged(
    content: str | None, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "compat"
    place.mkdir()
    (place / "precious").write_text("")
    if content is not None:
        (place / vendor.MANIFEST).write_text(content, encoding="latin-1")
    before = contents(place)
    assert "is no copy of compat" in sentence([str(tmp_path), *options], capsys)
    assert contents(place) == before


def test_impossible_targets_are_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in sentence([str(tmp_path / "file")], capsys)
    assert "is no copy" in sentence([str(tmp_path / "file"), "--check"], capsys)
    assert "is no copy" in sentence([str(tmp_path / "nowhere"), "--check"], capsys)
    assert "File name too long" in sentence([str(tmp_path / ("x" * 300))], capsys)
    assert "File name too long" in sentence([str(tmp_path / ("x" * 300)), "--check"], capsys)
    for name in ("a.b", "a-b", "", "class", "../x"):
        assert repr(name) in sentence([str(tmp_path), f"--name={name}"], capsys)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("options", [[], ["--check"], ["--name=other"]])
@pytest.mark.parametrize("dest", ["", " "])
def test_empty_target_is_refused(
    dest: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "it can be the folder that holds the copy, such as engine/third_party"
    assert sentence([dest, *options], capsys) == f"compat: DEST is {dest!r}; {words}\n"
    assert os.listdir(tmp_path) == []


def test_unwritable_target_is_refused_and_left_unchanged(
    copy: Path, old: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # the tests may run as root, for which permissions do not apply
    assert "Permission denied" in sentence([str(copy.parent)], capsys)
    assert contents(copy) == old


@pytest.mark.parametrize("where", ["installed", "before setuptools 77", "checkout", "nowhere"])
def test_licence_is_found_for_every_kind_of_installation(where: str, tmp_path: Path) -> None:
    shutil.copytree(vendor.PACKAGE, tmp_path / "site" / "compat")
    (tmp_path / "site" / "LICENSE").write_text("that of something else in site-packages, or ours")
    about = tmp_path / "site" / f"compat-{compat.__version__}.dist-info"
    if where == "checkout":
        (tmp_path / "site" / "pyproject.toml").write_text("")
    elif where != "nowhere":
        path = about / "licenses" / "LICENSE" if where == "installed" else about / "LICENSE"
        path.parent.mkdir(parents=True)
        path.write_text("ours")
    done = subprocess.run(
        [sys.executable, "-m", "compat", "vendor", str(tmp_path / "engine")],
        cwd=tmp_path / "site",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (2 if where == "nowhere" else 0), done.stderr
    if where == "nowhere":
        assert "no LICENSE" in done.stderr
        assert not (tmp_path / "engine").exists()
    else:
        assert (tmp_path / "engine" / "compat" / "LICENSE").read_text().endswith("ours")


# --- Interruptions: each run stops before another step that changes the disk ---------------------------------------

STEPS = {"mkdir": Path, "write_bytes": Path, "replace": os, "rmtree": shutil, "_exchange_in_one_step": vendor}


def counting(monkeypatch: pytest.MonkeyPatch, at: int, stop: Callable[[], Any], in_one_step: bool) -> list[int]:
    """Call `stop` before step number `at`. Returns a list with the number of steps so far."""
    seen = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            seen[0] += 1
            if seen[0] == at:
                stop()
            return real(*args, **kwargs)

        return step

    for name, owner in STEPS.items():
        real = getattr(owner, name)
        if name == "_exchange_in_one_step" and not in_one_step:
            real = lambda one, other: False  # noqa: E731
        monkeypatch.setattr(owner, name, counted(real))
    return seen


class Interrupted(BaseException):
    pass


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendor a copy of few files: the steps are the same, and a run for each of them takes no minutes."""
    files = vendor.runtime()
    names = ("__init__.py", "version.py", "adapters/__init__.py", "patching/patch.py", vendor.LICENSE, vendor.MANIFEST)
    few = {name: files[name] for name in names}
    manifest = json.loads(few[vendor.MANIFEST])
    manifest["files"] = {name: digest for name, digest in manifest["files"].items() if name in few}
    few[vendor.MANIFEST] = json.dumps(manifest).encode()
    monkeypatch.setattr(vendor, "runtime", lambda options=None: few)


def raises() -> None:
    raise Interrupted


def is_one_of(copy: Path, old: dict[str, bytes]) -> bool:
    return contents(copy) in (old, vendor.runtime())


@pytest.mark.usefixtures("few_files")
@pytest.mark.parametrize("in_one_step", [True, False])
def test_exception_at_any_step_leaves_old_or_new_copy(in_one_step: bool, copy: Path, old: dict[str, bytes]) -> None:
    ended, at = False, 0
    while not ended:
        at += 1
        with pytest.MonkeyPatch.context() as patched:
            counting(patched, at, raises, in_one_step)
            try:
                ended = main(["vendor", str(copy.parent)]) == 0
            except Interrupted:
                pass
        assert is_one_of(copy, old), f"step {at}"
    assert at > 10
    assert contents(copy) == vendor.runtime()
    assert os.listdir(copy.parent) == ["compat"]


@pytest.mark.usefixtures("few_files")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("in_one_step", [True, False])
def test_kill_at_any_step_leaves_old_or_new_copy_and_next_run_cleans_up(
    in_one_step: bool,
    copy: Path,
    old: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if in_one_step and not vendor._exchange_in_one_step(copy, copy):
        pytest.skip("this system cannot exchange two folders in one step")
    saved = tmp_path_factory.mktemp("saved") / "compat"
    shutil.copytree(copy, saved)
    at, code = 0, None
    while code != 0:
        at += 1
        child = os.fork()
        if child == 0:
            counting(monkeypatch, at, lambda: os.kill(os.getpid(), signal.SIGKILL), in_one_step)
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            os._exit(main(["vendor", str(copy.parent)]))
        code = os.waitpid(child, 0)[1]
        # If the system cannot exchange in one step, a kill between the two steps leaves the old copy aside.
        assert is_one_of(copy, old) or (not in_one_step and not copy.exists()), f"step {at}"
        vendor.tidy(copy)
        assert is_one_of(copy, old), f"step {at}"
        assert os.listdir(copy.parent) == ["compat"]
        shutil.rmtree(copy)
        shutil.copytree(saved, copy)
    assert at > 10


@pytest.mark.usefixtures("few_files")
def test_interrupted_first_copy_does_not_exist(tmp_path: Path) -> None:
    at, ended = 0, False
    while not ended:
        at += 1
        with pytest.MonkeyPatch.context() as patched:
            counting(patched, at, raises, True)
            try:
                ended = main(["vendor", str(tmp_path)]) == 0
            except Interrupted:
                assert os.listdir(tmp_path) in ([], ["compat"])
    assert contents(tmp_path / "compat") == vendor.runtime()
