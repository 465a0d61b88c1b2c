"""For any graph, partition and options, a split with compat differs from one without only in laziness."""

import contextlib
import functools
from typing import Any

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from random_splits import Step, graph_of, options, outcome, outputs, partitioned, partitions, steps
from torch.fx.passes.split_module import split_module

import compat

MODE = "backport" if Version(torch.__version__).release < (2, 11) else "auto"


@settings(deadline=None, max_examples=150)
@given(
    steps=steps, output=outputs, inputs=st.integers(1, 3), partition=partitions, options=options, enabled=st.booleans()
)
@example([("several outputs", 0, 0), ("add", 0, 3)], (0, (1, 0)), 2, [0, 1, 0, 2], {}, True)
@example([], 0, 1, [0], {}, True)
def test_any_split_differs_only_in_laziness(
    steps: list[Step], output: Any, inputs: int, partition: list[int], options: dict, enabled: bool
) -> None:
    gm = graph_of(steps, output, inputs)
    without, results_without, _ = outcome(gm, partition, options, contextlib.nullcontext())
    shimmed, results, lazy = outcome(gm, partition, options, compat.lazy_graph_module(enabled, mode=MODE))
    assert shimmed == without
    assert results == results_without
    assert lazy <= {"deferred" if enabled else "plain"}


@settings(deadline=None, max_examples=30)
@given(steps=steps, output=outputs, partition=partitions.map(sorted), options=options)
def test_splitting_lazy_partitions_again_gives_same_graphs(
    steps: list[Step], output: Any, partition: list[int], options: dict
) -> None:
    """The partitions of a lazy split are usable graphs before their code is generated."""
    gm = graph_of(steps, output, 2)
    twice = []
    for asking in (contextlib.nullcontext, functools.partial(compat.lazy_graph_module, mode=MODE)):
        with asking():
            once = split_module(gm, gm, partitioned(gm, partition))
        parts = [part for name, part in once.named_children() if name.startswith("submod_")]
        twice.append([outcome(part, partition, options, asking(), run=False)[0] for part in parts])
    assert twice[0] == twice[1]
