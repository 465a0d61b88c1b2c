"""`fx_strides`: which arguments get the strides of the graph, and that writes into a list of tensors are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._inductor.graph
from helpers.this_torch import needs_compiler
from torch import library as torch_library
from torch._inductor.utils import fresh_cache

import compat
from compat.selfcheck.quick import compile_quickly
from compat.selfcheck.reproducers.fx_strides import define
from compat.shims.fx_strides import _replace_constrain

pytestmark = needs_compiler

TENSOR, OTHER = torch.ones(2), object()


def node(value: Any) -> Any:
    return SimpleNamespace(meta={"val": value})


def stock(fx_node: Any, *args: Any, **kwargs: Any) -> Any:
    """Stand for torch's own function, which handles one tensor at the top level."""
    assert not kwargs
    assert len(args) == len(fx_node.args) == 1
    assert fx_node.args[0].meta["val"] is TENSOR
    return (f"constrained {args[0]}",), {}


constrain = _replace_constrain(SimpleNamespace(next=stock))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "seen", "expected"),
    [
        ("a", node(TENSOR), "constrained a"),
        ("a", node(OTHER), "a"),
        ("a", SimpleNamespace(meta={}), "a"),
        (1, 1, 1),
        (None, None, None),
        (["a", "b"], [node(TENSOR), node(OTHER)], ["constrained a", "b"]),
        (["a", None], (node(TENSOR), None), ["constrained a", None]),  # Tensor?[]
        (("a",), [node(TENSOR)], ("constrained a",)),
        (["a"], node([TENSOR]), ["constrained a"]),  # one node whose value is a list
        ([["a"]], [[node(TENSOR)]], [["constrained a"]]),
        (["a"], node(OTHER), ["a"]),
        (
            {"k": "a", "l": ["b"]},
            {"k": node(TENSOR), "l": [node(TENSOR)]},
            {"k": "constrained a", "l": ["constrained b"]},
        ),
        ({"k": "a"}, node(OTHER), {"k": "a"}),
        ([], [], []),
    ],
)
def test_tensors_at_any_depth_are_constrained_and_nothing_else(given: Any, seen: Any, expected: Any) -> None:
    fx_node = SimpleNamespace(args=(seen, 1), kwargs={"key": seen})
    args, kwargs = constrain(fx_node, given, 1, key=given)
    assert (args, kwargs) == ((expected, 1), {"key": expected})
    assert type(args[0]) is type(expected)


@pytest.mark.filterwarnings("ignore")
def test_writes_of_op_into_tensor_of_list_are_kept() -> None:
    library = torch_library.Library("test_fx_strides", "FRAGMENT")
    library.define("write(Tensor(a!)[] xs) -> ()", tags=(torch.Tag.needs_fixed_stride_order,))
    strides = []

    def write(xs: list[torch.Tensor]) -> None:
        strides.append(xs[0].stride())
        xs[0].as_strided((xs[0].numel(),), (1,)).copy_(torch.arange(24.0))

    library.impl("write", write, "CompositeExplicitAutograd")
    torch_library.register_fake("test_fx_strides::write", lambda xs: None, lib=library)

    def function(x: torch.Tensor) -> torch.Tensor:
        y = (x.transpose(1, 2) + 1).clone(memory_format=torch.contiguous_format)
        torch.ops.test_fx_strides.write([y])
        return y * 2

    x = torch.ones(2, 3, 4)
    compat.install("fx_strides")
    try:
        with fresh_cache(), compile_quickly():
            compiled = torch.compile(function, fullgraph=True)(x)
    finally:
        compat.uninstall("fx_strides")
    assert torch.equal(compiled, function(x))
    assert strides[0] == strides[1]


@pytest.mark.filterwarnings("ignore")
def test_tensors_in_keyword_arguments_are_constrained() -> None:
    library = torch_library.Library("reproducer", "FRAGMENT")
    op = define(
        library, "keyword(Tensor x, *, Tensor[] xs) -> Tensor", lambda x, *, xs: xs[0].as_strided((24,), (1,)) + x
    )

    def function(x: torch.Tensor) -> torch.Tensor:
        y = (x.transpose(1, 2) + 1).clone(memory_format=torch.contiguous_format)
        return op(x.view(24), xs=[y])

    x = torch.arange(24.0).view(2, 3, 4)
    compat.install("fx_strides")
    try:
        with fresh_cache(), compile_quickly():
            compiled = torch.compile(function, fullgraph=True)(x)
    finally:
        compat.uninstall("fx_strides")
    assert torch.equal(compiled, function(x))
