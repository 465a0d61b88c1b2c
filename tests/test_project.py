"""Facts that the project states in several places agree."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import same_on_every_torch

import compat

tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHOSEN = PROJECT["tool"]["compat"]
NUMBER = r"\d+\.\d+\.\d+"


def test_tox_lists_torches_of_pyproject():
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    torches = CHOSEN["matrix-torches"]
    assert tox["tox"]["env_list"] == f"torch{{{','.join(torches)}}}"
    assert tox["testenv"]["deps"].split("\n")[1:] == [f"torch{torch}: torch=={torch}" for torch in torches]
    told = [f"torch{torch}: COMPAT_TEST_TORCH = {torch}" for torch in torches]
    assert tox["testenv"]["set_env"].split("\n")[1:] == told


def test_default_torches_are_part_of_the_matrix_and_include_the_newest():
    assert set(CHOSEN["default-torches"]) < set(CHOSEN["matrix-torches"])
    assert CHOSEN["default-torches"][-1] == CHOSEN["matrix-torches"][-1]
    assert CHOSEN["demo-torch"] in CHOSEN["default-torches"]


@pytest.mark.parametrize(
    ("page", "start"),
    [("docs/lazy_graph_module.md", "| torch | under `auto`"), ("docs/support-policy.md", "| torch | level")],
)
def test_tables_name_every_torch_of_the_matrix(page, start):
    text = (ROOT / page).read_text()
    table = text[text.index(start) :].partition("\n\n")[0]
    assert re.findall(NUMBER, table) == CHOSEN["matrix-torches"]


def test_support_policy_names_the_pythons_of_the_matrix():
    text = " ".join((ROOT / "docs/support-policy.md").read_text().split())
    *first, last = CHOSEN["matrix-pythons"]
    assert f"Python {', '.join(first)} and {last}, with torch {CHOSEN['demo-torch']}" in text


def test_readme_has_one_test_command():
    readme = (ROOT / "README.md").read_text()
    assert len(re.findall(r"# the tests$", readme, re.MULTILINE)) == 1


def test_readme_is_under_150_lines_with_the_example_in_the_first_40():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 150
    assert "```python" in lines[:40]


@same_on_every_torch
def test_readme_example_prints_what_readme_says():
    readme = (ROOT / "README.md").read_text()
    code, printed = (re.search(rf"```{kind}\n(.*?)```", readme, re.DOTALL)[1] for kind in ("python", "text"))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def test_examples_name_the_tag_of_this_version():
    texts = [(ROOT / page).read_text() for page in ("docs/guide.md", "RELEASING.md")]
    for text in texts:
        assert set(re.findall(rf"\bv({NUMBER})\b", text)) == {compat.__version__}
    newest = re.search(rf"^## ({NUMBER})", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert newest == compat.__version__


def test_pre_commit_runs_the_ruff_of_pyproject():
    (pinned,) = [tool for tool in PROJECT["project"]["optional-dependencies"]["lint"] if tool.startswith("ruff==")]
    assert f"rev: v{pinned.partition('==')[2]} " in (ROOT / ".pre-commit-config.yaml").read_text()
