"""`kept_snapshots`: what it asks about single nodes, in graphs that are put together by hand."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._inductor.fx_passes import post_grad
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

import compat
from compat.shims import _buffers as buffers
from compat.shims import _copies as copies
from compat.shims import _inputs as inputs
from compat.shims import _trials as trials
from compat.shims import kept_snapshots as shim

pytestmark = pytest.mark.filterwarnings("ignore")
aten, higher = torch.ops.aten, torch.ops.higher_order
Node = torch.fx.Node


def tensor() -> torch.Tensor:
    return torch.empty(2, 2)


class Graph(torch.fx.Graph):
    """A graph whose nodes have values."""

    def input(self) -> Node:
        made = self.placeholder(f"input{len(self.nodes)}")
        made.meta["val"] = tensor()
        return made

    def call(self, target: Any, /, *args: Any, value: Any = None, **kwargs: Any) -> Node:
        made = self.call_function(target, args, kwargs)
        made.meta["val"] = tensor() if value is None else value
        return made


def views_of(node: Node) -> tuple[Node, Node]:
    value = node.meta["val"]
    graph: Any = node.graph
    return tuple(graph.call(aten.view.default, node, [4], value=value.view(4)) for _ in range(2))  # type: ignore[return-value]


def replaced(make: Any, answer: bool = True) -> Any:
    """Return a replacement, over a function of torch that gives this answer."""
    wrapper: Any = SimpleNamespace(next=lambda *_: answer)
    return make(wrapper)


def test_answers_of_torch_that_need_no_other_question() -> None:
    graph = Graph()
    x = graph.input()
    assert replaced(shim._replace_check, False)(x) is False
    assert replaced(shim._replace_check)(x) is True  # it writes nothing
    scatter = graph.call(aten.slice_scatter.default, x, 1.0, ())
    assert replaced(shim._replace_scatter, False)(scatter) is False
    assert replaced(shim._replace_scatter)(scatter) is True  # a number has no buffer


def test_op_with_an_effect_writes_over_its_argument() -> None:
    graph = Graph()
    token, x, index = graph.input(), graph.input(), graph.input()
    call = graph.call(higher.with_effects, token, aten.index_put.default, x, [index], index)
    result = graph.call(operator.getitem, call, 1)
    graph.call(operator.getitem, call, 0)  # the token
    assert buffers.in_place_form(call) == ([x], [[index], index], range(1, 2))
    assert list(buffers.overwriting(call)) == [(x, result)]


def test_triton_kernel_writes_over_the_tensors_that_it_names() -> None:
    graph = Graph()
    x, y = graph.input(), graph.input()
    values = {"target": tensor()}
    given = {"tensors_to_clone": ["target"], "kwargs": {"source": x, "target": y}}
    call = graph.call(higher.triton_kernel_wrapper_functional, value=values, **given)
    result = graph.call(operator.getitem, call, "target")
    assert list(buffers.overwriting(call)) == [(y, result)]


def test_reader_of_two_views_counts_once() -> None:
    graph = Graph()
    x = graph.input()
    sum_of_both = graph.call(aten.add.Tensor, *views_of(x))
    assert list(buffers.readers(x)) == [sum_of_both]


def test_parts_of_unknown_size_may_overlap() -> None:
    env = ShapeEnv()
    with FakeTensorMode(shape_env=env), env.ignore_fresh_unbacked_symbols():
        whole = torch.empty(8)
        first, rest = (env.create_unbacked_symint() for _ in range(2))
        parts = [whole.as_strided((first,), (1,), rest), whole.as_strided((rest,), (1,), first)]
        assert buffers.overlap(*parts)
        assert not buffers.overlap(whole, torch.empty(8))


def test_call_that_copies_all_its_arguments_writes_none_of_them() -> None:
    graph = Graph()
    x = graph.input()
    call = graph.call(higher.auto_functionalized, aten.copy_.default, self=x)
    assert buffers.written_in_place(call, dict(call.kwargs), ("self",)) == []


def test_call_whose_views_cannot_be_read_may_write_each_base_that_it_does_not_copy() -> None:
    graph = Graph()
    x, y = graph.input(), graph.input()
    call = graph.call(higher.auto_functionalized_v2, "no op", _all_bases=[x, y])
    call.meta["only_clone_these_tensors"] = [0]
    assert buffers.written_in_place(call, dict(call.kwargs), ("_all_bases",)) == [y.meta["val"]]


def test_copy_that_is_written_itself_is_kept() -> None:
    graph = Graph()
    x = graph.input()
    product = graph.call(aten.mm.default, x, x)
    copy = graph.call(aten.clone.default, product)
    write = graph.call(aten.copy_.default, copy, x, value=copy.meta["val"])  # as a pass of an engine puts it in
    graph.output((product, copy))
    assert copies.copies_to_keep(graph, [(write, buffers.written_nodes(write))]) == [copy]


@pytest.mark.parametrize("times", [1, 2])
def test_result_is_needed_after_an_op_writes_its_input(times: int) -> None:
    graph = Graph()
    x, index = graph.input(), graph.input()
    product = graph.call(aten.mm.default, x, x)
    graph.call(aten.add_.Tensor, product, 1, value=product.meta["val"])  # no input: torch asks about it itself
    result = graph.call(aten.index_put.default, x, [index], index)
    for _ in range(times):
        graph.call(aten.add_.Tensor, x, 1, value=x.meta["val"])
    graph.output((result,))
    new = inputs.read_later(graph)
    assert [(node.target, node.args) for node in new] == [(aten.clone.default, (x,))]


def test_two_reads_of_one_copy_get_one_new_copy() -> None:
    graph, mode = Graph(), FakeTensorMode()
    with mode:
        x = graph.input()
        product = graph.call(aten.mm.default, x, x)
    given = {"self": product, "first": product, "second": product}
    call = graph.call(higher.auto_functionalized, aten.copy_.default, **given)
    call.meta["only_clone_these_tensors"] = []
    with V.set_fake_mode(mode):
        shim._separate(call, ("self",), ("first", "second"))
    first, second = call.kwargs["first"], call.kwargs["second"]
    assert (first, first.target, first.args) == (second, aten.clone.default, (product,))
    assert call.kwargs["self"] is product


def test_check_finds_each_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.compile_fx  # noqa: F401 (the shim waits for it)

    def found() -> str | None:
        return trials.explain_failure(post_grad.remove_noop_ops)

    assert found() == "an op reads the buffer that it writes"
    monkeypatch.setattr(trials, "_reads_what_it_writes", lambda remove: False)
    assert found() == "an op's result is overwritten with its input"
    compat.install("kept_snapshots")
    try:
        assert found() is None
    finally:
        compat.uninstall("kept_snapshots")
