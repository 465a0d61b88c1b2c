"""`prune` on small files, one kind of gate each: the outcome, the dead lines and what only they use."""

import ast
import json
import os
from pathlib import Path

import pytest
from helpers.this_torch import same_on_every_torch
from torch_trees import as_tree, written

from compat.tools.prune.command import examine
from compat.tools.prune.index import Index
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch

VLLM = "COMPAT_TEST_VLLM"  # a folder that holds vLLM 0.33.0's `vllm`
DATA = Path(__file__).parents[1] / "data" / "prune"
EXPECTED = json.loads((DATA / "expected.json").read_text())
INPUTS = sorted(path.name for path in DATA.iterdir() if path.suffix != ".json")
ASK_TORCH = {"m20_hasattr.py": (4, [(6, 7)]), "m21_try_import.py": (4, [(5, 6)])}
SOURCES = {
    "torch/__init__.py": "from torch import accelerator as accelerator\n",
    "torch/accelerator/__init__.py": "",
    "torch/distributed/__init__.py": "",
    "torch/distributed/fsdp/__init__.py": "from ._fully_shard import fully_shard\n",
}


def test_every_input_has_a_right_answer():
    assert sorted([*EXPECTED, *ASK_TORCH]) == INPUTS


@pytest.mark.parametrize("name", EXPECTED)
def test_input_has_the_expected_gates_and_unused_names(name, monkeypatch):
    monkeypatch.chdir(DATA)
    right = EXPECTED[name]
    report = examine(Index([name]), torch_range(right["torch"]))
    is_folder = (DATA / name).is_dir()
    gates = [
        [*([gate.module.shown] if is_folder else []), gate.line, gate.outcome, [list(span) for span in gate.dead]]
        for gate in report.gates
    ]
    unused = [[*([one.module.shown] if is_folder else []), one.name, one.span[0], one.breaks] for one in report.unused]
    assert not report.sentences
    assert gates == right["gates"]
    assert unused == right["unused"]


@pytest.mark.parametrize("name", ASK_TORCH)
def test_source_of_the_given_torches_answers_what_code_asks_torch(name, tmp_path, monkeypatch):
    from compat.tools.prune.torch_sources import opened_all

    monkeypatch.chdir(DATA)
    torches = [as_tree(tmp_path / version, {**written(version, ""), **SOURCES}) for version in ("2.10.0", "2.14.1")]
    wanted = torch_range(">=2.10")
    with opened_all(torches, wanted) as sources:
        index = Index([name])
        index.torches = sources
        (gate,) = examine(index, wanted).gates
    assert (gate.outcome, gate.line, gate.dead) == ("always true", *ASK_TORCH[name])


def test_gate_is_undecided_if_two_torches_differ(tmp_path):
    from compat.tools.prune.torch_sources import opened_all

    (tmp_path / "a.py").write_text("import torch\nimport torch.new\nif hasattr(torch.new, 'thing'): f()\n")
    files = {"torch/new.py": "def other(): ...\n"}
    old = as_tree(tmp_path / "old", {**written("2.10.0", ""), **files})
    new = as_tree(tmp_path / "new", {**written("2.12.0", ""), "torch/new.py": "def thing(): ...\n"})
    wanted = torch_range(">=2.10")
    with opened_all([old, new], wanted) as sources:
        index = Index([str(tmp_path / "a.py")])
        index.torches = sources
        (gate,) = examine(index, wanted).gates
    assert gate.outcome == "not understood"
    assert gate.reason == "torch 2.12.0 has it, torch 2.10.0 lacks it"


@pytest.mark.skipif(VLLM not in os.environ, reason=f"{VLLM} does not name a folder with the sources of vLLM 0.33.0")
def test_constant_gates_of_vllm_are_those_that_a_person_found(monkeypatch):
    monkeypatch.chdir(os.environ[VLLM])
    report = examine(Index(["vllm/env_override.py", "vllm/compilation"]), torch_range("==2.14.0"))
    found = [[gate.module.shown, gate.line, gate.text, gate.constant] for gate in report.gates]
    by_hand = json.loads((DATA.parent / "vllm_0_33_0_gates.json").read_text())
    right = [[path, line, ast.unparse(ast.parse(text)), outcome] for path, line, text, outcome in by_hand]
    assert sorted(gate for gate in found if gate[3] is not None) == sorted(right)
