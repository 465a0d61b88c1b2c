"""`pattern_matcher_dtypes`: which operators are checked for unsupported dtypes, and that uninstall restores torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import pytest
import torch

from compat import install, uninstall

pytestmark = pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")


@pytest.fixture
def installed() -> Iterator[None]:
    install("pattern_matcher_dtypes")
    yield
    uninstall("pattern_matcher_dtypes")


def node(target: object, dtype: torch.dtype) -> torch.fx.Node:
    from torch._subclasses.fake_tensor import FakeTensorMode

    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    made = graph.call_function(target, (x,))
    with FakeTensorMode():
        x.meta["val"] = made.meta["val"] = torch.empty(2, dtype=dtype)
    return made


def unsupported(target: object, dtype: torch.dtype = torch.complex64, **arguments: bool) -> bool:
    # Other modules import the function by name: every alias must give the same answer.
    from torch._inductor import graph, lowering, pattern_matcher

    functions = [module.fallback_node_due_to_unsupported_type for module in (graph, lowering, pattern_matcher)]
    (said,) = {function(node(target, dtype), **arguments) for function in functions}
    return said


CUSTOM = torch.ops.inductor._reinterpret_tensor.default  # an operator that torch has and that is not builtin


@pytest.mark.parametrize("arguments", [{}, {"allow_cpu_inputs": False}], ids=["lowering", "pattern matcher"])
def test_builtin_ops_are_checked_and_custom_ops_are_not(installed: None, arguments: dict[str, bool]) -> None:
    assert unsupported(torch.ops.aten.sin.default, **arguments)
    assert unsupported(torch.ops.prims.sin.default, **arguments)
    assert not unsupported(torch.ops.aten.sin.default, torch.float32, **arguments)
    assert not unsupported(CUSTOM, **arguments)
    assert not unsupported(operator.neg, **arguments)


def test_uninstall_restores_check_of_all_ops() -> None:
    install("pattern_matcher_dtypes")
    uninstall("pattern_matcher_dtypes")
    assert unsupported(torch.ops.aten.sin.default)
    assert unsupported(CUSTOM)
