"""`split_module_tuple_return`: the graphs equal those of torch 2.12, and the signature changes only while installed."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from helpers.this_torch import ASK, RELEASE
from helpers.torch_state import kind_of
from hypothesis import given, settings
from random_splits import graph_of, options, outcome, outputs, partitioned, partitions, steps
from record_split import described
from torch.fx.passes.split_module import split_module

import compat
from compat.probe.requirements import answer
from compat.selection import live_reader
from compat.shims.base import named
from compat.shims.split_module_tuple_return import _wrap_results

(SHIM,) = named(["split_module_tuple_return"])
NATIVE = RELEASE >= (2, 12)
NAME = "split_module_tuple_return"


@pytest.fixture
def installed():
    compat.install(NAME)
    yield
    compat.uninstall(NAME)


def traced(program: list[tuple[int, int]]) -> torch.fx.GraphModule:
    """Return a graph. Each step names an earlier value by number, and its partition."""
    graph = torch.fx.Graph()
    values = [graph.placeholder("x")]
    for number, _ in program:
        values.append(graph.call_function(torch.sin, (values[number % len(values)],)))
    graph.output(tuple(values[1::2]))
    return torch.fx.GraphModule(torch.nn.Module(), graph)


def split_of(program: list[tuple[int, int]], **more: Any) -> torch.fx.GraphModule:
    module = traced(program)
    places = dict(zip([node for node in module.graph.nodes if node.op == "call_function"], program))
    highest, ordered = 0, {}
    for node, (_, place) in places.items():
        ordered[node] = highest = max(highest, place)
    return split_module(module, None, ordered.__getitem__, **more)


def partitions_of(split: torch.fx.GraphModule) -> list[torch.fx.GraphModule]:
    return [split.get_submodule(node.target) for node in split.graph.nodes if node.op == "call_module"]


@settings(max_examples=60)
@given(steps, outputs, partitions, options)
def test_every_partition_returns_a_tuple_and_values_are_unchanged(
    steps: Any, output: Any, partition: list[int], options: Any
) -> None:
    gm = graph_of(steps, output, 2)
    compat.install(NAME)
    try:
        found = [outcome(gm, partition, {**options, **more}, nullcontext()) for more in ({}, {"tuple_return": True})]
        if isinstance(found[0][0][0], dict):  # otherwise the split failed
            split = split_module(gm, gm, partitioned(gm, partition), tuple_return=True, **options)
            results = [next(iter(reversed(part.graph.nodes))).args[0] for part in partitions_of(split)]
            assert all(isinstance(result, tuple) for result in results)
        else:
            assert found[0] == found[1]
    finally:
        compat.uninstall(NAME)
    assert found[0][1] == found[1][1]


@pytest.mark.skipif(not NATIVE, reason="torch has nothing to compare with")
@settings(max_examples=100)
@given(steps, outputs, partitions, options)
def test_graphs_equal_those_of_native_tuple_return(steps: Any, output: Any, partition: list[int], options: Any) -> None:
    gm = graph_of(steps, output, 2)
    try:
        ours = split_module(gm, gm, partitioned(gm, partition), **options)
    except (KeyError, RuntimeError):  # the partitions form a cycle
        return
    _wrap_results(ours)
    theirs = split_module(gm, gm, partitioned(gm, partition), tuple_return=True, **options)
    for split in (ours, theirs):
        split.graph.lint()
    assert described(ours) == described(theirs)
    assert ours.print_readable(print_output=False) == theirs.print_readable(print_output=False)


def test_node_names_equal_those_of_torch_2_12(installed: None) -> None:
    # Partitions with one result, two results and one again: the numbers of `getitem` are consecutive.
    split = split_of([(0, 0), (1, 1), (1, 1), (2, 2), (3, 2)], tuple_return=True, keep_original_order=True)
    assert [node.name for node in split.graph.nodes] == [
        "x",
        "submod_0",
        "getitem",
        "submod_1",
        "getitem_1",
        "getitem_2",
        "submod_2",
        "getitem_3",
        "output",
    ]


@pytest.mark.parametrize("tuples", [True, False])
@pytest.mark.parametrize("lazy_first", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_tuple_return_works_with_lazy_context_in_either_order(tuples: bool, lazy_first: bool, inside: bool) -> None:
    def made() -> list[tuple[str, bool]]:
        split = split_of([(0, 0), (1, 1), (2, 1)], tuple_return=tuples)
        assert torch.equal(split(torch.ones(1))[0], torch.ones(1).sin())
        bare = [next(iter(reversed(part.graph.nodes))).args[0] for part in split.children()]
        return [(kind_of(split), tuples)] + [
            (kind_of(part), isinstance(b, tuple)) for part, b in zip(split.children(), bare)
        ]

    context = compat.lazy_graph_module(mode=ASK)
    if lazy_first:
        with context:
            compat.install(NAME)
            found = made() if inside else None
        found = found or made()
        compat.uninstall(NAME)
    else:
        compat.install(NAME)
        with context:
            found = made() if inside else None
        found = found or made()
        compat.uninstall(NAME)
    assert found == [("lazy" if inside else "plain", tuples)] * 3


def test_lazy_context_works_during_and_after_tuple_return(installed: None) -> None:
    (lazy,) = named(["lazy_graph_module"])
    requirements = lazy.native if NATIVE else lazy.backport
    assert all(answer(requirement, live_reader()).holds for requirement in requirements)
    outer = compat.lazy_graph_module(mode=ASK)
    with outer:
        compat.uninstall(NAME)
        assert kind_of(split_of([(0, 0)])) == "lazy"
        assert all(answer(requirement, live_reader()).holds for requirement in requirements)
        compat.install(NAME)
    assert all(answer(requirement, live_reader()).holds for requirement in (*requirements, *SHIM.backport))


@pytest.mark.skipif(NATIVE, reason="torch takes the parameter itself")
def test_signature_has_tuple_return_only_while_installed() -> None:
    before = inspect.signature(split_module)
    compat.install(NAME)
    compat.install(NAME)
    added = inspect.signature(split_module).parameters["tuple_return"]
    assert (added.kind, added.default) == (inspect.Parameter.KEYWORD_ONLY, False)
    compat.uninstall(NAME)
    with compat.lazy_graph_module(mode=ASK):
        assert "tuple_return" in inspect.signature(split_module).parameters
        compat.uninstall(NAME)
        assert inspect.signature(split_module) == before
    assert inspect.signature(split_module) == before
    with pytest.raises(TypeError, match="unexpected keyword argument 'tuple_return'"):
        split_of([(0, 0)], tuple_return=True)


def test_backport_by_name_works_on_torch_that_has_the_parameter(request: pytest.FixtureRequest) -> None:
    before = inspect.signature(split_module)
    compat.install(NAME, mode="backport")
    request.addfinalizer(lambda: compat.uninstall(NAME))
    assert ("tuple_return" in before.parameters) == NATIVE
    assert (inspect.signature(split_module) == before) == NATIVE
    split = split_of([(0, 0), (0, 1)], tuple_return=True)
    assert all(isinstance(part.graph.output_node().args[0], tuple) for part in split.children())
