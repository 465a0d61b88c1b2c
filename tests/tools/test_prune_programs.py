"""Random programs around gates: what `prune` says of them is true on many versions, and --fix keeps what they do."""

import ast
import itertools
import random
import re
from collections import Counter

import pytest
from helpers.prune import Supposed, always, place_of, torch_with
from helpers.this_torch import same_on_every_torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compat.tools.prune.command import run
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch

HEAD = """\
import torch
from packaging.version import Version
def at_least(number, sure=True):
    own = Version(torch.__version__.split("+")[0])
    if not sure:
        return own > Version(number)
    return own >= Version(number)
"""
VERSIONS = [
    "2.9.1",
    "2.10.0",
    "2.11.0.dev20260101",
    "2.11.0a0+git1",
    "2.11.0",
    "2.12.0+cpu",
    "2.12.1rc1",
    "2.13.0.post1",
    "3.0.0",
]
# An example takes a second: making a failing one smaller would take minutes.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
SPECS = [">=2.9", ">=2.11", "==2.12.*", "<2.12", "==2.11.0"]
NUMBERS = st.sampled_from(["2.8", "2.10", "2.11", "2.11.0", "2.12", "2.13", "4"])
NAMES = st.sampled_from("abc")
LEAVES = st.one_of(
    NAMES,
    st.just("u()"),
    st.sampled_from(["True", "False", "K.new", "box.new", "len(xs) > 0", "d['new']"]),
    st.builds("at_least('{}')".format, NUMBERS),
    st.builds("at_least('{}', sure=False)".format, NUMBERS),
    st.builds("Version(torch.__version__) >= Version('{}')".format, NUMBERS),
    st.builds("torch.__version__ < '{}'".format, NUMBERS),
    st.builds("tuple(map(int, torch.__version__.split('.')[:2])) == (2, {})".format, st.integers(9, 13)),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("(not {})".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("({} := {})".format, NAMES, inner),
        st.builds("any([{}, {}])".format, inner, inner),
    ),
    max_leaves=3,
)
SIMPLE = st.one_of(
    st.builds("{} = {}".format, NAMES, EXPRESSIONS),
    st.builds("{}, {} = {}, {}".format, NAMES, NAMES, EXPRESSIONS, EXPRESSIONS),
    st.builds("{} &= {}".format, NAMES, EXPRESSIONS),
    st.builds("K.new = {}".format, EXPRESSIONS),
    st.builds("box.new = {}".format, EXPRESSIONS),
    st.builds("d['new'] = {}".format, EXPRESSIONS),
    st.builds("xs.append({})".format, EXPRESSIONS),
    st.builds("globals()['{}'] = u()".format, NAMES),
    st.builds("setattr(K, 'new', {})".format, EXPRESSIONS),
    st.builds("del {}".format, NAMES),
    st.builds("[{} := x for x in (u(), {})]".format, NAMES, EXPRESSIONS),
    st.builds("{} = f()".format, NAMES),
    st.just("if u(): raise ValueError"),
    st.just("xs.clear()"),
)
BLOCKS = (
    ("if {}:", "else:"),
    ("for {} in (u(), {}):", None),
    ("while u():", None),
    ("try:", "except ValueError:"),
    ("try:", "finally:"),
    ("with box as {}:", None),
    ("for _ in (1, 2):", None),
)


@st.composite
def blocks(draw, depth=1):
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        if not depth or draw(st.booleans()):
            lines.append(draw(SIMPLE))
            continue
        head, other = draw(st.sampled_from(BLOCKS))
        fill = [draw(EXPRESSIONS)] if head.startswith("if") else [draw(NAMES), draw(EXPRESSIONS)]
        lines += [head.format(*fill), *indented(draw(blocks(depth - 1)))]
        if other and (other != "else:" or draw(st.booleans())):
            lines += [other, *indented(draw(blocks(depth - 1)))]
    return lines


@st.composite
def programs(draw):
    changed = draw(st.lists(NAMES, max_size=1))
    function = [f"global {name}" for name in changed] + draw(blocks(0)) + [f"return {draw(EXPRESSIONS)}"]
    first = [f"{name} = {draw(EXPRESSIONS)}" for name in "abc"]
    ends = [f"if {name}: pass" for name in ("a", "b", "c", "f()", "K.new", "box.new", "d['new']", "xs")]
    start = ["xs = []", f"d = {{'new': {draw(EXPRESSIONS)}}}", "class K:", f"    new = {draw(EXPRESSIONS)}"]
    method = f"    def __init__(self): self.new = {draw(EXPRESSIONS)}"
    others = ["    def __enter__(self): return self.new", "    def __exit__(self, *error): ..."]
    box = ["class Box:", method, *others, "box = Box()"]
    function = ["def f():", *indented(function)]
    return "\n".join([*first[:1], *start, *box, *first[1:], *function, *draw(blocks()), *ends])


def indented(lines):
    return [f"    {line}" for line in lines]


class Watched(ast.NodeTransformer):
    """Puts a call around each condition, which notes its truth."""

    def visit(self, node):
        node = self.generic_visit(node)
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            key = ast.Constant(place_of(node.test))
            node.test = ast.Call(ast.Name("note", ast.Load()), [key, node.test], [])
        return node


def truths(source, version, seed):
    """Run a program once. Return the truths of each condition, by its place."""
    found, chance = {}, random.Random(seed)

    def note(place, value):
        found.setdefault(place, set()).add(bool(value))
        return value

    names = {"note": note, "u": lambda: chance.random() < 0.5, "__name__": "engine"}
    tree = ast.fix_missing_locations(Watched().visit(ast.parse(source)))
    with torch_with(Supposed(version)):
        try:
            exec(compile(tree, "engine", "exec"), names)
        except Exception:  # noqa: BLE001 (a name that is not bound: the program ends there)
            pass
    return found


@settings(deadline=None, max_examples=40, phases=NO_SHRINKING, derandomize=True)
@given(programs(), st.sampled_from(SPECS))
def test_condition_that_is_always_one_thing_is_that_in_every_run(tmp_path_factory, program, spec):
    source = HEAD + program + "\n"
    claimed = always(tmp_path_factory.mktemp("engine"), source, spec)
    if not claimed:
        return
    inside = [version for version in VERSIONS if version in torch_range(spec)]
    for version in inside:
        for seed in range(6):
            for place, seen in truths(source, version, seed).items():
                if place in claimed:
                    assert seen == {claimed[place]}, f"line {place[0]} on {version}\n{source}"


def numbered(program):
    """Give each question and each note of a program a number of its own."""
    numbers = itertools.count()
    asked = re.sub(r"u\(\)", lambda _: f"u({next(numbers)})", program)
    return HEAD + re.sub(r": pass$", lambda _: f": log({next(numbers)})", asked, flags=re.MULTILINE) + "\n"


def notes(source, version, seed):
    """Run a program once. Return its notes, or None if it raises an exception."""
    found, asked = [], Counter()

    def u(number):
        asked[number] += 1
        return asked[number] < 6 and random.Random(f"{seed}/{number}/{asked[number]}").random() < 0.5

    with torch_with(Supposed(version)):
        try:
            exec(compile(source, "engine", "exec"), {"u": u, "log": found.append, "__name__": "engine"})
        except Exception:  # noqa: BLE001 (removing code may remove its error)
            return None
    return found


@settings(
    deadline=None,
    max_examples=30,
    phases=NO_SHRINKING,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(programs(), st.sampled_from(SPECS))
def test_program_does_the_same_after_fix(tmp_path_factory, capsys, program, spec):
    pytest.importorskip("libcst")
    path = tmp_path_factory.mktemp("engine") / "engine.py"
    before = numbered(program)
    path.write_text(before)
    run([str(path)], [spec], fix=True)
    after = path.read_text()
    for version in VERSIONS if after != before else ():
        for seed in range(3 if version in torch_range(spec) else 0):
            right = notes(before, version, seed)
            assert right is None or notes(after, version, seed) == right, f"{version}, {seed}\n{before}\n{after}"


def test_a_wrong_claim_would_be_seen():
    source = HEAD + "if at_least('2.11'): pass\n"
    assert truths(source, "2.10.0", 0) == {(5, 7, 5, 15): {False}, (8, 3, 8, 19): {False}}
    assert truths(source, "2.12.0", 0) == {(5, 7, 5, 15): {False}, (8, 3, 8, 19): {True}}
