"""The command line of `prune`: exit statuses, forms of the report, what is left out, and odd paths."""

import json
import os

import pytest
from helpers.this_torch import same_on_every_torch
from torch_trees import as_tree, written

from compat.__main__ import main

pytestmark = same_on_every_torch

GATE = "import torch\nif torch.__version__ >= '2.5':\n    new()\nelse:\n    old()\n"
OPEN = "import torch\nif torch.__version__ >= '2.12':\n    new()\n"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine").mkdir()
    return tmp_path / "engine"


@pytest.mark.parametrize(
    ("source", "status"), [(GATE, 1), (OPEN, 0), ("x = 1\n", 0), ("x = = 1 # torch.__version__\n", 2)]
)
def test_exit_status_tells_what_was_found(engine, source, status, capsys):
    (engine / "a.py").write_text(source)
    assert main(["prune", "engine", "--torch", ">=2.10"]) == status


def test_table_names_file_line_and_dead_lines(engine, capsys):
    (engine / "a.py").write_text(GATE)
    (engine / "b.py").write_text(OPEN)
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 1
    out = capsys.readouterr().out
    assert "engine/a.py:2: always true: torch.__version__ >= '2.5'; dead: 4-5\n" in out
    assert (
        "engine/b.py:2: still decides: torch.__version__ >= '2.12' (2.10.0 takes the else, 2.12.0 takes the if)\n"
        in out
    )
    assert out.endswith("1 of 2 version gates have one outcome; 2 lines are dead\n")


def test_json_has_the_documented_form(engine, capsys):
    (engine / "a.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["torch"] == [">=2.10"]
    assert report["gates"] == [{
        "path": "engine/a.py", "line": 2, "text": "torch.__version__ >= '2.5'", "outcome": "always true",
        "reason": "on every torch in >=2.10", "dead": [[4, 5]],
    }]  # fmt: skip
    assert report["unused"] == []
    assert report["summary"]["always true"] == 1


def test_github_format_annotates_the_line(engine, capsys):
    (engine / "a.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--format", "github"]) == 1
    assert capsys.readouterr().out.startswith(
        "::warning file=engine/a.py,line=2,title=torch version gate always true::"
    )


def test_sarif_has_a_rule_for_every_result(engine, capsys):
    (engine / "a.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--format", "sarif"]) == 1
    (sarif,) = json.loads(capsys.readouterr().out)["runs"]
    rules = {rule["id"] for rule in sarif["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in sarif["results"]} == {"always-true"} <= rules


def test_gate_in_the_baseline_is_not_reported_again(engine, capsys):
    (engine / "a.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--write-baseline", "known.json"]) == 1
    (engine / "a.py").write_text("# a line more\n" + GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--baseline", "known.json"]) == 0
    (engine / "b.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--baseline", "known.json"]) == 1
    assert main(["prune", "engine", "--torch", ">=2.10", "--baseline", "engine/a.py"]) == 2


def test_comment_keeps_a_gate(engine, capsys):
    (engine / "a.py").write_text(GATE.replace("'2.5':", "'2.5':  # compat: keep"))
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 0


def test_excluded_folders_are_not_read(engine, capsys):
    for folder in (".venv", "build", "node_modules", "third_party", "mine"):
        (engine / folder).mkdir()
        (engine / folder / "a.py").write_text(GATE)
    assert main(["prune", "engine", "--torch", ">=2.10", "--exclude", "mine"]) == 0
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 1


def test_repeated_range_needs_one_outcome_for_all(engine, capsys):
    (engine / "a.py").write_text(OPEN)
    (engine / "a.py").write_text(OPEN.replace("2.12", "2.13"))
    assert main(["prune", "engine", "--torch", "2.12.1", "--torch", "2.14.1"]) == 0
    assert main(["prune", "engine", "--torch", "2.14.1"]) == 1


def test_odd_paths_get_one_sentence_each(engine, capsys):
    os.mkfifo(engine / "pipe")
    (engine / "book.ipynb").write_text("{}")
    (engine / "new.py").write_text("x = = torch.__version__\n")
    (engine / "deep.py").write_text("y = torch.__version__ + " + "-" * 100_000 + "1\n")
    paths = ["engine/pipe", "engine/book.ipynb", "engine/new.py", "engine/deep.py", "engine/none"]
    assert main(["prune", *paths, "--torch", ">=2.10"]) == 2
    sentences = capsys.readouterr().err.splitlines()
    assert len(sentences) == len(paths)
    assert "engine/pipe: is no regular file" in "\n".join(sentences)
    assert "is a notebook" in "\n".join(sentences)
    assert "there is no such file or folder" in "\n".join(sentences)


def test_file_that_does_not_name_torch_is_not_parsed(engine, capsys):
    (engine / "a.py").write_text("this is no Python\n")
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 0


def test_without_a_range_there_is_nothing_to_prune_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["prune"])
    assert ended.value.code == 2
    assert "--torch" in capsys.readouterr().err


def test_torches_answer_what_code_asks_torch(engine, tmp_path, capsys):
    (engine / "a.py").write_text("import torch\nif hasattr(torch.fx, 'thing'):\n    new()\n")
    files = {**written("2.10.0", ""), "torch/fx/__init__.py": "def thing(): ...\n"}
    torch = as_tree(tmp_path / "torch-tree", files)
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 0
    assert "1 place asks torch itself" in capsys.readouterr().out
    assert main(["prune", "engine", "--torch", ">=2.10", "--torches", torch]) == 1
    assert "always true: hasattr(torch.fx, 'thing')" in capsys.readouterr().out
    assert main(["prune", "engine", "--torch", ">=2.12", "--torches", torch]) == 2
    assert "none of the torches of --torches (2.10.0) is in" in capsys.readouterr().err


def test_comparisons_of_texts_and_floats_are_warned_of(engine, capsys):
    (engine / "a.py").write_text(
        "import torch\nif str(torch.__version__) >= '2.4': f()\nif float(torch.__version__[:3]) >= 2.4: f()\n"
    )
    assert main(["prune", "engine", "--torch", ">=2.10"]) == 0
    out = capsys.readouterr().out
    assert "compares versions as strings" in out
    assert "compares versions as floats" in out
