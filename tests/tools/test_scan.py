"""`scan`: answers from wheels and trees equal those of the live torch, and bad input affects only its own path."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch_trees as trees
from helpers.this_torch import same_on_every_torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compat import version
from compat.__main__ import main
from compat.probe.requirements import Behaves
from compat.selection import live_reader
from compat.shims.base import all_shims
from compat.tools.scan import scan

needs_torch = pytest.mark.skipif(version.folder() is None, reason="torch is not installed")
# The native mode of these shims depends on behaviour, which source never shows.
BEHAVIOUR_ONLY = {shim.name for shim in all_shims() if any(isinstance(r, Behaves) for r in shim.native)}
BEHAVIOUR_ONLY.add("inference_mode_cached")  # its own requirement tries the function


@pytest.fixture(scope="module")
def static():
    (column,), sentences = scan.read([version.folder()])
    assert not sentences
    return column


@needs_torch
@pytest.mark.parametrize("name", [shim.name for shim in all_shims()])
def test_static_answer_equals_live_answer(name, static):
    live = scan.judge(version.text(), live_reader())[name]
    cell = static.cells[name]
    assert static.torch == version.text()
    for read, ran in zip(cell[:3], live[:3]):
        assert read in (ran, scan.UNDECIDED)
    assert (scan.UNDECIDED in cell[:3]) <= (name in BEHAVIOUR_ONLY)
    assert scan.UNDECIDED not in live[:3]
    for read, ran in zip(cell.answers, live.answers):
        assert (read.requirement, read.holds) in ((ran.requirement, ran.holds), (ran.requirement, None))


@pytest.mark.slow
@same_on_every_torch
@needs_torch
def test_wheel_tree_package_and_environment_give_same_answers(tmp_path, static):
    files = trees.installed()
    wheel = trees.as_wheel(tmp_path / "torch.whl", files)
    tree = trees.as_tree(tmp_path / "tree", files)
    trees.as_tree(tmp_path / "env" / "lib" / "python3.11" / "site-packages", files)
    columns, sentences = scan.read([wheel, tree, f"{tree}/torch", str(tmp_path / "env")])
    assert not sentences
    assert [column.cells for column in columns] == [static.cells] * 4


@same_on_every_torch
@needs_torch
def test_scan_runs_no_scanned_code_and_imports_no_torch(tmp_path):
    trap = f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n"
    files = {name: text + trap for name, text in trees.installed().items()}
    wheel = trees.as_wheel(tmp_path / "torch.whl", files)
    code = f"import sys; from compat.__main__ import main; main(['scan', {wheel!r}]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not (tmp_path / "ran").exists()


def test_version_of_git_checkout_is_read_from_version_txt(tmp_path):
    files = trees.written("", trees.NATIVE) | {"version.txt": "2.13.0a0\n"}
    del files["torch/version.py"]
    (column,), _ = scan.read([trees.as_tree(tmp_path, files)])
    assert (column.torch, column.cells["lazy_graph_module"].auto) == ("2.13.0a0", "native")


WHEEL = "COMPAT_TEST_WHEEL"  # the path of a torch wheel from the package index


@pytest.mark.skipif(WHEEL not in os.environ, reason=f"{WHEEL} does not name a real torch wheel")
def test_real_wheel_is_scanned_in_two_seconds_and_300_mb():
    # Not getrusage: it also counts the process from which this one was forked.
    code = "import sys; from compat.__main__ import main; assert main(['scan', sys.argv[1]]) == 0;"
    code += "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code, os.environ[WHEEL]], check=True, capture_output=True, text=True)
    assert time.perf_counter() - start < 2
    assert int(ran.stdout.split()[-1]) < 300 * 1024


BAD = {
    "missing": "there is no such file",
    "x" * 300: "there is no such file",
    "truncated.whl": "not a whole wheel",
    "no-torch.zip": "no torch in it",
    "no-record.whl": "it has no RECORD",
    "newer-zip.whl": "not readable by this Python",
    "damaged.whl": "is damaged",
    "no-version": "neither torch/version.py nor version.txt states",
    "no-package": "no torch/_inductor/__init__.py",
    "no-module.whl": f"lacks {trees.SPLIT}",
    "no-module-installed": f"lacks {trees.SPLIT}",
    "too-deep": "cannot be parsed by this Python",
    "newer-syntax": "cannot be parsed by this Python",
    "not-utf8": "cannot be read",
}


@pytest.fixture
def bad(tmp_path):
    """Return a folder with every kind of bad input."""
    files = trees.written("2.12.0", trees.NATIVE)
    whole = trees.as_wheel(tmp_path / "whole.whl", files)
    data = Path(whole).read_bytes()
    (tmp_path / "truncated.whl").write_bytes(data[: len(data) // 2])
    for name, holds in (("no-torch.zip", {"readme.txt": "nothing"}), ("no-record.whl", files)):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            for path, text in holds.items():
                wheel.writestr(path, text)
    at = data.index(b"torch/version.py") + len("torch/version.py")  # the compressed data follows the file name
    (tmp_path / "damaged.whl").write_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])
    at = data.index(b"PK\1\2") + 6  # the directory entry with the format version
    (tmp_path / "newer-zip.whl").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    for name, lacks in (("no-version", "torch/version.py"), ("no-package", "torch/_inductor/__init__.py")):
        trees.as_tree(tmp_path / name, {path: text for path, text in files.items() if path != lacks})
    record = f"torch/x.py,,\n{trees.SPLIT},,\n"
    part = {path: text for path, text in files.items() if path != trees.SPLIT}
    part["torch-2.12.0.dist-info/RECORD"] = record
    trees.as_tree(tmp_path / "no-module-installed", part)
    trees.as_wheel(tmp_path / "no-module.whl", part)
    trees.as_tree(tmp_path / "too-deep", files | {trees.SPLIT: "x = " + "-" * 100_000 + "1\n"})
    trees.as_tree(tmp_path / "newer-syntax", files | {trees.SPLIT: "def split_module(m): return m ?? m\n"})
    trees.as_tree(tmp_path / "not-utf8", files)
    (tmp_path / "not-utf8" / trees.SPLIT).write_bytes(b"\xff\xfe = 1")
    return tmp_path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", BAD)
def test_bad_input_prints_one_sentence_and_other_paths_are_scanned(bad, name, capsys):
    path = str(bad / name)
    assert main(["scan", path, str(bad / "whole.whl")]) == 2
    out, err = capsys.readouterr()
    assert "native" in out
    assert err.count("\n") == 1
    assert err.startswith(f"compat: {path}: ")
    assert BAD[name] in err


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_wheel_is_read_correctly_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wheel") / "torch.whl"
    trees.as_wheel(path, trees.written("2.12.0", trees.NATIVE))
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        del raw[at:]
    else:
        raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    columns, sentences = scan.read([str(path)])
    assert len(columns) + len(sentences) == 1
    assert all(column.cells["lazy_graph_module"].auto == "native" for column in columns)


@pytest.fixture
def three(tmp_path):
    """Return source trees like torch 2.10, 2.11 and 2.12, by version."""
    made = {"2.10.0": trees.PLAIN, "2.11.0": trees.PLAIN, "2.12.0": trees.NATIVE}
    return {torch: trees.as_tree(tmp_path / torch, trees.written(torch, split)) for torch, split in made.items()}


def test_table_is_ordered_by_version_and_lists_changes(three, capsys):
    assert main(["scan", three["2.12.0"], three["2.11.0"], three["2.10.0"]]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["shim", "asked", "for", "2.10.0", "2.11.0", "2.12.0"]
    assert lines[2] == ["lazy_graph_module", "auto", "noop", "backport", "native"]
    assert lines[3] == ["backport", "yes", "yes", "no"]
    assert "lazy_graph_module, 2.10.0 -> 2.11.0: noop -> backport\n    by its version number: noop -> backport\n" in out
    refers = "torch.fx.passes.split_module:split_module refers to _make_graph_module"
    assert f"    {refers}: does not hold (its body does not) -> holds\n" in out


def test_changed_parameter_is_named(tmp_path, three, capsys):
    other = trees.LAZY.replace("_get_graph_module_cls():", "_get_graph_module_cls(strict):")
    newer = trees.as_tree(tmp_path / "newer", trees.written("2.13.0", trees.NATIVE, other))
    assert main(["scan", newer, "--against", three["2.12.0"]]) == 1
    out = capsys.readouterr().out
    assert "2.12.0 -> 2.13.0: native -> noop (lost)" in out
    assert "_get_graph_module_cls takes (): holds -> does not hold (it takes (strict))" in out


def test_against_shows_only_differences(tmp_path, three, capsys):
    same = trees.as_tree(tmp_path / "same", trees.written("2.12.1", trees.NATIVE))
    assert main(["scan", same, "--against", three["2.12.0"]]) == 0
    assert capsys.readouterr().out == "nothing differs: 2.12.0, 2.12.1\n"


@pytest.mark.parametrize(("old", "new", "status"), [
    ("2.11.0", "2.12.0", 0),  # backport, then native
    ("2.12.0", "2.11.0", 0),  # still has a mode
    ("2.11.0", "2.10.0", 1),  # auto has no mode any more
])  # fmt: skip
def test_exit_status_is_1_if_a_shim_lost_its_mode(three, old, new, status):
    assert main(["scan", three[new], "--against", three[old]]) == status


def test_lost_backport_by_name_is_a_loss(tmp_path, three):
    neither = "def split_module(m): return GraphModule(m, m)\n"
    newer = trees.as_tree(tmp_path / "newer", trees.written("2.10.1", neither))
    assert main(["scan", newer, "--against", three["2.10.0"]]) == 1


def test_a_missing_old_torch_is_an_error_before_any_table(tmp_path, three, capsys):
    assert main(["scan", three["2.12.0"], "--against", str(tmp_path / "none")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"compat: {tmp_path / 'none'}: there is no such file or folder\n"
    assert main(["scan", three["2.12.0"], "--against", str(tmp_path / "none"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["torches"] == []


def test_json_contains_modes_changes_and_evidence(tmp_path, three, capsys):
    assert main(["scan", "--json", *three.values(), str(tmp_path / "none")]) == 2
    said = json.loads(capsys.readouterr().out)
    cells = [torch["shims"]["lazy_graph_module"] for torch in said["torches"]]
    assert [(c["auto"], c["native"], c["backport"]) for c in cells] == [
        ("noop", "no", "yes"), ("backport", "no", "yes"), ("native", "yes", "no")
    ]  # fmt: skip
    assert {"requirement", "holds", "found"} == set(cells[0]["answers"][0])
    assert [(c["from"]["torch"], c["to"]["torch"], c["lost"]) for c in said["changes"]] == [
        ("2.10.0", "2.11.0", False), ("2.11.0", "2.12.0", False)
    ]  # fmt: skip
    assert len(said["unreadable"]) == 1


def test_undecidable_source_is_reported_with_reason(tmp_path, capsys):
    lazy = trees.LAZY.replace("def _get_graph_module_cls(): ...", "from ._other import _get_graph_module_cls")
    for split, forced in ((trees.NATIVE, ("undecided", "no")), (trees.PLAIN, ("no", "undecided"))):
        path = trees.as_tree(tmp_path, trees.written("2.12.0", split, lazy))
        (column,), _ = scan.read([path])
        cell = column.cells["lazy_graph_module"]
        assert cell[:3] == ("undecided", *forced)
        assert "_get_graph_module_cls is bound in a way" in cell.reason
    assert main(["scan", path]) == 0
    assert "source does not tell whether" in capsys.readouterr().out


def test_failed_requirement_outweighs_undecided_one(tmp_path):
    lazy = trees.LAZY.replace("def _get_graph_module_cls(): ...", "from ._other import _get_graph_module_cls")
    neither = "def split_module(m): return m\n"
    (column,), _ = scan.read([trees.as_tree(tmp_path, trees.written("2.12.0", neither, lazy))])
    assert column.cells["lazy_graph_module"][:3] == ("noop", "no", "no")


def test_path_of_maximum_length_prints_one_sentence(tmp_path, capsys):
    # The paths inside are too long, so Path.exists raises, as it does in a folder without permission to enter.
    folder = tmp_path
    while len(str(folder)) < 3800:
        folder = folder / ("x" * 200)
    folder = folder / ("x" * (4080 - len(str(folder))))
    folder.mkdir(parents=True)
    assert main(["scan", str(folder)]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith("compat: ")
