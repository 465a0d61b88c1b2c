"""The live reader and the source reader give the same answers about a module."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compat.errors import CompatError
from compat.probe.definition import Definition, Missing, Parameter, Undecided, parameters_of
from compat.probe.live import LiveReader
from compat.probe.requirements import (
    Behaves,
    Mentions,
    Parameters,
    Refers,
    Requirement,
    Symbol,
    Takes,
    answer,
)
from compat.probe.source import SourceReader
from compat.selection import live_reader
from compat.shims.base import all_shims
from compat.shims.lazy_graph_module import _Calls

counter = itertools.count()


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Iterator[Callable[[str], tuple[str, LiveReader, SourceReader]]]:
    """Write source text as a module with a new name. Returns the name and both readers."""
    package = tmp_path_factory.mktemp("readers")
    sys.path.insert(0, str(package))

    def write(text: str) -> tuple[str, LiveReader, SourceReader]:
        name = f"module_under_test_{next(counter)}"
        (package / f"{name}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return name, live_reader(), SourceReader.installed(str(package / "torch"))

    yield write
    sys.path.remove(str(package))


def found_or_why(reader: LiveReader | SourceReader, target: str) -> Any:
    try:
        found = reader.find(target)
    except (Missing, Undecided) as answered:
        return type(answered).__name__
    return found.kind, found.parameters


def answers(reader: LiveReader | SourceReader, target: str) -> list[bool | None]:
    asked: list[Requirement] = [Symbol(target)]
    asked += [Parameters(target, names) for names in ((), ("a",), ("a", "b"))]
    asked += [Symbol(target, kind) for kind in ("function", "wrapper", "class", "value")]
    asked += [Refers(target, name) for name in ("graph_module", "GraphModule", "inner", "a", "missing")]
    asked += [_Calls(target, "graph_module", "GraphModule"), _Calls(target, "missing", "GraphModule")]
    return [answer(requirement, reader).holds for requirement in asked]


# --- The installed torch -------------------------------------------------------------------------------------------

REQUIREMENTS = [r for shim in all_shims() for r in (*shim.native, *shim.backport)]
INSTALLED = SourceReader.installed(torch.__path__[0])


# The source does not tell what these are (a descriptor, a decorated function, a field's default) or do.
ONLY_LIVE = {
    "torch._functorch._aot_autograd.autograd_cache:check_node_safe",
    "torch._subclasses.fake_tensor:FakeTensor.item_memo",
    "torch._inductor.fx_passes.post_grad:pointless_cumsum_replacement",
    "torch._inductor.fx_passes.reinplace:InplaceableOp.extra_check",
}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_readers_agree_on_every_shim_requirement(requirement):
    live, source = answer(requirement, live_reader()), answer(requirement, INSTALLED)
    assert live.holds is not None
    behaves = isinstance(requirement, Behaves)  # source text cannot tell how torch behaves
    if source.holds is None and (behaves or requirement.target in ONLY_LIVE):
        assert source.requirement == live.requirement
    elif "cannot be imported (ModuleNotFoundError" in live.found:  # says the same in other words
        assert (source.holds, source.found) == (False, f"{requirement.target.partition(':')[0]} does not exist")
    else:
        assert live == source


@pytest.mark.slow
def test_readers_agree_on_every_name_in_probed_modules():
    compared = 0
    for module in sorted({requirement.target.partition(":")[0] for requirement in REQUIREMENTS}):
        for name, thing in list(vars(importlib.import_module(module)).items()):
            members = list(vars(thing)) if isinstance(thing, type) and thing.__module__ == module else []
            for target in (f"{module}:{name}", *(f"{module}:{name}.{member}" for member in members)):
                read = found_or_why(INSTALLED, target)
                # An import makes a submodule an attribute of its package. The source has no such name.
                submodule = isinstance(thing, ModuleType) and thing.__name__ == f"{module}.{name}"
                is_private = re.search(r"\.__|\._\w+?__\w", target)  # as written, and as Python renames it
                if not name.startswith("__") and not is_private and read != "Undecided" and not submodule:
                    assert read == found_or_why(live_reader(), target), target
                    compared += 1
    assert compared > 15


# --- Generated modules ---------------------------------------------------------------------------------------------

PRELUDE = """
import contextlib, types

root = types.SimpleNamespace()

def compatibility(is_backward_compatible):
    def mark(thing):
        return thing
    return mark
"""
BODIES = [
    "return root.graph_module.GraphModule(1)",
    "return root.graph_module.GraphModule",
    "x = root.graph_module; return x.GraphModule()",
    "return [root.graph_module.GraphModule(x) for x in ()]",
    "def inner(): return root.graph_module.GraphModule()\n    return inner",
    "def inner(y: root.graph_module.GraphModule): return y\n    return inner",
    "class inner:\n        def method(self): return root.GraphModule\n    return inner",
    "from os import path as graph_module\n    return graph_module",
    "x: root.graph_module.GraphModule = None\n    return x",
    "return lambda: inner",
    "'GraphModule'",
    "assert root.graph_module, root.graph_module.GraphModule()",
    "yield root.graph_module.GraphModule()",
    "try:\n        root.graph_module.GraphModule()\n    finally:\n        root.inner()",
]
SIGNATURES = [
    "",
    "a",
    "a, b=1",
    "a, /, b, *, c",
    "a, b, *, c=None",
    "*a",
    "*, a",
    "a, *b, c=1, d, **e",
    "**a",
    "a=1, /, *, b: int = 2, c: str",
    "a: 'int', b: dict = {}, *args, **kwargs",
]
DECORATORS = ["compatibility(is_backward_compatible=False)", "contextlib.contextmanager"]


@st.composite
def functions(draw: st.DrawFn, name: str, outermost: tuple[str, ...] = ()) -> str:
    decorators = draw(st.lists(st.sampled_from(outermost), max_size=1)) if outermost else []
    decorators += draw(st.lists(st.sampled_from(DECORATORS), max_size=2, unique=True))
    heads = "".join(f"@{decorator}\n" for decorator in decorators)
    return f"{heads}def {name}({draw(st.sampled_from(SIGNATURES))}):\n    {draw(st.sampled_from(BODIES))}\n"


@st.composite
def modules(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw source text and the names in it. The source alone does not decide about a name with `maybe_`."""
    parts, names = [], []
    for at in range(draw(st.integers(1, 4))):
        shape = draw(st.sampled_from(["function", "class", "if", "try", "twice", "value"]))
        name = f"maybe_{at}" if shape in ("if", "try") else f"name_{at}"
        names.append(name)
        function = draw(functions(name))
        inside = textwrap.indent(function, "    ")
        if shape == "class":
            inside = textwrap.indent(draw(functions("method", ("staticmethod", "classmethod"))), "    ")
            parts.append(f"class {name}:\n    flag = 1\n{inside}")
            names += [f"{name}.method", f"{name}.flag", f"{name}.missing"]
        elif shape == "if":
            parts.append(f"if root is not None:\n{inside}")
        elif shape == "try":
            parts.append(f"try:\n    import missing_module\nexcept ImportError:\n{inside}")
        elif shape == "twice":
            parts.append(f"{draw(functions(name))}\n{function}")
        elif shape == "value":
            parts.append(f"{name}: int = 1")
        else:
            parts.append(function)
    return PRELUDE + draw(st.sampled_from(["", "tail = 1\n"])) + "\n".join(parts), [*names, "missing", "contextlib"]


@given(modules(), st.booleans())
def test_readers_agree_on_generated_modules(both, module, future):
    text, names = module
    name, live, source = both(f"{'from __future__ import annotations' if future else ''}\n{text}")
    for path in names:
        target = f"{name}:{path}"
        if not (path.startswith("maybe") and found_or_why(source, target) == "Undecided"):
            assert found_or_why(live, target) == found_or_why(source, target), target
            assert answers(live, target) == answers(source, target), target


# The source reader may be undecided about these, but never wrong.
TRICKY = {
    "alias": "def g(a): pass\nf = g",
    "attribute set": "def f(a): pass\nf.mark = 1",
    "item set": "f = {}\nf['a'] = 1",
    "attribute of another": "def f(a): pass\nclass C: pass\nC.f = f",
    "tuple": "f, g = len, 1",
    "only declared": "f: int",
    "declared, then defined": "f: int\ndef f(a): pass",
    "async": "async def f(a): pass",
    "lambda": "f = lambda a: a",
    "lru_cache": "import functools\n@functools.lru_cache\ndef f(a): pass",
    "lru_cache called": "import functools\n@functools.lru_cache(maxsize=None)\ndef f(a): pass",
    "decorator with wraps": (
        "import functools\ndef d(g):\n    @functools.wraps(g)\n    def w(*x): pass\n    return w\n@d\ndef f(a): pass"
    ),
    "decorator without wraps": "def d(g):\n    def w(*x): return g(*x)\n    return w\n@d\ndef f(a): pass",
    "decorator that gives a value": "def d(g): return 7\n@d\ndef f(a): pass",
    "decorator that gives itself": "def d(g): return g\n@d\ndef f(a): pass",
    "decorated class": "def d(g): return 7\n@d\nclass f: pass",
    "compatibility by attribute": "class c:\n    def compatibility(g): return g\n@c.compatibility\ndef f(a): pass",
    "star import": "from os.path import *\nf = 1",
    "imported": "from os.path import join as f",
    "imported module": "import os as f",
    "imported submodule": "import os.path",
    "deleted": "def f(a): pass\ndel f",
    "under false": "def f(a): pass\nif 0:\n    def f(a, b): pass",
    "else": "if 1:\n    def f(a): pass\nelse:\n    def f(a, b): pass",
    "in a loop": "for f in (1, 2): pass",
    "in a loop body": "for x in (1,):\n    def f(a): pass",
    "in while": "while True:\n    def f(a): pass\n    break",
    "with as": "import contextlib\nwith contextlib.nullcontext(1) as f: pass",
    "walrus": "(f := 1)",
    "match": "match 1:\n    case f: pass",
    "global in a function": "def g():\n    global f\n    f = 1\ng()",
    "globals by name": "for name in ('f', 'g'):\n    globals()[name] = len",
    "decorators that both readers know": (
        "import functools\ndef forbid_in_graph(g): return g\ndef init_once_fakemode(g):\n"
        "    return functools.cache(functools.wraps(g)(lambda *given: g(*given)))\n"
        "@init_once_fakemode\ndef f(a=1): pass\nclass C:\n    @forbid_in_graph\n    def f(self, a): pass"
    ),
    "module getattr": "def __getattr__(name): return 1",
    "augmented": "f = 1\nf += 1",
    "nested name": "def f(a):\n    def inner(): pass",
    "method with super": "class C:\n    def f(self, a): return super().f(a)",
    "method with private name": "class C:\n    def f(self, __a): return self.__b",
    "property": "class C:\n    @property\n    def f(self): pass",
    "cached property": "import functools\nclass C:\n    @functools.cached_property\n    def f(self): pass",
    "inherited": "class B:\n    def f(self, a): pass\nclass C(B): pass",
    "method alias": "class C:\n    def g(self, a): pass\n    f = g",
    "nested class": "class C:\n    class D:\n        def f(self): pass",
    "value's attribute": "import types\nC = types.SimpleNamespace(f=1)",
    "overload": "import typing\n@typing.overload\ndef f(a: int): ...\ndef f(a): pass",
    "wraps itself": "def f(a): pass\nf.__wrapped__ = len",
    "finally": "try:\n    f = 1\nfinally:\n    def f(a): pass",
    "try else": "try:\n    pass\nexcept ValueError:\n    f = 1\nelse:\n    def f(a): pass",
    "unused except": "def f(a): pass\ntry:\n    pass\nexcept ValueError:\n    def f(a, b): pass",
    "inherited from there": "class B:\n    f = 1\nclass C(B): pass",
    "metaclass": "class M(type):\n    f = 1\nclass C(metaclass=M): pass",
    "decorated": "def add(c):\n    setattr(c, 'f', 1)\n    return c\n@add\nclass C: pass",
    "except as": "def f(a): pass\ntry:\n    1 / 0\nexcept ZeroDivisionError as f: pass",
}


@pytest.mark.parametrize("what", TRICKY)
def test_source_reader_is_undecided_or_right(both, what):
    name, live, source = both(TRICKY[what])
    for path in ("f", "f.inner", "C.f", "C.D.f", "join", "os"):
        read = found_or_why(source, f"{name}:{path}")
        if read != "Undecided":
            assert read == found_or_why(live, f"{name}:{path}"), path
            for said, is_so in zip(answers(source, f"{name}:{path}"), answers(live, f"{name}:{path}")):
                assert said in (None, is_so), path


@pytest.mark.parametrize(
    "signature", ["", "a", "a, *b", "a, **c", "*b, **c", "a, /, b=2, *, c, d=1", "a, *, d=1, **c", "a, *b, c, **d"]
)
def test_parameters_of_agrees_with_inspect_signature(signature):
    space: dict[str, Any] = {}
    exec(f"def function({signature}):\n    here = there = 1\n    return here, there", space)
    function = space["function"]
    found = parameters_of(function.__code__, len(function.__defaults__ or ()), set(function.__kwdefaults__ or ()))
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    expected = {
        p.name: p.default is p.empty and p.kind not in rest for p in inspect.signature(function).parameters.values()
    }
    assert {parameter.name: parameter.required for parameter in found} == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_readers_agree_on_type_parameters(both):
    name, live, source = both("def f[T](a: T): pass")
    assert found_or_why(source, f"{name}:f") in ("Undecided", found_or_why(live, f"{name}:f"))


# --- Modules that cannot be read -----------------------------------------------------------------------------------


def test_missing_or_broken_module_is_absent(both):
    broken, live, _ = both("raise RuntimeError('no driver')")
    assert answer(Symbol(f"{broken}:f"), live) == (
        f"{broken}:f exists",
        False,
        f"{broken} cannot be imported (RuntimeError: no driver)",
    )
    assert answer(Symbol("missing_module:f"), live).holds is False
    assert answer(Symbol("missing_module:f"), SourceReader(lambda path: None)).holds is False


@pytest.mark.parametrize("text", ["def f(:", "\0", "match = (", "f = 1\n  g = 2"])
def test_unparsable_source_is_undecided(text):
    assert answer(Symbol("m:f"), SourceReader(lambda path: text)).holds is None


def test_source_reader_reads_package_from_init_file():
    files = {"p/__init__.py": "def f(a): pass", "p/q.py": "class C: pass"}
    source = SourceReader(files.get)
    assert source.find("p:f").kind == "function"
    assert source.find("p.q:C") == Definition("class")


def test_source_reader_runs_no_code(both):
    name, _, source = both("import sys\nsys.was_run = True\ndef f(a=sys.exit()): pass")
    assert source.find(f"{name}:f").parameters == (Parameter("a", "positional", False),)
    assert not hasattr(sys, "was_run")
    assert name not in sys.modules


def test_live_reader_runs_no_property_and_no_getattr(both):
    name, live, _ = both(
        "def __getattr__(name): raise RuntimeError\n"
        "class Meta(type):\n    def __getattr__(cls, name): raise RuntimeError\n"
        "class C(metaclass=Meta):\n    @property\n    def f(self): raise RuntimeError\n"
    )
    assert found_or_why(live, f"{name}:missing") == "Missing"
    assert found_or_why(live, f"{name}:C.missing") == "Missing"
    assert found_or_why(live, f"{name}:C.f") == ("value", ())


def test_live_reader_ends_at_a_function_that_wraps_itself(both):
    name, live, _ = both("def f(x): pass\nf.__wrapped__ = f\n")
    assert found_or_why(live, f"{name}:f")[0] == "function"


def test_unreadable_file_is_undecided_and_missing_file_is_missing(tmp_path: Path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "odd.py").write_bytes(b"# \xff")
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "compiled.pyc").touch()
    (tmp_path / "torch" / "extension.abi3.so").touch()
    (tmp_path / "torch" / "namespace").mkdir()
    source = SourceReader.installed(str(tmp_path / "torch"))
    for name in ("odd", "compiled", "extension", "namespace"):
        assert found_or_why(source, f"torch.{name}:f") == "Undecided"
    assert found_or_why(source, "torch.missing:f") == "Missing"
    assert found_or_why(source, "torch:f") == "Missing"


def test_torch_without_any_source_is_undecided(tmp_path: Path):
    (tmp_path / "torch").mkdir()  # a frozen program keeps the modules in an archive
    source = SourceReader.installed(str(tmp_path / "torch"))
    assert found_or_why(source, "torch:f") == found_or_why(source, "torch.fx.graph:f") == "Undecided"


# --- Requirements and their messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "says", "objects"),
    [
        (Symbol("m:C"), "m:C exists", None),
        (Symbol("m:C", "class"), "m:C is a class", None),
        (Symbol("m:C", "function"), "m:C is a function", "it is a class"),
        (Symbol("m:v", "value"), "m:v is a value", None),
        (Parameters("m:f", ("a",)), "m:f takes (a)", None),
        (Parameters("m:f", ("b",)), "m:f takes (b)", "it takes (a, b)"),
        (Parameters("m:f", ()), "m:f takes ()", "it takes (a, b)"),
        (Parameters("m:v", ()), "m:v takes ()", "it is a value"),
        (Refers("m:f", "y"), "m:f refers to y", None),
        (Refers("m:f", "b"), "m:f refers to b", "its body does not"),
        (Refers("m:C", "y"), "m:C refers to y", "it is a class"),
        (_Calls("m:f", "x", "y"), "m:f calls x.y", None),
        (_Calls("m:f", "y", "x"), "m:f calls y.x", "its body does not"),
        (_Calls("m:v", "x", "y"), "m:v calls x.y", "it is a value"),
    ],
    ids=str,
)
def test_answer_states_requirement_and_finding(requirement, says, objects):
    source = SourceReader(lambda path: "class C: pass\nv = 1\ndef f(a, b=1): return g.x.y(1)")
    assert answer(requirement, source) == (says, objects is None, objects or "it does")


def test_answer_keeps_any_exception_but_that_torch_is_not_whole():
    class Raising:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def find(self, target: str) -> Definition:
            raise self.error

    found = answer(Symbol("m:x"), Raising(OSError("stale file handle")))
    assert found == ("m:x exists", False, "reading it raises OSError: stale file handle")
    with pytest.raises(CompatError, match="half imported"):
        answer(Symbol("m:x"), Raising(CompatError("half imported")))


@pytest.mark.parametrize(
    ("requirement", "explain_failure"),
    [
        (Takes("torch.fx:Graph", "owning_module"), "it is a class"),
        (Mentions("torch.fx:Graph", "graph"), "it is a class"),
        (Refers("torch.fx:Graph", "graph"), "it is a class"),
        (_Calls("torch.fx:Graph", "graph", "lint"), "it is a class"),
        (
            Behaves("torch.fx:Graph", "counts to three", lambda graph: str(graph.three)),
            "trying it out raises AttributeError",
        ),
    ],
)
def test_definition_of_wrong_kind_fails_requirement_without_exception(
    requirement: Requirement, explain_failure: str
) -> None:
    found = answer(requirement, live_reader())
    assert found.holds is False
    assert explain_failure in found.found
