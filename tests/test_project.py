"""Settings that several project files repeat are equal in all of them."""

import configparser
import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")

ROOT = Path(__file__).parents[1]
CHOSEN = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["compat"]


def test_tox_lists_torches_of_pyproject():
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    torches = CHOSEN["matrix-torches"]
    assert tox["tox"]["env_list"] == f"torch{{{','.join(torches)}}}"
    assert tox["testenv"]["deps"].split("\n")[1:] == [f"torch{torch}: torch=={torch}" for torch in torches]
    told = [f"torch{torch}: COMPAT_TEST_TORCH = {torch}" for torch in torches]
    assert tox["testenv"]["set_env"].split("\n")[1:] == told


def test_default_torches_belong_to_matrix_and_include_newest():
    assert set(CHOSEN["default-torches"]) < set(CHOSEN["matrix-torches"])
    assert CHOSEN["default-torches"][-1] == CHOSEN["matrix-torches"][-1]
    assert CHOSEN["demo-torch"] in CHOSEN["default-torches"]


def test_readme_names_every_matrix_torch_and_one_test_command():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| torch | under `auto`") :]
    assert re.findall(r"\d+\.\d+\.\d+", table[: table.index("\n\n")]) == CHOSEN["matrix-torches"]
    assert len(re.findall(r"# the tests$", readme, re.MULTILINE)) == 1
