"""`prune --diff` and `--fix`: what the new source is, that it compiles, and that a second run finds nothing."""

import ast
from pathlib import Path

import pytest
from helpers.this_torch import same_on_every_torch

pytest.importorskip("libcst")

from compat.tools.prune.command import examine, run
from compat.tools.prune.index import Index
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch

DATA = Path(__file__).parents[1] / "data" / "prune"
HEAD = "import torch\nnew = torch.__version__ >= '2.5'\n"

CHANGES = {
    "else_goes": ("if new:\n    a()  # kept\nelse:\n    b()\n", "a()  # kept\n"),
    "branch_goes": ("# about it\nif not new:\n    a()\nelse:\n    # kept\n    b()\n", "# about it\n# kept\nb()\n"),
    "if_without_else_goes": ("a()\nif not new:\n    b()\nc()\n", "a()\nc()\n"),
    "elif_becomes_else": ("if x:\n    a()\nelif new:\n    b()\nelif y:\n    c()\n", "if x:\n    a()\nelse:\n    b()\n"),
    "elif_goes": ("if x:\n    a()\nelif not new:\n    b()\nelse:\n    c()\n", "if x:\n    a()\nelse:\n    c()\n"),
    "elif_takes_the_place_of_if": ("if not new:\n    a()\nelif x:\n    b()\n", "if x:\n    b()\n"),
    "one_line_branches": ("if not new: a()\nelse: b()\n", "b()\n"),
    "operand_goes": ("if x and new:\n    a()\n", "if x:\n    a()\n"),
    "operands_in_parentheses": ("if (x\n        and new):\n    a()\n", "if (x):\n    a()\n"),
    "ternary": ("y = (1 if new else 2) + 3\n", "y = (1) + 3\n"),
    "assert_goes": ("assert new, 'too old'\na()\n", "a()\n"),
    "while_goes": ("while not new:\n    a()\nb()\n", "b()\n"),
    "value_stays": ("f(x, new)\n", "f(x, True)\n"),
    "empty_block_passes": ("def f():\n    if not new:\n        a()\n", "def f():\n    pass\n"),
    "rest_after_return_goes": ("def f():\n    if new:\n        return 1\n    return 2\n", "def f():\n    return 1\n"),
    "generator_keeps_its_yield": (
        "def f():\n    if new:\n        return\n    yield 1\n", "def f():\n    return\n    yield 1\n"
    ),
    "only_yield_stays": ("def f():\n    if not new:\n        yield 1\n    a()\n", None),
    "helper_with_an_effect_stays": (
        "def h():\n    global x\n    x = 1\n    return True\nif h() and not new:\n    a()\n", None
    ),
    "flag_with_an_effect_stays": ("flag = (y := g())\nif not new:\n    a(flag)\n", "flag = (y := g())\n"),
    "augmented_flag_stays": ("flag = g()\nflag &= g()\nif not new:\n    a(flag)\n", "flag = g()\nflag &= g()\n"),
    "flag_of_a_helper_with_an_effect_stays": (
        "def h():\n    A.x = 1\n    return 1\nflag = h()\nif not new:\n    a(flag)\n",
        "def h():\n    A.x = 1\n    return 1\nflag = h()\n",
    ),
    "local_variable_goes": (
        "def f(x):\n    part = torch.__version__.split('.')[0]\n    if not new:\n        a(part)\n    return x\n",
        "def f(x):\n    return x\n",
    ),
    "local_variable_made_by_a_call_stays": (
        "def f(x):\n    part = g()\n    if not new:\n        a(part)\n    return x\n",
        "def f(x):\n    part = g()\n    return x\n",
    ),
    "effect_stays": ("if setup() and not new:\n    a()\n", None),
    "case_goes": ("match x:\n    case 1 if not new:\n        a()\n    case 2:\n        b()\n",
                  "match x:\n    case 2:\n        b()\n"),
    "walrus_stays": ("if (y := g()) and not new:\n    a(y)\n", None),
    "kept_by_comment": ("if new:  # compat: keep\n    a()\n", None),
}  # fmt: skip


def fixed(tmp_path, source, spec=">=2.10"):
    path = tmp_path / "engine.py"
    path.write_text(source, "utf-8")
    assert run([str(path)], [spec], fix=True) == 0
    return path.read_text("utf-8")


@pytest.mark.parametrize("name", CHANGES)
def test_dead_code_is_removed_and_the_rest_stays(tmp_path, name, capsys):
    source, right = CHANGES[name]
    after = fixed(tmp_path, HEAD + source + "g(new)\n")
    # The flag goes with its last use.
    assert after == "import torch\n" + ("new = True\n" + source if right is None else right) + "g(True)\n"


def test_file_whose_generator_would_become_a_function_is_left_alone(tmp_path, capsys):
    path = tmp_path / "engine.py"
    source = HEAD + "def f():\n    if not new:\n        yield 1\n    if not new:\n        yield 2\n"
    path.write_text(source)
    assert run([str(path)], [">=2.10"], fix=True) == 2
    assert "f would be no generator any more" in capsys.readouterr().err
    assert path.read_text() == source


def test_report_tells_of_a_generator_that_loses_its_only_yield(tmp_path, capsys):
    (tmp_path / "engine.py").write_text(HEAD + "def f():\n    if not new:\n        yield 1\n")
    assert run([str(tmp_path)], [">=2.10"]) == 1
    assert "`f` would lose its only `yield`" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.py")))
def test_result_compiles_and_a_second_run_changes_nothing(tmp_path, name, capsys):
    source = (DATA / name).read_text("utf-8")
    spec = source.split("'")[1]
    once = fixed(tmp_path, source, spec)
    ast.parse(once)
    report = examine(Index([str(tmp_path / "engine.py")]), torch_range(spec))
    assert not report.constant
    assert fixed(tmp_path, once, spec) == once


def test_diff_changes_no_file(tmp_path, capsys):
    path = tmp_path / "a.py"
    path.write_text("import torch\nif torch.__version__ >= '2.5':\n    a()\n")
    assert run([str(path)], [">=2.10"], diff=True) == 1
    out = capsys.readouterr().out
    assert "-if torch.__version__ >= '2.5':\n-    a()\n+a()\n" in out
    assert path.read_text().startswith("import torch\nif")


def test_definition_that_another_file_offers_stays(tmp_path, capsys):
    for file in (DATA / "multi2").iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    assert run([str(tmp_path)], [">=2.10"], fix=True) == 0
    assert (tmp_path / "use.py").read_text().strip() == ""
    assert "def is_old():" in (tmp_path / "tv.py").read_text()


def test_import_stays_if_the_function_that_needs_it_stays(tmp_path, capsys):
    files = {
        "a.py": "import json\nimport torch\ndef f(): return json\n",
        "b.py": f"from .a import f\n{HEAD}if not new:\n    f()\nelse:\n"
        "    @register(setup() and not new)\n    def g(): f()\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    run([str(tmp_path)], [">=2.10"], fix=True)
    assert (tmp_path / "a.py").read_text() == files["a.py"]


def test_line_ends_and_encoding_stay(tmp_path, capsys):
    path = tmp_path / "a.py"
    path.write_bytes(
        b"# coding: latin-1\r\nimport torch\r\nname = '\xe9'\r\nif torch.__version__ < '2.5':\r\n    a()\r\n"
    )
    assert run([str(path)], [">=2.10"], fix=True) == 0
    assert path.read_bytes() == b"# coding: latin-1\r\nimport torch\r\nname = '\xe9'\r\n"
