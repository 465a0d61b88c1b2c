"""The numbers that the demo prints are the ones that it measures."""

import pytest
import torch
from helpers.this_torch import ROOT, WORKING

from compat import lazy_graph_module
from compat.__main__ import main
from compat.tools.demo import demo
from compat.tools.demo.model import capture, partitions, split

LAYERS = 2


@pytest.fixture(scope="module")
def captured():
    graph, inputs = capture(LAYERS)
    return graph, inputs, partitions(graph)


def test_every_attention_and_every_gap_is_a_partition(captured):
    graph, _, numbers = captured
    assert sorted(set(numbers.values())) == list(range(2 * LAYERS + 1))
    attention = [number for node, number in numbers.items() if "attention" in str(node.target)]
    assert attention == list(range(1, 2 * LAYERS + 1, 2))
    assert {node.op for node in graph.graph.nodes if node not in numbers} <= {"placeholder", "get_attr", "output"}


def test_plain_split_generates_code_and_lazy_split_generates_none(captured):
    graph, _, numbers = captured
    with demo.counting_recompiles() as ran:
        plain = split(graph, numbers)
    times = 2 if hasattr(torch.fx.GraphModule, "_recompile_submodules") else 1  # once more for the root, from 2.10 on
    assert len(ran) == times * (2 * LAYERS + 1) + 1
    assert demo.deferred_in(plain) == []
    with demo.counting_recompiles() as ran, lazy_graph_module(mode=WORKING):
        lazy = split(graph, numbers)
    assert ran == []
    assert len(demo.deferred_in(lazy)) == 2 * LAYERS + 2


def test_plain_and_lazy_split_compute_equal_results(captured):
    graph, inputs, numbers = captured
    with lazy_graph_module(mode=WORKING):
        lazy = split(graph, numbers)
    with torch.no_grad():
        expected = graph(*inputs)
        assert all(map(torch.equal, expected, split(graph, numbers)(*inputs)))
        assert all(map(torch.equal, expected, lazy(*inputs)))


@pytest.mark.parametrize("error", ["No working C++ compiler found in config.cpp.cxx: g++", "something else"])
def test_missing_compiler_is_reported_and_other_failures_are_raised(captured, monkeypatch, error):
    graph, inputs, numbers = captured

    def fails(*_):
        raise RuntimeError(error)

    monkeypatch.setattr(demo.Piecewise, "run", fails)
    if "compiler" in error:
        assert "no C++ compiler" in demo.compiled(split(graph, numbers), inputs, None)
    else:
        with pytest.raises(RuntimeError, match=error):
            demo.compiled(split(graph, numbers), inputs, None)


def test_zero_layers_are_refused_in_one_sentence(capsys):
    assert main(["demo", "--layers", "0"]) == 2
    assert capsys.readouterr().err == "compat: --layers is 0; it can be 1 or more\n"


def test_default_model_is_the_documented_one(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert "(default: 28)" in capsys.readouterr().out
    assert "on a 28-layer transformer builds 57 partitions" in (ROOT / "docs" / "lazy_graph_module.md").read_text()
