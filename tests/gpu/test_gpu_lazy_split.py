"""A transformer that is split lazily and compiled piecewise on the device: right values, and still lazy."""

from __future__ import annotations

import pytest
import torch
from helpers.device import DEVICE
from helpers.this_torch import ASK, needs_compiler

import compat
from compat.tools.demo.demo import Piecewise, deferred_in
from compat.tools.demo.model import capture, partitions, split

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore"), needs_compiler]
LAYERS = 2


def test_compiled_partitions_compute_the_values_of_the_graph_and_stay_lazy() -> None:
    graph, inputs = capture(LAYERS, DEVICE)
    numbers = partitions(graph)
    with compat.lazy_graph_module(mode=ASK):
        lazy = split(graph, numbers)
    deferred = len(deferred_in(lazy))
    assert deferred == len(set(numbers.values())) + 1  # the partitions and the root
    with torch.no_grad():
        expected, output = graph(*inputs), Piecewise(lazy).run(*inputs)
    assert [one.device.type for one in output] == [torch.device(DEVICE).type] * len(expected)
    assert len(deferred_in(lazy)) == deferred
    for one, other in zip(output, expected):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
