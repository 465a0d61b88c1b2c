"""`fx_node_creation`: torch warns of the same arguments with the shim and without it."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from helpers.this_torch import RELEASE
from helpers.torch_state import status_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.fx import Graph
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.immutable_collections import immutable_dict, immutable_list
from torch.utils import _pytree

import compat
from compat.probe.definition import Definition
from compat.probe.requirements import answer
from compat.shims import fx_node_creation
from compat.shims.fx_node_creation import SHIM, _without_walk

WALKS = RELEASE >= (2, 13)
SHAPES = ShapeEnv()
INT, FLOAT, BOOL = (
    SHAPES.create_unbacked_symint(),
    SHAPES.create_unbacked_symfloat(),
    SHAPES.create_unbacked_symbool(),
)


class Pair(NamedTuple):
    first: Any
    second: Any


class OwnTuple(tuple):
    __slots__ = ()


class OwnList(list):
    pass


class OwnDict(dict):
    pass


class Custom:
    """A pytree node."""

    def __init__(self, *items: Any) -> None:
        self.items = items


class Late(Custom):
    """A pytree node that a test registers while the shim is in."""


class Liar:
    """Not symbolic by its type, but `isinstance` says so."""

    @property
    def __class__(self) -> Any:
        return torch.SymInt


def flatten(custom: Custom) -> tuple[list[Any], None]:
    return list(custom.items), None


_pytree.register_pytree_node(Custom, flatten, lambda items, _: Custom(*items))


@pytest.fixture
def installed() -> Iterator[None]:
    compat.install("fx_node_creation")
    yield
    compat.uninstall("fx_node_creation")


def create(op: str, args: Any, kwargs: Any) -> Any:
    return Graph().create_node(op, torch.add, args, kwargs)


def seen(make: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """Return the result, and the warnings with the lines that they point at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            node = make()
            result: Any = (node.op, node.args, node.kwargs, node.name)
        except Exception as error:  # noqa: BLE001 (which one it is is compared)
            result = (type(error), str(error))
    return result, [(w.category, str(w.message), w.filename, w.lineno) for w in caught]


def same_with_and_without(make: Callable[[], Any]) -> list[Any]:
    without = seen(make)
    compat.install("fx_node_creation")
    try:
        shimmed = seen(make)
    finally:
        compat.uninstall("fx_node_creation")
    assert repr(shimmed) == repr(without)
    return without[1]


FORMS: list[tuple[Any, bool]] = [
    ((INT,), True),
    ((FLOAT,), True),
    ((BOOL,), True),
    ((1, 2.0, "s", None, True, 1j, torch.float32, torch.device("cpu")), False),
    ((1, INT), True),
    (([1, INT],), True),
    (((1, (2, [3, INT])),), True),
    (({"k": {"l": [INT]}},), True),
    (({INT.node: 1},), False),  # keys are no leaves
    ((immutable_list([1, immutable_list([INT])]),), True),
    ((immutable_dict({"k": INT}),), True),
    ((slice(0, INT),), False),  # a slice is a leaf
    ((slice(0, 1), [slice(None)]), False),
    ((OwnTuple((INT,)),), False),  # so are types that are not registered
    ((OwnList([INT]),), False),
    ((OwnDict(k=INT),), False),
    (({INT.node.expr},), False),
    ((Pair(1, INT),), True),
    ((Pair(1, 2),), False),
    (([Pair(1, [INT])],), True),
    ((collections.OrderedDict(k=INT),), True),
    ((collections.defaultdict(int, k=INT),), True),
    ((collections.deque([INT]),), True),
    ((torch.Size([2, 3]),), False),
    ((Custom(1, [INT]),), True),
    ((Custom(1, 2),), False),
    (([Custom(Custom(INT))],), True),
    ((torch.ops.aten.add.Tensor, torch.add, range(3), object), False),
    ((Liar(),), True),
    ((), False),
    (None, False),
    (([], {}, ()), False),
]


@pytest.mark.parametrize(("args", "warns"), FORMS)
@pytest.mark.parametrize("place", ["args", "kwargs", "nested kwargs"])
def test_warning_is_the_same_with_and_without(args: Any, warns: bool, place: str) -> None:
    kwargs: dict[str, Any] = {}
    if place != "args":
        kwargs = {f"k{index}": value for index, value in enumerate(args or ())}
        kwargs = {"k": [kwargs]} if place == "nested kwargs" else kwargs
        args = ()
    for op in ("call_function", "call_method", "call_module"):
        target: Any = torch.add if op == "call_function" else "name"
        found = same_with_and_without(lambda op=op, target=target: Graph().create_node(op, target, args, kwargs))
        assert len(found) == (warns and WALKS), found
        assert all(w[2] == __file__ for w in found)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([INT], None),
        ([], None),
        (OwnTuple((INT,)), None),
        (OwnTuple((1,)), {}),
        (Pair(1, INT), {}),
        ((), OwnDict(k=INT)),
        ((), immutable_dict(k=INT)),
        ((), collections.OrderedDict(k=INT)),
        ((), [INT]),
        ((), 0),
        (5, None),
        ((1,), "abc"),
    ],
)
def test_containers_of_arguments_are_taken_or_refused_alike(args: Any, kwargs: Any) -> None:
    same_with_and_without(lambda: create("call_function", args, kwargs))


@pytest.mark.parametrize("op", ["placeholder", "get_attr", "output", "nonsense"])
def test_other_kinds_of_nodes_never_warn(op: str) -> None:
    found = same_with_and_without(lambda: Graph().create_node(op, "name", (INT,), {}))
    assert found == []


LEAVES = (1, "s", None, INT, FLOAT, torch.float32, slice(1), OwnTuple((INT,)))
CONTAINERS: tuple[Callable[[list[Any]], Any], ...] = (
    *(list, tuple, immutable_list, OwnList, OwnTuple, collections.deque),
    lambda items: Custom(*items),
    lambda items: Pair(items[:1], items[1:]),
    lambda items: dict(enumerate(items)),
    lambda items: immutable_dict(enumerate(items)),
    lambda items: collections.OrderedDict(enumerate(items)),
)
# A leaf is a number; a container is the number of its kind and what is in it. Symbolic
# values come in later: hypothesis compares what it draws.
tree = st.recursive(
    st.integers(0, len(LEAVES) - 1),
    lambda inner: st.tuples(st.integers(0, len(CONTAINERS) - 1), st.lists(inner, max_size=3)),
    max_leaves=8,
)


def made_of(drawn: Any) -> Any:
    if isinstance(drawn, int):
        return LEAVES[drawn]
    return CONTAINERS[drawn[0]]([made_of(inner) for inner in drawn[1]])


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(tree, max_size=3), st.lists(tree, max_size=2))
def test_any_nesting(args: Any, kwargs: Any) -> None:
    given_args = tuple(map(made_of, args))
    given_kwargs = {f"k{i}": made_of(drawn) for i, drawn in enumerate(kwargs)}
    same_with_and_without(lambda: create("call_function", given_args, given_kwargs))


def test_type_registered_after_the_install_is_walked(installed: None) -> None:
    assert seen(lambda: create("call_function", (Late(INT),), {}))[1] == []
    node = _pytree.NodeDef(Late, flatten, lambda items, _: Late(*items), None)
    slices = _pytree.NodeDef(slice, lambda s: ([s.start, s.stop], None), slice, None)
    with mock.patch.dict(_pytree.SUPPORTED_NODES, {Late: node, slice: slices}):
        for value in (Late(INT), slice(0, INT)):
            found = seen(lambda value=value: create("call_function", (value,), {}))[1]
            assert len(found) == WALKS


def test_warning_is_once_a_line_of_the_caller(installed: None) -> None:
    graph = Graph()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            graph.create_node("call_function", torch.add, (INT,), {})
            graph.create_node("call_function", torch.add, (INT,), {})
    assert len({w.lineno for w in caught}) == len(caught) == 2 * WALKS


def test_warning_of_a_helper_points_into_it_as_ever() -> None:
    found = same_with_and_without(lambda: Graph().call_function(torch.add, (INT,)))
    assert [w[2] for w in found] == [Graph.create_node.__code__.co_filename] * WALKS


def test_warning_that_is_an_error_is_raised(installed: None) -> None:
    if WALKS:
        with pytest.raises(UserWarning, match="Raw SymInt"):  # as pytest is configured
            create("call_function", (INT,), {})


def test_arguments_by_keyword_and_by_default(installed: None) -> None:
    graph = Graph()
    node = graph.create_node(op="call_function", target=torch.add)
    assert (node.args, node.kwargs, node.name) == ((), {}, "add")
    node = graph.create_node("call_function", torch.add, args=(1,), kwargs={"k": 2}, name="n", type_expr=int)
    assert (node.args, node.kwargs, node.name, node.type) == ((1,), {"k": 2}, "n", int)


def test_hooks_run_and_copies_are_equal(installed: None) -> None:
    module = torch.fx.symbolic_trace(lambda x: torch.cat([x, x], dim=1).view(2, 3)[0])
    made: list[Any] = []
    module.graph.owning_module._create_node_hooks = [made.append]
    module.graph.erase_node(module.graph.create_node("call_function", torch.add, (1, 2)))
    del module.graph.owning_module._create_node_hooks
    assert len(made) == 1
    copy = Graph()
    copy.graph_copy(module.graph, {})
    nodes = [n for n in module.graph.nodes if n.op != "output"]
    names = [(n.op, n.name, str(n.args)) for n in nodes]
    assert [(n.op, n.name, str(n.args)) for n in copy.nodes] == names


@pytest.mark.skipif(not WALKS, reason="native: there is nothing to replace")
def test_another_wrapper_below_gets_the_call() -> None:
    def own(*args: Any) -> Any:
        raise AssertionError

    original = Graph.create_node
    own = type(own)(original.__code__, original.__globals__, "own", original.__defaults__)
    asked: list[Any] = []
    wrapper: Any = SimpleNamespace(original=own, next=lambda *given: asked.append(given))
    replacement = fx_node_creation._replace_create_node(wrapper)
    replacement("graph", "call_function", torch.add, (INT,), None, "n")
    assert asked == [("graph", "call_function", torch.add, (INT,), None, "n", None)]


def test_mode_is_native_where_torch_never_walks() -> None:
    row = status_of("fx_node_creation")
    assert (row.mode, row.kind) == ("backport" if WALKS else "native", "speed")


KNOWN = """
def create_node(self, op, target, args=None, kwargs=None, name=None, type_expr=None):
    if op in ("call_function", "call_method", "call_module") and (args or kwargs):
        for val in pytree.tree_iter((args, kwargs)):
            if isinstance(val, (torch.SymInt, torch.SymFloat, torch.SymBool)):
                warnings.warn(f"{type(val).__name__} {val}", stacklevel=2)
                break
    return Node(self, op)
"""


def compiled(source: str) -> Any:
    space: dict[str, Any] = {}
    exec(source, space)
    return space["create_node"].__code__


def test_walk_is_skipped_in_the_known_form() -> None:
    code = _without_walk(compiled(KNOWN))
    assert code is not None
    assert () in code.co_consts


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "                break\n",
            "                self.seen = val\n                break\n",
        ),
        (
            "                break\n",
            "                note(val)\n                break\n",
        ),
        ("                break\n", "                return None\n"),
        ("                break\n", "                raise ValueError\n"),
        ("return Node(self, op)", "return Node(self, val)"),
        ('if op in ("call_function"', 'if op not in ("call_function"'),
        ('"call_module")', '"call_module", "output")'),
        ('"call_module") and', '"call_module") or'),
        (
            "return Node",
            'op in ("call_function", "call_method", "call_module")\n    return Node',
        ),
        ("pytree.tree_iter((args, kwargs))", "pytree.tree_leaves((args, kwargs))"),
        (
            "    if op in",
            "    op in ('call_function', 'call_method', 'call_module')\n    if op in",
        ),
    ],
)
def test_block_that_does_more_is_not_skipped(old: str, new: str) -> None:
    assert old in KNOWN
    code = compiled(KNOWN.replace(old, new, 1))
    assert _without_walk(code) is None
    found: Any = Definition("function", tuple(range(7)), code)  # type: ignore[arg-type]
    assert SHIM.backport[-1].explain_failure(found) == "its body has another form"


def test_requirements_answer_about_what_is_no_function() -> None:
    for requirement in (SHIM.native[-1], SHIM.backport[-1]):
        assert requirement.explain_failure(Definition("class")) == "it is a class"
    found = Definition("function", (), compiled(KNOWN))
    reader: Any = SimpleNamespace(find=lambda target: found)
    assert answer(SHIM.backport[-1], reader).found == "it takes other parameters"
