"""`trampoline` and `redirect_calls` build code objects that call another function and change nothing else."""

from __future__ import annotations

import inspect
import random
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.patching.bytecode import trampoline
from compat.shims._redirect import _LOAD_METHOD, _SHIFT, redirect_calls

# --- trampoline --------------------------------------------------------------------------------------------------

P = inspect.Parameter
ORDER = [P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD, P.VAR_POSITIONAL, P.KEYWORD_ONLY, P.VAR_KEYWORD]
NAMES = ["a", "b", "c", "_", "self", "replacement", "args", "kwargs", "f", "x1", "é", "__dunder__"]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    kinds = sorted(draw(st.lists(st.sampled_from(ORDER), max_size=7)))
    kinds = [
        kind for at, kind in enumerate(kinds) if kind not in (P.VAR_POSITIONAL, P.VAR_KEYWORD) or kind != kinds[at - 1]
    ]
    names = draw(st.permutations(NAMES))
    parameters, optional = [], False
    for name, kind in zip(names, kinds):
        if kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD):
            optional = optional or draw(st.booleans())
            default = f"default {name}" if optional else P.empty
        elif kind == P.KEYWORD_ONLY:
            default = draw(st.sampled_from([P.empty, f"default {name}"]))
        else:
            default = P.empty
        parameters.append(P(name, kind, default=default))
    return inspect.Signature(parameters)


@st.composite
def calls(draw: st.DrawFn, signature: inspect.Signature) -> tuple[list[Any], dict[str, Any]]:
    """Draws arguments for a call, most of which match the signature."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_position = True
    for parameter in signature.parameters.values():
        value = draw(st.integers())
        if parameter.kind == P.VAR_POSITIONAL:
            args += draw(st.lists(st.integers(), max_size=2)) if by_position else []
        elif parameter.kind == P.VAR_KEYWORD:
            kwargs |= draw(st.dictionaries(st.sampled_from(["more", "rest", "other"]), st.integers(), max_size=2))
        elif parameter.default is not P.empty and draw(st.booleans()):
            by_position = False
        elif parameter.kind == P.KEYWORD_ONLY or (parameter.kind == P.POSITIONAL_OR_KEYWORD and not by_position):
            kwargs[parameter.name] = value
        elif by_position and parameter.kind == P.POSITIONAL_OR_KEYWORD and draw(st.booleans()):
            by_position = False
            kwargs[parameter.name] = value
        elif by_position:
            args.append(value)
    return args, kwargs


def define(signature: inspect.Signature) -> types.FunctionType:
    space: dict[str, Any] = {}
    source = f"\n\n\ndef function{signature}:\n    'Its doc.'\n    here = 0\n    del here\n    return locals()\n"
    exec(compile(source, "torch/file.py", "exec", dont_inherit=True), space)
    return space["function"]


def looks(function: types.FunctionType) -> list[Any]:
    code = function.__code__
    return [
        inspect.signature(function),
        function.__defaults__,
        function.__kwdefaults__,
        function.__name__,
        function.__qualname__,
        function.__module__,
        function.__doc__,
        function.__annotations__,
        (code.co_name, code.co_filename, code.co_firstlineno, code.co_argcount, code.co_kwonlyargcount),
        getattr(code, "co_qualname", None),
    ]


def outcome(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return str(error)


@given(st.data())
def test_trampoline_keeps_signature_and_returns_replacement_result(data):
    signature = data.draw(signatures())
    function, direct = define(signature), define(signature)
    before = looks(function)
    function.__code__ = trampoline(function.__code__, direct)
    assert looks(function) == before
    args, kwargs = data.draw(calls(signature))
    assert outcome(function, args, kwargs) == outcome(direct, args, kwargs)


@given(signatures(), st.lists(st.integers(), max_size=4), st.dictionaries(st.sampled_from(NAMES), st.integers()))
def test_trampoline_raises_same_type_error_as_direct_call(signature, args, kwargs):
    function, direct = define(signature), define(signature)
    function.__code__ = trampoline(function.__code__, direct)
    assert outcome(function, args, kwargs) == outcome(direct, args, kwargs)


def test_trampoline_accepts_any_callable_without_global_lookup():
    function = define(inspect.Signature([P("a", P.POSITIONAL_OR_KEYWORD)]))
    for replacement in (lambda a: [a], [].__eq__, type("Callable", (), {"__call__": lambda self, a: a})()):
        function.__code__ = trampoline(function.__code__, replacement)
        assert function.__code__.co_names == ("__call__",)
        assert function(5) == replacement(5)


def test_trampoline_passes_exception_object_through():
    function, error = define(inspect.Signature()), ValueError("mine")

    def fail() -> None:
        raise error

    function.__code__ = trampoline(function.__code__, fail)
    with pytest.raises(ValueError, match="mine") as caught:
        function()
    assert caught.value is error


def test_trampoline_of_a_generator_function_is_one():
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def doubled(to: int) -> Iterator[int]:
        try:
            for number in range(to):
                yield 2 * number
        finally:
            closed.append(to)

    closed: list[int] = []
    count.__code__ = trampoline(count.__code__, doubled)  # Python 3.13 warns of another kind of code
    assert inspect.isgeneratorfunction(count)
    assert list(count(3)) == [0, 2, 4]
    started = count(2)
    assert next(started) == 0
    started.close()
    assert closed == [3, 2]


def test_trampoline_supports_private_parameter_names():
    class Thing:
        def method(self, __private: int, *, __named: int = 2) -> tuple[int, int]:
            return __private, __named

    function = Thing.__dict__["method"]
    original = types.FunctionType(function.__code__, function.__globals__, "original", function.__defaults__)
    original.__kwdefaults__ = function.__kwdefaults__
    function.__code__ = trampoline(function.__code__, original)
    assert Thing().method(1) == (1, 2)


# --- redirect_calls ------------------------------------------------------------------------------------------------

OLD, NEW = ("graph_module", "GraphModule"), ("_lazy_graph_module", "_make")
# Statement -> its output before and after redirection. Only calls of `….graph_module.GraphModule(...)` change.
STATEMENTS = {
    "say(root.graph_module.GraphModule())": ("old()", "new()"),
    "say(root.graph_module.GraphModule(1, 'two'))": ("old(1, 'two')", "new(1, 'two')"),
    "say(root.graph_module.GraphModule(root.graph_module.GraphModule(1), [2]))": (
        "old('old(1)', [2])",
        "new('new(1)', [2])",
    ),
    "here: dict[str, root.graph_module.GraphModule] = say('annotated')": ("annotated", "annotated"),
    "def inner(x: root.graph_module.GraphModule = 3): return x\n    say(inner.__annotations__)": (
        "{'x': Old}",
        "{'x': Old}",
    ),
    "say(isinstance(root, root.graph_module.GraphModule))": ("False", "False"),
    "keep = root.graph_module.GraphModule; say(keep(4))": ("old(4)", "old(4)"),
    "say(root.graph_module.other(5))": ("other(5)", "other(5)"),
    "say(root.elsewhere.GraphModule(6))": ("elsewhere(6)", "elsewhere(6)"),
    "module = root.graph_module; say(module.GraphModule(7))": ("old(7)", "old(7)"),
    "say((lambda: root.graph_module.GraphModule(8))())": ("old(8)", "old(8)"),
    "for number in range(2):\n        say(root.graph_module.GraphModule(number))": ("old(0) old(1)", "new(0) new(1)"),
    "try:\n        say(root.graph_module.GraphModule(None))\n    finally:\n        say('finally')": (
        "old(None) finally",
        "new(None) finally",
    ),
}


class Kind(type):
    """A metaclass whose classes return a text when called, so that a test sees which class was called."""

    def __call__(cls, *args: Any) -> str:
        return f"{cls.__name__.lower()}({', '.join(map(repr, args))})"

    def __repr__(cls) -> str:
        return cls.__name__


def build(statements: list[str]) -> tuple[types.FunctionType, list[str]]:
    said: list[str] = []
    root = types.SimpleNamespace(
        graph_module=types.SimpleNamespace(GraphModule=Kind("Old", (), {}), other=lambda x: f"other({x})"),
        elsewhere=types.SimpleNamespace(GraphModule=lambda x: f"elsewhere({x})"),
        _lazy_graph_module=types.SimpleNamespace(_make=Kind("New", (), {})),
        pad=types.SimpleNamespace(**{f"p{at}": None for at in range(400)}),
    )
    space = {"root": root, "say": lambda what: said.append(str(what))}
    body = "\n    ".join(["pass", *statements])
    exec(compile(f"def function():\n    {body}\n", "file.py", "exec", dont_inherit=True), space)
    return space["function"], said


def run(function: types.FunctionType, said: list[str]) -> str:
    said.clear()
    function()
    return " ".join(said)


@given(st.lists(st.sampled_from(list(STATEMENTS)), max_size=8), st.integers(0, 40), st.randoms(use_true_random=False))
def test_redirect_calls_changes_only_matching_calls(statements, padding, chance):
    pads = [f"root.pad.p{at}" for at in range(padding)]
    places = sorted(chance.choices(range(len(statements) + 1), k=len(pads)))
    lines = statements[:]
    for place, pad in sorted(zip(places, pads), reverse=True):
        lines.insert(place, pad)
    function, said = build(lines)
    assert run(function, said) == " ".join(STATEMENTS[s][0] for s in statements)
    code, before = redirect_calls(function.__code__, OLD, NEW), function.__code__
    assert (code is not None) == any(STATEMENTS[s][0] != STATEMENTS[s][1] for s in statements), (
        "redirect_calls returns a code object if and only if the body has a matching call"
    )
    if code is not None:
        function.__code__ = code
        assert run(function, said) == " ".join(STATEMENTS[s][1] for s in statements)
        assert len(code.co_code) == len(before.co_code)
        assert list(code.co_lines()) == list(before.co_lines())
        assert (code.co_stacksize, code.co_flags, code.co_consts) == (
            before.co_stacksize,
            before.co_flags,
            before.co_consts,
        )
        assert code.co_names[: len(before.co_names)] == before.co_names


CALL = "say(root.graph_module.GraphModule(1))"


@pytest.mark.parametrize("count", [*range(100, 132), *range(240, 265), 300, 390])
@pytest.mark.parametrize("first", ["names", "call"])
def test_redirect_calls_returns_none_if_name_index_exceeds_one_byte(count, first):
    pads = [f"root.pad.p{at}" for at in range(count)]
    function, said = build([*pads, CALL] if first == "names" else [CALL, *pads])
    code = redirect_calls(function.__code__, OLD, NEW)
    last = len(function.__code__.co_names) + 1  # index of the second new name
    assert (code is not None) == ((last << _SHIFT | _SHIFT) <= 255)
    if code is not None:
        function.__code__ = code
        assert run(function, said) == "new(1)"


def test_redirect_calls_distinguishes_name_indices_with_equal_low_byte():
    for count in random.Random(0).sample(range(100, 390), 40):
        pads = [f"root.pad.p{at}" for at in range(count)]
        far = [f"keep = root.pad; keep.p{at}" for at in range(count)]
        function, said = build(["say(root.graph_module)", "say(root.elsewhere.GraphModule(1))", *pads, *far])
        before = run(function, said)
        code = redirect_calls(function.__code__, OLD, NEW)
        assert code is None
        assert run(function, said) == before


@pytest.mark.parametrize(
    "body",
    [[], ["say(root.graph_module)"], ["say(root.elsewhere.GraphModule(1))"], ["say(root.graph_module.GraphModule)"]],
)
def test_redirect_calls_returns_none_without_matching_call(body):
    function, _ = build(body)
    assert redirect_calls(function.__code__, OLD, NEW) is None


def test_redirect_calls_works_if_body_has_only_the_two_names():
    def function(root: Any) -> Any:
        return root.graph_module.GraphModule(1)

    root = build([])[0].__globals__["root"]
    function.__code__ = redirect_calls(function.__code__, OLD, NEW)
    assert function(root) == "new(1)"


def test_redirect_calls_ignores_call_bytes_at_odd_offset():
    """A namespace stands in for the code object: the interpreter would crash on a real one with such opcodes."""
    function, _ = build([CALL])
    raw, method = function.__code__.co_code, function.__code__.co_names.index(OLD[1])
    at = raw.index(bytes((_LOAD_METHOD, method << _SHIFT | _SHIFT)))
    call = raw[max(before for before in range(0, at, 2) if raw[before]) : at + 2]
    for padding in (b"\0\0", b"\0"):
        code = types.SimpleNamespace(co_code=padding + call + padding, co_names=function.__code__.co_names)
        code.replace = lambda **changed: changed
        found = redirect_calls(code, OLD, NEW)
        assert (found is not None) == (len(padding) == 2)


def test_exception_in_redirected_call_reports_line_of_call():
    function, _ = build(["say(1)", "say(root.graph_module.GraphModule(1))"])
    del function.__globals__["root"]._lazy_graph_module
    function.__code__ = redirect_calls(function.__code__, OLD, NEW)
    with pytest.raises(AttributeError, match="_lazy_graph_module") as caught:
        function()
    assert caught.traceback[-1].lineno + 1 == 4
