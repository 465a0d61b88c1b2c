"""Small files that are both pruned and run: what `prune` says of them is what they do on many versions of torch."""

import ast
import importlib
import random
import shutil
import sys
import types
from pathlib import Path

import pytest
from helpers.prune import Supposed, place_of
from helpers.this_torch import same_on_every_torch

from compat.tools.prune.command import examine
from compat.tools.prune.index import Index
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch

DATA = Path(__file__).parents[1] / "data" / "prune_executed"
INPUTS = sorted(path.name for path in DATA.iterdir() if path.name != "__pycache__")
VERSIONS = (
    "2.10.0", "2.10.0+cpu", "2.11.0.dev20260101", "2.11.0a0+git1", "2.11.0rc1", "2.12.0+debug", "2.12.1+rocm7.2",
    "2.13.0+abcxyz", "2.13.0+12.1", "2.14.0.post1", "2.14.0", "2.14.0+cpu", "2.14.1", "2.22.0", "2.99.0", "3.3.0",
)  # fmt: skip
RUNS = 2  # of each version: `ask()` in the inputs answers at random


class Noting(ast.NodeTransformer):
    """Puts a call around each of some expressions, which notes its truth."""

    def __init__(self, file, places):
        self.file, self.places = file, places

    def visit(self, node):
        place = place_of(node) if isinstance(node, ast.expr) else None
        node = self.generic_visit(node)
        if place not in self.places:
            return node
        return ast.Call(ast.Name("note_truth", ast.Load()), [ast.Constant((self.file, place)), node], [])


@pytest.mark.parametrize("name", INPUTS)
def test_outcome_is_what_the_code_does_on_every_version(name, tmp_path, monkeypatch):
    files, outside = copied(name, tmp_path)
    spec, answer = spec_and_answer(tmp_path / "pkg" / "main.py")
    monkeypatch.chdir(tmp_path)
    gates = examine(Index(["pkg"]), torch_range(spec)).gates
    constant = {(gate.module.path.name, place_of(gate.node)): gate.constant for gate in gates}
    constant = {place: outcome for place, outcome in constant.items() if outcome is not None}
    for file in files:
        tree = Noting(file.name, {place for in_file, place in constant if in_file == file.name})
        file.write_text(ast.unparse(ast.fix_missing_locations(tree.visit(ast.parse(file.read_text())))))
    found = truths([tmp_path, outside], [v for v in VERSIONS if v in torch_range(spec)], monkeypatch)
    assert {place: truths for place, truths in found.items() if truths != {constant[place]}} == {}
    if answer.startswith("always"):
        assert gates[-1].outcome == answer


def copied(name, folder):
    """Copy an input. Return its files, and the folder of the modules that `prune` does not search."""
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("")
    outside = DATA / name / "outside"
    for path in [DATA / name] if name.endswith(".py") else (DATA / name).glob("*.py"):
        shutil.copy(path, folder / "pkg" / (path.name if path.name != name else "main.py"))
    return sorted((folder / "pkg").glob("*.py")), outside


def spec_and_answer(path):
    """Return the range of torches and the right answer, which the first two lines of an input name."""
    first, second = path.read_text().splitlines()[:2]
    return first.partition("--torch ")[2].strip("'"), second.partition("right: ")[2]


def truths(places, versions, monkeypatch):
    """Import the input for each version. Return the truths of each expression, by its place."""
    found = {}

    def note_truth(place, value):
        found.setdefault(place, set()).add(bool(value))
        return value

    for version in versions:
        for seed in range(RUNS):
            chance = random.Random(seed)
            helpers = {
                "note_truth": note_truth,
                "ask": lambda *a, chance=chance, **k: chance.random() < 0.5,
                "asks": lambda chance=chance: [chance.random() < 0.5 for _ in range(chance.randrange(3))],
                **dict.fromkeys("fgh", lambda *a, **k: None),
            }
            with monkeypatch.context() as patch:
                for name, value in helpers.items():
                    patch.setattr(f"builtins.{name}", value, raising=False)
                _import_with(version, places, patch)
    return found


def _import_with(version, places, patch):
    before = set(sys.modules)
    for module in _torch(version):
        patch.setitem(sys.modules, module.__name__, module)
    for place in places:
        patch.syspath_prepend(str(place))
    try:
        importlib.import_module("pkg.main")
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def _torch(version):
    torch, inner, text = map(types.ModuleType, ("torch", "torch.torch_version", "torch.version"))
    torch.__version__ = inner.__version__ = Supposed(version)
    inner.TorchVersion, text.__version__, text.cuda = Supposed, version, None
    torch.torch_version, torch.version = inner, text
    return torch, inner, text
