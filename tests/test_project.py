"""Facts that the project states in several places agree."""

import ast
import configparser
import functools
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from helpers.this_torch import same_on_every_torch

import compat
from compat.adapters import NAMES, NEWEST_FIRST

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


def test_set_that_stands_for_env_override_has_the_shims_of_its_table():
    text = (ROOT / "docs/engines.md").read_text()
    table = text.partition("| vLLM's patch | vLLM | on | shim |")[2].partition("\n\n")[0]
    shims = set(re.findall(r"^\|(?:[^|]*\|){3} `(\w+)` \|", table, re.MULTILINE))
    code = re.search(r"compat\.install\((.*?)\n\)", text, re.DOTALL)[1]
    command = re.search(r"--shims (.*?)```", text, re.DOTALL)[1].replace("\\", " ")
    assert shims == set(re.findall(r'"(\w+)"', code)) == set(command.split())
    assert shims <= set(NAMES)


def test_pre_commit_runs_the_ruff_of_pyproject():
    extras = PROJECT["project"]["optional-dependencies"]
    (pinned,) = {tool for name in ("lint", "test") for tool in extras[name] if tool.startswith("ruff")}
    assert f"rev: v{pinned.partition('==')[2]} " in (ROOT / ".pre-commit-config.yaml").read_text()


# --- The layout of the runtime: few lines, short import chains, and four edits for a new shim ----------------------

PACKAGE = ROOT / "compat"
# The modules that are vendored, by their full names.
RUNTIME = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] != "tools"
}


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes, without what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.If) or ast.unparse(node.test) != "TYPE_CHECKING":
            yield node
            yield from at_run_time(node)


def imported(name: str) -> set[str]:
    """Return the modules of the runtime that a module imports anywhere in its text."""
    path, found = RUNTIME[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in at_run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            parent = ".".join([*above, *filter(None, [node.module])])
            found |= {
                f"{parent}.{alias.name}" if f"{parent}.{alias.name}" in RUNTIME else parent for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & RUNTIME.keys() - {name}


@functools.cache
def longest_chain(name: str) -> tuple[str, ...]:
    return (name, *max(map(longest_chain, imported(name)), key=len, default=()))


def test_longest_import_chain_has_at_most_7_modules():
    chain = max(map(longest_chain, RUNTIME), key=len)
    assert len(chain) <= 7, " -> ".join(chain)
    assert len(chain) >= 5, "the imports are not found"


def test_no_runtime_module_is_over_250_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in RUNTIME.items()}
    assert {name: length for name, length in lengths.items() if length > 250} == {}


def test_no_runtime_function_is_over_40_lines():
    functions = {
        f"{name}.{node.name}": node.end_lineno - node.lineno + 1
        for name, path in RUNTIME.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name: length for name, length in functions.items() if length > 40} == {}


def test_adapters_have_under_80_lines_together():
    """Each module of a torch minor counts, without its docstring and blank lines."""
    lines = 0
    for adapter in NEWEST_FIRST:
        text = Path(inspect.getfile(adapter)).read_text()
        docstring = ast.parse(text).body[0].end_lineno
        lines += len(list(filter(str.strip, text.splitlines()[docstring:])))
    assert len(NAMES) < lines < 80


def test_no_module_has_the_name_of_something_public():
    """A module `compat.install` would be hidden by the function, and could hide it when it is imported again."""
    public = {name for name in compat.__all__ if not isinstance(getattr(compat, name), ModuleType)}
    assert {name.partition(".")[2] for name in RUNTIME} & public == set()


SHIM = '''"""`thrown_away`: a shim that stands for the next one.

Symptom: The example goes wrong. This sentence is not in the table.
Removal: when the test ends.
"""

from ..probe.requirements import Refers, Symbol
from .base import Shim

_TARGET = "torch.fx.passes.split_module:split_module"


def _pass_on(wrapper):
    return lambda *args, **kwargs: ("thrown_away", wrapper.next(*args, **kwargs))


SHIM = Shim(
    name="thrown_away",
    kind="fix",
    upstream="example#1, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    native=(Refers(_TARGET, "_make_graph_module"),),
    backport=(Symbol(_TARGET, "function"),),
    replacements={_TARGET: _pass_on},
)
'''
REPRODUCER = '''"""Stands for the reproducer of the next shim."""

import torch
from torch.fx.passes.split_module import split_module

BARE = True
FIXED = (2, 12)


def outcome() -> str:
    gm = torch.fx.symbolic_trace(lambda x: x + 1)
    return "right" if isinstance(split_module(gm, gm, lambda node: 0), tuple) else "wrong"
'''
STATUS = """
import compat
compat.install("thrown_away")
import torch.fx.passes.split_module
(row,) = [row for row in compat.status() if row.name == "thrown_away"]
print(row.mode, row.active)
"""
NATIVE_SOURCE = """
import sys, torch_trees as trees
trees.as_tree(trees.Path(sys.argv[1]), trees.written("2.12.0", trees.NATIVE))
"""


@pytest.fixture(scope="module")
def with_another_shim(tmp_path_factory):
    """Return a copy of the repository, in which a shim was added by four edits: two new files and two new lines."""
    copy = tmp_path_factory.mktemp("repository") / "compat"
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "results")
    shutil.copytree(ROOT, copy, ignore=unneeded)
    (copy / "compat" / "shims" / "thrown_away.py").write_text(SHIM)
    (copy / "compat" / "selfcheck" / "reproducers" / "thrown_away.py").write_text(REPRODUCER)
    for adapter, mode in (("torch_2_15", "native"), ("torch_2_11", "backport")):
        with (copy / "compat" / "adapters" / f"{adapter}.py").open("a") as file:
            file.write(f'thrown_away = "{mode}"\n')
    return copy


@pytest.fixture
def in_copy(with_another_shim):
    """Return a function that runs Python in that copy and returns its output."""

    def run(*arguments):
        paths = os.pathsep.join(map(str, (with_another_shim, with_another_shim / "tests")))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPAT_TEST")}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *map(str, arguments)],
            cwd=with_another_shim,
            env={**environment, "PYTHONPATH": paths, "COMPAT_TEST_TORCH": "2.11.0"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@same_on_every_torch
def test_shim_that_four_edits_add_works(in_copy):
    assert in_copy("-c", STATUS) == "backport True\n"


@pytest.mark.slow
@same_on_every_torch
def test_shim_that_four_edits_add_has_a_row_and_a_reproducer(in_copy):
    assert re.search(r"^thrown_away +fix +backport +no +torch", in_copy("-m", "compat", "status"), re.MULTILINE)
    assert in_copy("tests/reproduce.py", "thrown_away") == "thrown_away: wrong\n"
    assert in_copy("tests/reproduce.py", "with", "thrown_away") == "thrown_away: right (backport)\n"


@same_on_every_torch
def test_shim_that_four_edits_add_is_scanned(in_copy, with_another_shim, tmp_path):
    in_copy("-c", f"import sys; sys.path.insert(0, 'tests/tools'){NATIVE_SOURCE}", tmp_path)
    here = Path(inspect.getfile(sys.modules["torch"])).parent
    table = in_copy("-m", "compat", "scan", here, tmp_path)
    assert re.search(r"^thrown_away +auto +backport +native$", table, re.MULTILINE)


@pytest.mark.slow
@same_on_every_torch
def test_shim_that_four_edits_add_is_on_the_generated_pages(in_copy, with_another_shim):
    in_copy("-m", "compat.tools.scan.support")
    page = (with_another_shim / "docs" / "support.md").read_text()
    (row,) = re.findall(r"^\| `thrown_away` \|.*", page, re.MULTILINE)
    assert "backport" in row
    section = page.partition("## `thrown_away`\n")[2]
    assert "Kind: fix. Upstream: example#1, in torch 2.12.0." in section
    assert "Removal: when the test ends." in section
    in_copy("docs/generate.py")
    line = "| [`thrown_away`](docs/support.md#thrown_away) | The example goes wrong | 2.11.0 |"
    assert line in (with_another_shim / "README.md").read_text()


@pytest.mark.slow
@same_on_every_torch
def test_tests_that_go_through_all_shims_know_the_one_that_four_edits_add(in_copy):
    chosen = ["tests/tools/test_scan.py", "tests/shims/test_fixes.py", "-k", "thrown_away or every_fix or exactly"]
    assert "3 passed" in in_copy("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *chosen)
