"""`scan --calls` finds each private torch name that an engine uses, and reads from source which torches have it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch_trees as trees

from compat import version
from compat.__main__ import main
from compat.errors import CompatError
from compat.tools.scan.names import Missing, Names, Undecided
from compat.tools.scan.torches import opened
from compat.tools.scan.uses import private, uses

# Engine source -> the private names in it, each with how the engine uses it.
SOURCES = {
    "import": ("import torch._inductor.ir", {"torch._inductor.ir import"}),
    "import with alias": (
        "import torch._inductor.config as c\nc.x = 1",
        {"torch._inductor.config import", "torch._inductor.config.x set"},
    ),
    "import from": (
        "from torch._inductor.ir import A as B\nB.f()",
        {"torch._inductor.ir.A import", "torch._inductor.ir.A.f attribute"},
    ),
    "import of a module": (
        "from torch._inductor import config\nconfig.x",
        {"torch._inductor.config import", "torch._inductor.config.x attribute"},
    ),
    "star import": ("from torch._inductor.ir import *", {"torch._inductor.ir import"}),
    "multi-line import": (
        "from torch._inductor.ir import (\n    A,  # why\n    B,\n)",
        {"torch._inductor.ir.A import", "torch._inductor.ir.B import"},
    ),
    "attribute": ("import torch\ntorch._dynamo.reset()", {"torch._dynamo.reset attribute"}),
    "private name of a public class": (
        "from torch import Tensor\nTensor._make_subclass",
        {"torch.Tensor._make_subclass attribute"},
    ),
    "public name in fx.experimental": (
        "from torch.fx.experimental.symbolic_shapes import ShapeEnv",
        {"torch.fx.experimental.symbolic_shapes.ShapeEnv import"},
    ),
    "assignment": ("import torch\nc = torch._dynamo.config\nc.x", {"torch._dynamo.config attribute"}),
    "patch by string": (
        "from unittest import mock\nmock.patch('torch._inductor.ir.A.f', None)",
        {"torch._inductor.ir.A.f string"},
    ),
    "patch.object": (
        "from unittest.mock import patch\nfrom torch._inductor import ir\npatch.object(ir.A, 'f', None)",
        {"torch._inductor.ir import", "torch._inductor.ir.A.f target"},
    ),
    "getattr": ("import torch\ngetattr(torch._C, '_f', None)", {"torch._C._f target"}),
    "getattr that is kept": (
        "import torch\nA = getattr(torch._C, 'A')\nA.b",
        {"torch._C.A target", "torch._C.A.b attribute"},
    ),
    "monkeypatch.setattr": (
        "import torch\ndef test(monkeypatch):\n    monkeypatch.setattr(torch._C, '_f', None)",
        {"torch._C._f set"},
    ),
    "import_module": (
        "import importlib\nm = importlib.import_module('torch._inductor.ir')\nm.A",
        {"torch._inductor.ir string", "torch._inductor.ir.A attribute"},
    ),
    "sys.modules": ("import sys\nsys.modules['torch._C'].f", {"torch._C string", "torch._C.f attribute"}),
    "config.patch": (
        "import torch\ntorch._inductor.config.patch({'a.b': 1}, c=2)",
        {
            "torch._inductor.config.patch attribute",
            "torch._inductor.config.a.b target",
            "torch._inductor.config.c target",
        },
    ),
    "quoted annotation": (
        "from torch._inductor import ir\ndef f(x: 'ir.A | None') -> 'ir.B': ...",
        {"torch._inductor.ir import", "torch._inductor.ir.A attribute", "torch._inductor.ir.B attribute"},
    ),
    "either of two imports": (
        "try:\n    from torch._a import f\nexcept ImportError:\n    from torch._b import f\nf.x",
        {"torch._a.f import", "torch._b.f import", "torch._a.f.x attribute", "torch._b.f.x attribute"},
    ),
    "local import": ("def f():\n    import torch\n    return torch._C.f", {"torch._C.f attribute"}),
    "comprehension": ("import torch\n[torch._C.f(x) for x in y]", {"torch._C.f attribute"}),
    "f-string": ("import torch\nf'{torch._C.f}'", {"torch._C.f attribute"}),
    "decorator, base and default": (
        "import torch\n@torch._C.d\nclass A(torch._C.B):\n    def f(self, x=torch._C.x): ...",
        {"torch._C.d attribute", "torch._C.B attribute", "torch._C.x attribute"},
    ),
    "operator of torch": ("import torch\ntorch.ops.aten._to_copy.default", {"torch.ops.aten._to_copy attribute"}),
    "special name": ("import torch\ntorch._C.A.__name__", {"torch._C.A attribute"}),
    "import_module with a package": (
        "import importlib\nm = importlib.import_module('.ir', 'torch._inductor')\nm.A",
        {"torch._inductor.ir string", "torch._inductor.ir.A attribute"},
    ),
    "import_module by keyword": (
        "import importlib\nm = importlib.import_module(name='torch._inductor.ir')\nm.A",
        {"torch._inductor.ir string", "torch._inductor.ir.A attribute"},
    ),
    "sys.modules.get": (
        "import sys\nm = sys.modules.get('torch._C')\nm.f",
        {"torch._C string", "torch._C.f attribute"},
    ),
    "assignment of several": (
        "import torch\na, b = torch._C, torch._dynamo\nb.x",
        {"torch._C attribute", "torch._dynamo attribute", "torch._dynamo.x attribute"},
    ),
    "default of a parameter": (
        "import torch\ndef f(m=torch._C, *, n=torch._dynamo):\n    m.x\n    n.y",
        {"torch._C attribute", "torch._C.x attribute", "torch._dynamo attribute", "torch._dynamo.y attribute"},
    ),
    "patch.object by keyword": (
        "from unittest.mock import patch\nimport torch\npatch.object(target=torch._C, attribute='f')",
        {"torch._C.f target"},
    ),
    "patch.multiple": (
        "from unittest.mock import patch\nimport torch\npatch.multiple(torch._C, f=1, create=True)",
        {"torch._C attribute", "torch._C.f target"},
    ),
    "patch.multiple by string": (
        "from unittest.mock import patch\npatch.multiple('torch._inductor.config', x=1)",
        {"torch._inductor.config string", "torch._inductor.config.x target"},
    ),
    "config.patch of a dict call": (
        "import torch\ntorch._inductor.config.patch(dict(a=1))",
        {"torch._inductor.config.patch attribute", "torch._inductor.config.a target"},
    ),
    "getattr of a constant": ("import torch\nNAME = '_f'\ngetattr(torch._C, NAME)", {"torch._C._f target"}),
    "torch as a parameter": ("def f(torch):\n    torch._C.f", {"torch._C.f attribute"}),
    "torch from a helper": ("torch = load()\ntorch._C.f", {"torch._C.f attribute"}),
    "torch from a star import": ("from helpers import *\ntorch._C.f", {"torch._C.f attribute"}),
    # No private torch names:
    "public": ("import torch\ntorch.compile(torch.nn.Linear.forward)", set()),
    "version": ("import torch\ntorch.__version__", set()),
    "operator of an engine": ("import torch\ntorch.ops._C.silu(torch.ops._C_cache_ops)", set()),
    "comment and docstring": ("'''See torch._inductor.ir.'''\nimport torch  # torch._C", set()),
    "parameter": ("from torch import nn\ndef f(nn):\n    return nn._x", set()),
    "rebound": ("from torch import nn\ndef f():\n    nn = 1\n    return nn._x", set()),
    "name of a class for its methods": (
        "import torch\nclass A:\n    x = torch\n    def f(self):\n        return x._y",
        set(),
    ),
    "attribute of an object": ("import torch\nself.torch._x", set()),
}


def engine(folder: Path, **files: str) -> str:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("name", SOURCES)
def test_uses_are_found(name, tmp_path):
    source, expected = SOURCES[name]
    found, sentences = uses(engine(tmp_path / "engine", module="# torch\n" + source))
    assert sentences == []
    assert {f"{use.name} {use.form}" for use in found if use.form != "attribute" or "." in use.name} >= expected
    if name not in ("assignment", "either of two imports"):
        extra = {f"{use.name} {use.form}" for use in found} - expected
        assert extra <= {"torch._inductor.config attribute", "torch._inductor.ir.A attribute"}, extra


def test_a_use_has_its_file_and_line(tmp_path):
    (use,), _ = uses(engine(tmp_path, a__b="import torch\n\ntorch._C.f()\n"))
    assert (use.path, use.line) == ("a/b.py", 3)


@pytest.mark.parametrize(
    "line", ["from engine.a import C", "from .a import C", "from engine import C", "from . import C"]
)
def test_a_name_is_followed_through_the_engines_own_modules(line, tmp_path):
    package = {"engine__" + "__init": "", "engine__a": "from torch._inductor.codecache import FxGraphCache as C\n"}
    folder = Path(engine(tmp_path, **package, engine__b=f"import torch\n{line}\nC.load()\n"))
    (folder / "engine" / "__init__.py").write_text("# torch\nfrom .a import C\n")
    (use,) = [use for use in uses(str(folder))[0] if use.path == "engine/b.py" and use.form == "attribute"]
    assert use.name == "torch._inductor.codecache.FxGraphCache.load"


@pytest.mark.parametrize("line", ["from .shim import *", "from engine.shim import *", "from .shim import cc"])
def test_a_name_is_followed_through_files_that_do_not_name_torch(line, tmp_path):
    files = {"__init": "", "cc": "import torch._inductor.codecache as cc\n", "shim": "from .cc import cc\n"}
    folder = Path(engine(tmp_path / "engine", **files, use=f"{line}\ncc.load()\n"))
    (found,) = [
        use for use in uses(str(folder))[0] if use.path == "use.py" and use.form == "attribute" and use.line == 2
    ]
    assert found.name == "torch._inductor.codecache.load"


GUARDS = {
    "try:\n    torch._C.f()\nexcept {}:\n    pass": ["AttributeError", "(KeyError, Exception)", "builtins.ImportError"],
    "try:\n    from torch._C import f\nexcept {}:\n    f = None\nf()": ["ImportError", "ModuleNotFoundError"],
    "with contextlib.suppress({}):\n    torch._C.f()": ["AttributeError"],
    "if hasattr(torch._C, {}):\n    torch._C.f()": ["'f'"],
    "f = getattr(torch._C, 'f', {})\nf and f()": ["None"],
}


@pytest.mark.parametrize("source", [source.format(word) for source, words in GUARDS.items() for word in words])
def test_a_use_that_is_ready_for_a_missing_name_is_guarded(source, tmp_path):
    found, _ = uses(engine(tmp_path, a=f"import torch\n{source}\n"))
    assert {use.guard for use in found if use.name == "torch._C.f"} == {"torch._C.f"}


def test_a_guarded_import_guards_the_files_that_import_from_there(tmp_path):
    shim = "try:\n    from torch._C import f, C\nexcept ImportError:\n    f = C = None\n"
    found, _ = uses(engine(tmp_path / "engine", shim=shim, a="from engine.shim import C, f\nf()\nC.x\n"))
    assert {(use.name, use.guard) for use in found if use.form == "attribute"} == {
        ("torch._C.f", "torch._C.f"),
        ("torch._C.C.x", "torch._C.C"),
    }


@pytest.mark.parametrize("source", [
    "torch._C.f()",
    "try:\n    torch._C.f()\nexcept KeyError:\n    pass",
    "try:\n    torch._C.f()\nexcept ImportError as e:\n    raise ValueError from e",
    "try:\n    def g():\n        torch._C.f()\nexcept AttributeError:\n    pass",
    "getattr(torch._C, 'f')",
    "try:\n    from torch._C import f\nexcept ImportError:\n    from torch._C import f\nf()",
])  # fmt: skip
def test_a_use_that_needs_the_name_is_not_guarded(source, tmp_path):
    found, _ = uses(engine(tmp_path, a=f"import torch\n{source}\n"))
    assert not all(use.guard for use in found if use.name == "torch._C.f")


def test_modules_that_import_from_each_other_end(tmp_path):
    folder = engine(tmp_path, a="# torch\nfrom b import x\nx._y\n", b="# torch\nfrom a import x\nx._y\n")
    assert uses(folder) == ([], [])


def test_files_that_cannot_be_parsed_are_named_and_installed_packages_are_skipped(tmp_path):
    text = "import torch\ntorch._C.f\n"
    folder = engine(tmp_path, good=text, bad="import torch\n??\n", env__lib__x=text, node_modules__x=text)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    os.mkfifo(tmp_path / "fifo.py")
    found, (sentence,) = uses(folder)
    assert [use.path for use in found] == ["good.py"]
    assert "bad.py: cannot be parsed by this Python" in sentence


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_python_is_an_error(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CompatError):
        uses(str(tmp_path / name))
    assert main(["scan", "--calls", str(tmp_path / name), "torch.whl"]) == 2
    assert capsys.readouterr().err.startswith(f"compat: {tmp_path / name}: there is no ")


# --- what a torch has ----------------------------------------------------------------------------------------------

TORCH = {
    "torch/_C/__init__.pyi": "def _listed(x: int, y: int = ...) -> None: ...\nclass Tensor:\n    def _m(self): ...\n",
    "torch/_a/__init__.py": "from .deep import f as g, C\nfrom .star import *\nimport sys\n",
    "torch/_a/star.py": "def starred(): ...\ndef _hidden(): ...\n",
    "torch/_a/deep.py": """
from torch._C import _from_c
from typing import TYPE_CHECKING, overload
if TYPE_CHECKING:
    from x import Only
@overload
def f(x): ...
def f(x, /, y, z=1, *rest, k, l=2, **kw): ...
try:
    from fast import h
except ImportError:
    def h(a): ...
class Base:
    def inherited(self, a): ...
class C(Base):
    field = 1
    def __init__(self, a, b=2):
        self.on_instance = a
    @property
    def prop(self): ...
    @staticmethod
    def static(x): ...
class External(Outside): ...
@dataclass
class Data:
    a: int
    b: int = 1
class Made:
    def __new__(cls, a): ...
    def __init__(self, *args, **kwargs): ...
class Anything:
    def __new__(cls, *args, **kwargs): ...
@dataclass
class Explicit:
    a: int
    def __init__(self, b): ...
@dataclass
class Fields:
    a: int = field(repr=False)
    b: int = field(default=1)
    c: list = dataclasses.field(default_factory=list)
    d: int = field(init=False)
    e: int = 1
@dataclass(kw_only=True)
class Keywords:
    a: int
c = C(1)
alias = C
numbers = [1]
def late():
    global later
    later = 1
del numbers2
numbers3 = 1
del numbers3
""",
    "torch/_a/schema.thrift": "",
    "torch/_a/model.cpp": "",
    "torch/_a/fast.cpython-311-x86_64-linux-gnu.so": "",
    "torch/_a/fast2.pyd": "",
    "torch/_a/folder/module.py": "",
    "torch/_a/config.py": "option = 1\nclass inner:\n    deep = 1\ninstall_config_module(sys.modules[__name__])\n",
    "torch/utils/__init__.py": "",
    "torch/utils/_config_module.py": "class ConfigModule:\n    _config: dict\n    def patch(self, arg1=None): ...\n",
    "torch/_lazy.py": "def __getattr__(name): ...\n",
    "torch/_moving.py": "import sys\nsys.modules['torch._moving.x'] = sys\n",
    "torchgen/packaged/ATen/native/native_functions.yaml": "- func: _to_copy(Tensor self) -> Tensor\n",
}
ANSWERS = {
    "torch._a.g": "(x, /, y, z=..., *rest, k, l=..., **kw)",
    "torch._a.deep.f": "(x, /, y, z=..., *rest, k, l=..., **kw)",
    "torch._a.deep.h": "(a)",
    "torch._a.C": "(a, b=...)",
    "torch._a.C.field": "yes",
    "torch._a.C.inherited": "(self, a)",
    "torch._a.C.static": "(x)",
    "torch._a.C.gone": "no",
    "torch._a.C.on_instance": "undecided",
    "torch._a.deep.c.on_instance": "yes",
    "torch._a.deep.c.inherited": "(self, a)",
    "torch._a.deep.c.prop": "(self)",
    "torch._a.deep.c.prop.more": "undecided",
    "torch._a.deep.alias.static": "(x)",
    "torch._a.deep.External.x": "undecided",
    "torch._a.deep.Data": "(a, b=...)",
    "torch._a.deep.Made": "(a)",
    "torch._a.deep.Anything": "yes",
    "torch._a.deep.Explicit": "(b)",
    "torch._a.deep.Fields": "(a, b=..., c=..., e=...)",
    "torch._a.deep.Keywords": "(*, a)",
    "torch._a.schema": "no",
    "torch._a.model": "no",
    "torch._a.fast": "yes",
    "torch._a.fast2": "yes",
    "torch._a.folder": "yes",
    "torch._a.deep.numbers": "yes",
    "torch._a.deep.numbers.append": "yes",
    "torch._a.deep.numbers3": "undecided",
    "torch._a.deep.f.cache_clear": "(x, /, y, z=..., *rest, k, l=..., **kw)",
    "torch._a.deep._from_c": "yes",
    "torch._a.deep.Only": "undecided",
    "torch._a.deep.later": "undecided",
    "torch._a.deep.gone": "no",
    "torch._a.starred": "()",
    "torch._a._hidden": "no",
    "torch._a.star": "yes",
    "torch._a.missing.x": "no",
    "torch._a.config.option": "yes",
    "torch._a.config.gone": "no",
    "torch._a.config.inner.deep": "yes",
    "torch._a.config.patch": "(self, arg1=...)",
    "torch._a.config._config": "yes",
    "torch._lazy.x": "undecided",
    "torch._moving.x": "undecided",
    "torch._C._listed": "(x, y=...)",
    "torch._C._not_listed": "undecided",
    "torch._C.Tensor._m": "(self)",
    "torch._C.Tensor._n": "undecided",
    "torch.ops.aten._to_copy": "yes",
    "torch.ops.aten._unknown": "undecided",
    "torch.ops.symm_mem._x": "undecided",
}


def look_up(names, name):
    try:
        found = names.find(name)
    except Missing:
        return "no"
    except Undecided:
        return "undecided"
    return found.parameters or "yes"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return trees.as_tree(tmp_path_factory.mktemp("torch"), trees.written("2.14.0", trees.NATIVE) | TORCH)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_name_is_looked_up_in_the_source(name, tree):
    with opened(tree) as read:
        assert look_up(Names(read), name) == ANSWERS[name]


REAL = [
    "torch._inductor.codecache.FxGraphCache",
    "torch._inductor.config.patch",
    "torch._inductor.config.max_autotune",
    "torch._inductor.config.triton.cudagraphs",
    "torch._dynamo.config.recompile_limit",
    "torch._dynamo.mark_dynamic",
    "torch._inductor.virtualized.V.set_graph_handler",
    "torch._C._distributed_c10d.Store",
    "torch.Tensor._make_subclass",
    "torch._scaled_mm",
    "torch.nn.Module._call_impl",
    "torch.utils._pytree.tree_map",
    "torch._inductor.standalone_compile",
    "torch._inductor.standalone_compile.CompiledArtifact",
    "torch._inductor.no_such_thing",
    "torch._dynamo.config.no_such_option",
]


LIVE = """
import json, pkgutil, sys, torch._inductor.compile_fx
def exists(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
print(json.dumps({name: exists(name) for name in sys.argv[1:]}))
"""


@pytest.mark.slow
def test_a_decided_answer_is_that_of_the_running_torch(python):
    with opened(version.folder()) as read:
        names = Names(read)
        answers = {name: look_up(names, name) for name in REAL}
    assert "undecided" not in answers.values()
    live = json.loads(python("-c", LIVE, *REAL).stdout)
    assert {name: answer != "no" for name, answer in answers.items()} == live


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """An older and a newer torch, which differ in one name of each kind."""
    old = {
        "torch/_a.py": "def same(): ...\ndef changed(x): ...\ndef grown(x): ...\ndef moved(): ...\ndef gone(): ...\n",
        "torch/_b.py": "",
    }
    new = {
        "torch/_a.py": "def same(): ...\ndef changed(x, y): ...\ndef grown(x, y=1): ...\ndef fresh(): ...\n",
        "torch/_b.py": "def moved(): ...\n",
    }
    made = (("2.14.0", old), ("2.15.0", new))
    return [trees.as_tree(tmp_path / v, trees.written(v, trees.NATIVE) | files) for v, files in made]


@pytest.fixture
def caller(tmp_path):
    text = "import torch\nfrom torch import _a\n_a.same()\n_a.same()\n_a.changed()\n_a.grown()\n_a.moved()\n_a.gone()\n"
    text += "_a.fresh()\n_a.never()\n_a.same._mark = True\n_a._ours = 1\ntorch._C._f\n"
    return engine(tmp_path / "engine", module=text)


def test_the_table_says_what_exists_moved_and_changed(caller, two, capsys):
    assert main(["scan", "--calls", caller, *reversed(two)]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[1]: line.split() for line in out.split("\n\n")[1].splitlines()}
    assert rows["name"] == ["uses", "name", "2.14.0", "2.15.0"]
    assert rows["torch._a.same"] == ["3", "torch._a.same", "yes", "yes"]
    assert rows["torch._a.changed"][2:] == ["yes", "changed"]
    assert rows["torch._a.grown"][2:] == ["yes", "changed"]
    assert rows["torch._a.moved"][2:] == ["yes", "moved"]
    assert rows["torch._a.gone"][2:] == ["yes", "no"]
    assert rows["torch._a.fresh"][2:] == ["no", "yes"]
    assert rows["torch._a.never"][2:] == ["no", "no"]
    assert rows["torch._C._f"][2:] == ["undecided", "undecided"]
    assert "torch._a._ours" not in rows
    assert "torch._a.moved\n    2.14.0 -> 2.15.0: moved to torch._b.moved\n    used in module.py:7\n" in out
    assert "torch._a.changed\n    2.14.0 -> 2.15.0: parameters + y\n" in out
    assert "In none of these torches:\n    torch._a.never: used in module.py:10\n" in out
    assert "Undecided:\n    torch._C._f, 2.14.0, 2.15.0: torch._C is compiled, and torch ships no stub of it\n" in out
    assert out.endswith("Set by the engine itself:\n    torch._a._ours: used in module.py:12\n")


def test_against_shows_only_differences_and_fails_for_a_lost_name(caller, two, tmp_path, capsys):
    old, new = two
    assert main(["scan", "--calls", caller, new, "--against", old]) == 1
    out = capsys.readouterr().out
    assert "torch._a.gone" in out
    assert "torch._a.same" not in out
    same = shutil.copytree(old, tmp_path / "same")
    assert main(["scan", "--calls", caller, str(same), "--against", old]) == 0
    assert "nothing differs: 2.14.0 [1], 2.14.0 [2]" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "status"), [("grown", 0), ("changed", 1), ("moved", 1), ("fresh", 0)])
def test_the_exit_status_says_whether_a_call_may_break(name, status, two, tmp_path):
    folder = engine(tmp_path / "one", module=f"import torch\ntorch._a.{name}(1)\n")
    old, new = two
    assert main(["scan", "--calls", folder, new, "--against", old]) == status


def test_a_missing_old_torch_is_an_error_before_any_table(caller, two, capsys):
    assert main(["scan", "--calls", caller, *two, "--against", "none"]) == 2
    assert capsys.readouterr() == ("", "compat: none: there is no such file or folder\n")


def test_json_has_every_use_and_answer(caller, two, capsys):
    assert main(["scan", "--calls", caller, *two, "none", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert [torch["torch"] for torch in said["torches"]] == ["2.14.0", "2.15.0"]
    assert said["unreadable"] == ["none: there is no such file or folder"]
    names = {name["name"]: name for name in said["names"]}
    changed = names["torch._a.changed"]
    assert changed["uses"] == 1
    assert changed["sites"] == [{"path": "module.py", "line": 5, "form": "attribute", "guarded": False}]
    assert [torch["parameters"] for torch in changed["torches"]] == ["(x)", "(x, y)"]
    assert [(one["what"], one["breaks"]) for one in changed["differences"]] == [("parameters + y", True)]
    assert names["torch._a._ours"]["set_by_engine"]
    assert [torch["answer"] for torch in names["torch._a.moved"]["torches"]] == ["yes", "moved"]


def compare(tmp_path, old, new, source):
    """Scan an engine of one file against two torches that differ in the given files. Return the exit status."""
    common = {"torch/__init__.py": "def __getattr__(name): ...\n", "torch/_C/__init__.pyi": "def _listed(): ...\n"}
    common["torch/_C/_VariableFunctions.pyi"] = ""
    paths = []
    for number, files in (("2.14.0", old), ("2.15.0", new)):
        written = trees.written(number, trees.NATIVE) | common | files
        paths.append(trees.as_tree(tmp_path / number, written))
    return main(["scan", "--calls", engine(tmp_path / "engine", a=source), paths[1], "--against", paths[0]])


MODULE = {"torch/_old.py": "def f(): ...\n"}


@pytest.mark.parametrize("source", ["from torch._old import f", "import torch._old", "import torch._old as o\no.f()"])
def test_a_removed_module_of_torch_is_gone(source, tmp_path, capsys):
    assert compare(tmp_path, MODULE, {}, f"{source}\n") == 1
    assert "torch._old" in (out := capsys.readouterr().out)
    assert "2.14.0 -> 2.15.0: gone\n" in out


@pytest.mark.parametrize(("old", "new", "source"), [
    (MODULE, {}, "import torch\ntorch._old.f()\n"),
    ({}, {"torch/_C/__init__.pyi": ""}, "import torch\ntorch._C._listed()\n"),
    ({"torch/_C/_x.pyi": "f = 1\n"}, {}, "from torch._C._x import f\n"),
])  # fmt: skip
def test_a_name_that_becomes_undecided_is_shown_and_does_not_fail(old, new, source, tmp_path, capsys):
    assert compare(tmp_path, old, new, source) == 0
    out = capsys.readouterr().out
    assert "2.14.0 -> 2.15.0: undecided\n" in out
    assert "\nUndecided:\n" in out


SIGNATURES = [
    ("", "a=1", "+ a=...", 0),
    ("", "a", "+ a", 1),
    ("a", "", "- a", 1),
    ("a", "a=1", "a -> a=...", 0),
    ("a=1", "a", "a=... -> a", 1),
    ("a, b", "b, a", "positions changed", 1),
    ("a, b", "a, c=1, b=1", "+ c=..., b -> b=..., positions changed", 1),
    ("a, *r", "a, b=1, *r", "+ b=..., positions changed", 1),
    ("a", "*, a", "a by keyword only", 1),
    ("*, a", "a", "a by position or keyword", 0),
    ("a", "a, /", "a by position only", 1),
    ("a, /", "a", "a by position or keyword", 0),
    ("*a, **b", "*c, **d", None, 0),
    ("*, a, b", "*, b, a", None, 0),
]


@pytest.mark.parametrize(("old", "new", "words", "status"), SIGNATURES)
def test_a_changed_signature_fails_if_a_call_of_the_old_one_may(old, new, words, status, tmp_path, capsys):
    files = [{"torch/_a.py": f"def f({parameters}): ...\n"} for parameters in (old, new)]
    assert compare(tmp_path, *files, "from torch._a import f\nf()\n") == status
    out = capsys.readouterr().out
    assert f"2.14.0 -> 2.15.0: parameters {words}\n" in out if words else "nothing differs" in out


@pytest.mark.parametrize(("old", "new", "name"), [
    ("class C:\n    def f(self): ...\n", "def f(): ...\n", "C.f"),
    ("class C: ...\n", "def C(): ...\n", "C"),
    ("f = 1\n", "def f(): ...\n", "f"),
    ("def f(): ...\n", "class f: ...\n", "f"),
])  # fmt: skip
def test_a_definition_of_another_kind_is_no_move(old, new, name, tmp_path, capsys):
    files = {"torch/_a.py": old}, {"torch/_a.py": "", "torch/_b.py": new}
    assert compare(tmp_path, *files, f"import torch._a\ntorch._a.{name}\n") == 1
    assert "2.14.0 -> 2.15.0: gone\n" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new", "name", "found"), [
    ("_a", "_b", "C.f", "torch._b.C.f"),
    ("_x/a", "_y/a", "C.f", "torch._y.a.C.f"),
])  # fmt: skip
def test_a_method_moves_with_its_class(old, new, name, found, tmp_path, capsys):
    text = "class C:\n    def f(self): ...\n"
    module = f"torch.{old.replace('/', '.')}"
    assert compare(
        tmp_path, {f"torch/{old}.py": text}, {f"torch/{new}.py": text}, f"import {module}\n{module}.{name}\n"
    )
    assert f"moved to {found}\n" in capsys.readouterr().out


GONE = {"torch/_a.py": "def f(): ...\n"}, {"torch/_a.py": ""}


@pytest.mark.parametrize("source", [
    "try:\n    from torch._a import f\nexcept ImportError:\n    f = None\nf and f()\n",
    "import torch._a as a\nif hasattr(a, 'f'):\n    a.f()\n",
    "import torch._a as a\ngetattr(a, 'f', None)\n",
])  # fmt: skip
def test_guarded_uses_do_not_fail(source, tmp_path, capsys):
    assert compare(tmp_path, *GONE, source) == 0
    out = capsys.readouterr().out
    assert "2.14.0 -> 2.15.0: gone (guarded)\n" in out
    assert "used in a.py:2 (guarded)" in out


def test_one_use_that_is_not_guarded_fails(tmp_path, capsys):
    assert compare(tmp_path, *GONE, "import torch._a as a\ntry:\n    a.f()\nexcept Exception:\n    a.f()\n") == 1
    assert "gone\n    used in a.py:3 (guarded), a.py:5\n" in capsys.readouterr().out


def test_a_guarded_import_does_not_excuse_a_missing_attribute(tmp_path):
    files = {"torch/_a.py": "class C:\n    x = 1\n"}, {"torch/_a.py": "class C: ...\n"}
    source = "try:\n    from torch._a import C\nexcept ImportError:\n    C = None\nif C:\n    C.x\n"
    assert compare(tmp_path, *files, source) == 1


@pytest.mark.parametrize(("source", "own"), [
    ("a.f = 1\n", True),
    ("a.f = 1\nhasattr(a, 'f')\n", True),
    ("old = a.f\na.f = 1\n", False),
    ("mock.patch.object(a, 'f')\na.f = 1\n", False),
])  # fmt: skip
def test_a_name_is_the_engines_own_only_if_the_engine_never_needs_torchs(source, own, tmp_path, two, capsys):
    folder = engine(tmp_path / "e", a=f"import torch._a as a\nfrom unittest import mock\n{source}")
    assert main(["scan", "--calls", folder, *two]) == 0
    assert ("Set by the engine itself:\n    torch._a.f:" in capsys.readouterr().out) is own


def test_without_two_torches_nothing_is_said_to_differ(caller, two, capsys):
    assert main(["scan", "--calls", caller, "none", "--against", two[0]]) == 2
    assert capsys.readouterr().out.strip() == ""


def test_an_engine_without_private_names_is_told_so(two, tmp_path, capsys):
    folder = engine(tmp_path / "engine", a="import torch\n", b="")
    assert main(["scan", "--calls", folder, two[1], "--against", two[0]]) == 0
    assert capsys.readouterr().out == f"{folder}: no private torch names in 2 files\n"


def test_an_environment_is_told_to_name_the_package(two, tmp_path, capsys):
    engine(tmp_path / "env", bin__tool="", lib__engine="import torch\n")
    packages = tmp_path / "env" / "site-packages"
    engine(packages, engine__a="import torch._a\n")
    assert main(["scan", "--calls", str(tmp_path / "env"), *two]) == 0
    assert capsys.readouterr().out.endswith(f"to read an installed package, name its folder below {packages}\n")
    assert main(["scan", "--calls", str(packages / "engine"), *two]) == 0
    assert "torch._a" in capsys.readouterr().out


def test_an_environment_without_other_files_is_told_to_name_the_package(tmp_path):
    folder = engine(tmp_path / "env" / "site-packages", engine__a="import torch._a\n")
    with pytest.raises(CompatError, match=f"name its folder below {folder}$"):
        uses(str(tmp_path / "env"))


def test_a_file_that_cannot_be_parsed_fails(two, tmp_path, capsys):
    folder = engine(tmp_path / "engine", a="import torch._a\n", bad="import torch\n??\n")
    assert main(["scan", "--calls", folder, *two]) == 2
    said = capsys.readouterr()
    assert "bad.py: cannot be parsed by this Python" in said.err
    assert "torch._a" in said.out


def test_the_first_line_counts_the_rows(caller, two, capsys):
    assert main(["scan", "--calls", caller, *two]) == 0
    first, table = capsys.readouterr().out.split("\n\n")[:2]
    assert first == f"{caller}: {len(table.splitlines()) - 2} private torch names, 11 uses in 1 files"
    assert main(["scan", "--calls", caller, two[1], "--against", two[0]]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"{first}, 5 names differ"


def test_a_wheel_answers_as_a_tree(caller, two, tmp_path, capsys):
    for number, path in enumerate(two):
        files = {p.relative_to(path).as_posix(): p.read_text() for p in Path(path).rglob("*.py")}
        trees.as_wheel(tmp_path / f"{number}.whl", files)
    assert main(["scan", "--calls", caller, *two]) == 0
    assert main(["scan", "--calls", caller, *(str(tmp_path / f"{n}.whl") for n in (0, 1))]) == 0
    out = capsys.readouterr().out
    assert out[: len(out) // 2] == out[len(out) // 2 :]


def test_nothing_of_the_engine_or_torch_is_imported(caller, two, tmp_path):
    for folder in (caller, *two):
        for path in Path(folder).rglob("*.py"):
            path.write_text(path.read_text() + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    code = f"import sys; from compat.__main__ import main; main(['scan', '--calls', {caller!r}, *{two!r}])"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "expected"), [
    ("torch._C", "torch._C"),
    ("torch.nn.Module", None),
    ("torch.nn.Module._call_impl", "torch.nn.Module._call_impl"),
    ("torch._C.__doc__", "torch._C"),
    ("torch.__version__", None),
    ("torch.fx.experimental", "torch.fx.experimental"),
    ("torch.ops._C.f", None),
    ("torch.ops._c10d_functional.f.default", "torch.ops._c10d_functional.f"),
    ("torchvision._C", None),
])  # fmt: skip
def test_private_names_are_told_from_public_ones(name, expected):
    assert private(name) == expected
