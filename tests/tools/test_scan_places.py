"""`scan` finds torch in every kind of environment, and says in one sentence why a torch cannot be read."""

import builtins
import sys
import zipfile

import pytest
import torch_trees as trees
from helpers.this_torch import same_on_every_torch

from compat.__main__ import main
from compat.tools.scan import scan
from compat.tools.scan.progress import progress

pytestmark = same_on_every_torch


def tree(folder, torch="2.12.0"):
    return trees.as_tree(folder, trees.written(torch, trees.NATIVE))


LAYOUTS = [
    "lib/python3.11/site-packages",
    "lib/python3/dist-packages",
    "lib/python3.12/dist-packages",
    "lib64/python3.12/site-packages",
    "lib/pypy3.11/site-packages",
    "site-packages",
    "Lib/site-packages",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_is_found_in_the_layout(layout, tmp_path):
    tree(tmp_path / layout)
    (column,), sentences = scan.read([str(tmp_path)])
    assert sentences == []
    assert (column.path, column.torch) == (str(tmp_path), "2.12.0")


def test_a_second_python_without_torch_does_not_hide_the_first(tmp_path):
    (tmp_path / "lib" / "python3.10" / "site-packages").mkdir(parents=True)
    tree(tmp_path / "lib" / "python3.11" / "site-packages")
    (column,), _ = scan.read([str(tmp_path)])
    assert column.torch == "2.12.0"


def test_lib64_that_links_to_lib_counts_once(tmp_path):
    tree(tmp_path / "lib" / "python3.11" / "site-packages")
    (tmp_path / "lib64").symlink_to("lib")
    columns, _ = scan.read([str(tmp_path)])
    assert [column.torch for column in columns] == ["2.12.0"]


@pytest.fixture
def two_pythons(tmp_path):
    """A prefix with two Pythons, each with a torch of its own."""
    places = [tmp_path / "env" / "lib" / python / "site-packages" for python in ("python3.11", "python3.12")]
    return str(tmp_path / "env"), [tree(place, torch) for place, torch in zip(places, ("2.12.0", "2.13.0"))]


def test_two_pythons_in_one_prefix_are_both_named(two_pythons, capsys):
    prefix, places = two_pythons
    assert main(["scan", prefix]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["shim", "asked", "for", "2.12.0", "2.13.0"]
    assert f"2.12.0: {places[0]}\n2.13.0: {places[1]}\n" in out


def test_two_pythons_are_not_one_torch_to_compare_with(two_pythons, capsys):
    prefix, places = two_pythons
    assert main(["scan", places[1], "--against", prefix]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"compat: {prefix}: it has several torches, name one of them: {', '.join(places)}\n"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without Inductor"])
@pytest.mark.parametrize("torch", ["1.13.1", "2.0.0", "2.8.0+cu128"])
def test_an_old_torch_is_older_than_supported(torch, whole, tmp_path, capsys):
    files = trees.written(torch, trees.PLAIN)
    files = files if whole else {path: text for path, text in files.items() if "_inductor" not in path}
    path = trees.as_tree(tmp_path / "old", files)
    assert main(["scan", path]) == 2
    said = f"compat: {path}: torch {torch} is older than what compat supports (2.9 and newer)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("torch", ["2.9.0", "2.9.0a0+git12", "2.10.0.dev20260101"])
def test_the_oldest_supported_torch_is_read(torch, tmp_path):
    assert scan.read([tree(tmp_path, torch)])[1] == []


COMPRESSED, FLAGS = {"method": 10, "flags": 8}, {"method": 8, "flags": 6}  # offsets in both headers of a zip member


@pytest.mark.parametrize(("field", "value"), [("method", 9), ("flags", 1)], ids=["deflate64", "encrypted"])
def test_a_wheel_that_this_python_cannot_unpack_is_not_called_damaged(field, value, tmp_path, capsys):
    path = tmp_path / "torch.whl"
    trees.as_wheel(path, trees.written("2.12.0", trees.NATIVE))
    raw = bytearray(path.read_bytes())
    name = b"torch/version.py"
    with zipfile.ZipFile(path) as wheel:
        local = wheel.getinfo(name.decode()).header_offset
    central = raw.rindex(name) - 46
    raw[local + FLAGS[field]] = raw[central + COMPRESSED[field]] = value
    path.write_bytes(raw)
    assert main(["scan", str(path)]) == 2
    err = capsys.readouterr().err
    assert f"compat: {path}: torch/version.py in it is not readable by this Python (" in err
    assert "damaged" not in err


def test_two_builds_of_one_version_are_told_apart_by_path(tmp_path, capsys):
    paths = [tree(tmp_path / name) for name in ("cpu", "cuda")]
    assert main(["scan", *paths]) == 0
    out = capsys.readouterr().out
    assert "2.12.0 [1]  2.12.0 [2]" in out
    assert f"2.12.0 [1]: {paths[0]}\n2.12.0 [2]: {paths[1]}\n" in out


def test_the_table_gives_the_reason_of_a_noop(tmp_path, capsys):
    paths = [trees.as_tree(tmp_path / torch, trees.written(torch, trees.PLAIN)) for torch in ("2.9.1", "2.10.0")]
    assert main(["scan", *paths]) == 0
    assert "lazy_graph_module, 2.9.1, 2.10.0: noop: torch lacks it, and " in capsys.readouterr().out


class Terminal:
    """A stderr that is a terminal, and keeps its text."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_terminal_shows_progress_if_rich_is_installed(monkeypatch):
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress() as show:
        show("reading [torch].whl")
    assert "reading [torch].whl" in terminal.text


def test_without_rich_nothing_is_shown(monkeypatch):
    real = builtins.__import__

    def without_rich(name, *arguments, **keywords):
        if name.startswith("rich"):
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments, **keywords)

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(builtins, "__import__", without_rich)
    with progress() as show:
        show("reading torch.whl")
    assert terminal.text == ""


def test_a_pipe_gets_no_progress(capsys):
    with progress() as show:
        show("reading torch.whl")
    assert capsys.readouterr().err == ""
