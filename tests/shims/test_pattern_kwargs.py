"""`pattern_kwargs`: a pattern matches a node with other keywords only if they change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE
from torch import library as torch_library
from torch._higher_order_ops.auto_functionalize import auto_functionalized
from torch.fx.experimental.proxy_tensor import make_fx

import compat

pytestmark = pytest.mark.filterwarnings("ignore")
aten = torch.ops.aten
LIBRARY = torch_library.Library("test_pattern_kwargs", "FRAGMENT")
LIBRARY.define("scale(Tensor x, Tensor(a!) out, float by=2.0) -> ()")
LIBRARY.impl("scale", lambda x, out, by=2.0: out.copy_(x * by), "CompositeExplicitAutograd")
torch_library.register_fake("test_pattern_kwargs::scale", lambda x, out, by=2.0: None, lib=LIBRARY)
SCALE = torch.ops.test_pattern_kwargs.scale.default

X, Y = torch.arange(4.0).view(2, 2) + 1, torch.ones(2, 2)
Program = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def scaled(x: torch.Tensor, y: torch.Tensor, **more: Any) -> Any:
    return auto_functionalized(SCALE, x=x, out=y, **more)[1]


# By name: the target of the pattern, its number of arguments, and a program that calls it with a keyword.
CHANGED: dict[str, tuple[Any, int, Program]] = {
    "factor": (aten.add.Tensor, 2, lambda x, y: aten.add.Tensor(x, y, alpha=3)),
    "float factor": (aten.sub.Tensor, 2, lambda x, y: aten.sub.Tensor(x, y, alpha=0.5)),
    "one of two factors": (aten.addmm.default, 3, lambda x, y: aten.addmm(x, x, y, beta=0, alpha=1)),
    "product": (aten.addcmul.default, 3, lambda x, y: aten.addcmul(x, x, y, value=2)),
    "rounding": (aten.div.Tensor_mode, 2, lambda x, y: aten.div.Tensor_mode(x, y, rounding_mode="floor")),
    "kind of function": (aten.gelu.default, 1, lambda x, y: aten.gelu(x, approximate="tanh")),
    "dtype": (aten.sum.default, 1, lambda x, y: aten.sum(x, dtype=torch.float64)),
    "layout of the copy": (
        aten.clone.default,
        1,
        lambda x, y: aten.clone(x.t(), memory_format=torch.contiguous_format),
    ),
    "dtype of a new tensor": (aten.full.default, 2, lambda x, y: aten.full([2, 2], 1.5, dtype=torch.int64)),
    "argument of a wrapped op": (auto_functionalized, 1, lambda x, y: scaled(x, y, by=3.0)),
}
UNCHANGED: dict[str, tuple[Any, int, Program]] = {
    "no keyword": (aten.add.Tensor, 2, lambda x, y: aten.add.Tensor(x, y)),
    "its default": (aten.add.Tensor, 2, lambda x, y: aten.add.Tensor(x, y, alpha=1)),
    "two defaults": (aten.addmm.default, 3, lambda x, y: aten.addmm(x, x, y, beta=1, alpha=1)),
    "kind of function": (aten.gelu.default, 1, lambda x, y: aten.gelu(x, approximate="none")),
    "dtype that it has": (aten.sum.default, 1, lambda x, y: aten.sum(x, dtype=torch.float32)),
    "layout that it has": (aten.clone.default, 1, lambda x, y: aten.clone(x, memory_format=torch.contiguous_format)),
    "how it is made": (
        aten.full.default,
        2,
        lambda x, y: aten.full([2, 2], 1.5, layout=torch.strided, device="cpu", pin_memory=False),
    ),
    "argument of a wrapped op": (auto_functionalized, 1, lambda x, y: scaled(x, y, by=2.0)),
}


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    import torch._inductor.compile_fx  # noqa: F401 (the shim waits for it)

    compat.install("pattern_kwargs")
    yield
    compat.uninstall("pattern_kwargs")


ONE = torch.ones(())


def shifted(x: torch.Tensor, by: torch.Tensor = ONE) -> torch.Tensor:
    return x + by


def count_matches(target: Any, arguments: int, graph: torch.fx.Graph, **named: Any) -> int:
    from torch._inductor.pattern_matcher import CallFunction, Ignored, PatternMatcherPass, register_graph_pattern

    patterns, found = PatternMatcherPass(), []
    if target is auto_functionalized:
        named = {"x": Ignored(), "out": Ignored()}
    pattern = CallFunction(target, *[Ignored() for _ in range(arguments)], **named)
    register_graph_pattern(pattern, pass_dict=patterns)(lambda match, *args, **kwargs: found.append(match))
    patterns.apply(torch.fx.GraphModule(torch.nn.Module(), graph))
    return len(found)


def traced(program: Program) -> torch.fx.Graph:
    graph: torch.fx.Graph = make_fx(program, tracing_mode="fake")(X, Y).graph
    return graph


@pytest.mark.parametrize("name", CHANGED)
def test_pattern_does_not_match_keyword_that_changes_the_value(name: str) -> None:
    target, arguments, program = CHANGED[name]
    assert count_matches(target, arguments, traced(program)) == 0


# torch 2.15 gives up some of these.
@pytest.mark.skipif(RELEASE >= (2, 15), reason="native")
@pytest.mark.parametrize("name", UNCHANGED)
def test_pattern_still_matches_keyword_that_changes_nothing(name: str) -> None:
    target, arguments, program = UNCHANGED[name]
    assert count_matches(target, arguments, traced(program)) == 1


def test_pattern_that_names_the_keyword_still_matches() -> None:
    from torch._inductor.pattern_matcher import Ignored, KeywordArg

    graph = traced(CHANGED["factor"][2])
    assert count_matches(aten.add.Tensor, 2, graph, alpha=KeywordArg("alpha")) == 1
    assert count_matches(aten.add.Tensor, 2, graph, alpha=Ignored()) == 1
    assert count_matches(aten.add.Tensor, 2, graph, alpha=3) == 1
    assert count_matches(aten.add.Tensor, 2, graph, alpha=2) == 0


@pytest.mark.skipif(RELEASE >= (2, 15), reason="native")
@pytest.mark.parametrize(
    ("target", "keywords", "matches"),
    [
        (torch.add, {"alpha": 3}, 0),
        (torch.add, {"alpha": 1}, 1),
        (torch.nn.functional.silu, {"inplace": False}, 1),
        (torch.nn.functional.silu, {"inplace": True}, 0),
        (torch.sum, {"dtype": torch.float64}, 0),
        (shifted, {"by": ONE}, 1),
        (shifted, {"by": torch.ones(())}, 0),
    ],
)
def test_functions_without_schema_are_compared_with_their_signatures(target: Any, keywords: Any, matches: int) -> None:
    graph = torch.fx.Graph()
    arguments = [graph.placeholder("x")] * (2 if target is torch.add else 1)
    graph.output(graph.call_function(target, tuple(arguments), keywords))
    assert count_matches(target, len(arguments), graph) == matches


@pytest.mark.skipif(RELEASE >= (2, 15), reason="native")
@pytest.mark.parametrize(
    ("keywords", "has_value"),
    [
        ({"dtype": torch.float32}, False),  # a pass of an engine made the node without them
        ({"nonsense": 1}, True),
    ],
)
def test_keyword_that_cannot_be_judged_is_no_match(keywords: dict[str, Any], has_value: bool) -> None:
    graph = traced(lambda x, y: aten.sum(x))
    (node,) = graph.find_nodes(op="call_function", target=aten.sum.default)
    assert count_matches(aten.sum.default, 1, graph) == 1
    node.kwargs = keywords
    if not has_value:
        del node.meta["val"]
    assert count_matches(aten.sum.default, 1, graph) == 0


@pytest.mark.skipif(RELEASE >= (2, 15), reason="native")
def test_keyword_that_the_op_needs_is_no_match() -> None:
    convert = torch.ops.prims.convert_element_type.default
    graph = traced(lambda x, y: convert(x, torch.float32))
    (node,) = graph.find_nodes(op="call_function", target=convert)
    node.args, node.kwargs = node.args[:1], {"dtype": torch.float32}
    assert count_matches(convert, 1, graph) == 0


def test_symbolic_keyword_is_no_match_and_installs_no_guard() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    env = ShapeEnv()
    number = env.create_unbacked_symint()
    graph = traced(CHANGED["factor"][2])
    (node,) = graph.find_nodes(op="call_function", target=aten.add.Tensor)
    node.kwargs = {"alpha": number}
    assert count_matches(aten.add.Tensor, 2, graph) == 0
    assert not env.guards


def run_passes(program: Any, *inputs: torch.Tensor) -> tuple[Any, list[str]]:
    """Run Inductor's passes and then the graph. Return the result and the targets of the graph's calls."""
    from torch._inductor.compile_fx import _recursive_post_grad_passes, compile_fx

    targets: list[str] = []

    def run(module: torch.fx.GraphModule, given: Any, **options: Any) -> Any:
        _recursive_post_grad_passes(module, is_inference=True)
        module.recompile()
        targets.extend(str(node.target) for node in module.graph.nodes if node.op == "call_function")

        def call(arguments: Any) -> Any:
            return module(*arguments)

        call._boxed_call = True  # type: ignore[attr-defined]
        return call

    torch._dynamo.reset()
    compiled = torch.compile(program, fullgraph=True, backend=lambda m, i: compile_fx(m, i, inner_compile=run))
    with torch.no_grad():
        return compiled(*inputs), targets


def test_patterns_of_torch_keep_factors() -> None:
    def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.add(x, x @ y, alpha=3) + torch.add(x @ y, y, alpha=2) + torch.add(x @ y, y @ y, alpha=2)

    result, _ = run_passes(program, X, Y)
    assert torch.equal(result, program(X, Y))


def test_patterns_of_torch_still_match() -> None:
    result, targets = run_passes(lambda x, y: x + x @ y, X, Y)
    assert torch.equal(result, X + X @ Y)
    assert targets == ["aten.addmm.default"]


@pytest.mark.skipif(RELEASE < (2, 14), reason="the rewrite takes no dtype")
def test_rewrite_of_cumulative_sum_keeps_the_dtype() -> None:
    result, targets = run_passes(lambda x: torch.full((3,), 2).cumsum(0, dtype=torch.float32) + x, torch.ones(3))
    assert torch.equal(result, torch.tensor([3.0, 5.0, 7.0]))
    assert "aten.cumsum.default" not in targets
