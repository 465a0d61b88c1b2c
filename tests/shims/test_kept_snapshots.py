"""`kept_snapshots`: copies stay where something overwrites the original, and only there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.this_torch import RELEASE, needs_compiler
from helpers.passes import Passes
from reproduce import compile_quickly
from torch import library as torch_library

import compat

pytestmark = pytest.mark.filterwarnings("ignore")

LIBRARY = torch_library.Library("snapshots", "DEF")
OPS = torch.ops.snapshots


def shift(source: torch.Tensor, target: torch.Tensor) -> None:
    for row in range(source.shape[0] - 1):
        target[row + 1].copy_(source[row])


def define(signature: str, function: Callable[..., Any], fake: Callable[..., Any]) -> None:
    name = signature.partition("(")[0]
    LIBRARY.define(signature)
    LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    torch_library.register_fake(f"snapshots::{name}", fake, lib=LIBRARY)


define("shift(Tensor s, Tensor(a!) t) -> ()", shift, lambda s, t: None)
define(
    "from_list(Tensor[] s, Tensor(a!) t) -> ()",
    lambda s, t: shift(s[0], t),
    lambda s, t: None,
)
define(
    "into_list(Tensor s, Tensor(a!)[] t) -> ()",
    lambda s, t: shift(s, t[0]),
    lambda s, t: None,
)
define(
    "by_name(Tensor(a!) t, *, Tensor? s=None) -> ()",
    lambda t, s=None: shift(s, t),
    lambda t, s=None: None,
)


def shift_both(s: torch.Tensor, t: torch.Tensor, u: torch.Tensor) -> None:
    shift(s, t)
    shift(s, u)


define("both(Tensor s, Tensor(a!) t, Tensor(b!) u) -> ()", shift_both, lambda s, t, u: None)


def shift_and_sum(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    shift(s, t)
    return s.sum()


define("returning(Tensor s, Tensor(a!)? t) -> Tensor", shift_and_sum, lambda s, t: s.new_empty(()))

Form = Callable[..., Any]
NEVER = (99,)
# Each form, and the torch that has it right by itself. All take matrices of 4 by 4.
FORMS: dict[str, tuple[Form, tuple[int, ...]]] = {}


def form(fixed: tuple[int, ...]) -> Callable[[Form], Form]:
    def add(function: Form) -> Form:
        FORMS[function.__name__] = function, fixed
        return function

    return add


COPIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "clone": lambda b: b.clone(),
    "clone_of_clone": lambda b: b.clone().clone(),
    "view_of_clone": lambda b: b.clone().view(-1).view(4, 4),
    "clone_of_view": lambda b: b.view(-1).clone().view(4, 4),
    "clone_of_transposed": lambda b: b.t().clone().t(),
    "slice": lambda b: b[0:4].clone(),
    "expanded": lambda b: b.clone().expand(4, 4),
    "copy_": lambda b: torch.empty_like(b).copy_(b),
    "repeat": lambda b: b.repeat(1, 1),
    "cat": lambda b: torch.cat([b]),
    "stack": lambda b: torch.stack([b]).squeeze(0),
    "pad": lambda b: torch.nn.functional.pad(b, (0, 0)),
    "power": lambda b: b.pow(1),
    "there_and_back": lambda b: b.to(torch.float64).to(torch.float32),
}


def _copied(name: str, copy: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def of_a_value(x: torch.Tensor) -> torch.Tensor:
        b = x @ x.t()
        OPS.shift(copy(b), b)
        return b * 2

    def of_an_input(x: torch.Tensor) -> torch.Tensor:
        OPS.shift(copy(x), x)
        return x * 2

    FORMS[f"{name}_of_a_value"] = of_a_value, NEVER
    FORMS[f"{name}_of_an_input"] = of_an_input, (2, 15)


for _name, _copy in COPIES.items():
    _copied(_name, _copy)


@form(NEVER)
def list_argument(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.from_list([b.clone()], b)
    return b * 2


@form(NEVER)
def list_written(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.into_list(b.clone(), [b])
    return b * 2


@form(NEVER)
def keyword_argument(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.by_name(b, s=b.clone())
    return b * 2


@form(NEVER)
def written_copy(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    c = b.clone()
    OPS.shift(b, c)
    return c * 2


@form(NEVER)
def two_copies(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    old, new = b.clone(), b.clone()
    OPS.both(old, new, b)
    return b * 2 + new


@form(NEVER)
def result_of_the_op(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    r = OPS.returning(b.clone(), b)
    return b * 2 + r


@form(NEVER)
def again_and_again(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    for _ in range(3):
        OPS.shift(b.clone(), b)
    return b * 2


@form(NEVER)
def overlapping_slices(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b[:3].clone(), b[1:])
    return b * 2


@form(NEVER)
def plus_zero(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b + torch.zeros(4, 4), b)
    return b * 2


@form((2, 15))
def index_of_an_input(x: torch.Tensor) -> None:
    x[torch.arange(3, -1, -1)] = x.clone()


@form((2, 15))
def index_of_a_value(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    b[torch.arange(3, -1, -1)] = b.clone()
    return b @ x


@form((2, 15))
def index_without_copy(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    return b.index_put((torch.arange(3, -1, -1),), b) @ x


@form((2, 15))
def index_copy(x: torch.Tensor) -> None:
    x.index_copy_(0, torch.arange(3, -1, -1), x.clone())


@form((2, 15))
def copy_between_inputs(x: torch.Tensor, y: torch.Tensor) -> None:
    y[0:] = x[0:]
    x.add_(1)


@form((2, 15))
def swap(x: torch.Tensor, y: torch.Tensor) -> None:
    old = x.clone()
    x.copy_(y)
    y.copy_(old)


@form((2, 15))
def transpose_an_input(x: torch.Tensor) -> None:
    x.copy_(x.t().clone())


def weighted(w: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return (w * old).sum()


@form(NEVER)
def gradient_of_a_copy(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    x.add_(1)
    return weighted(w, old)


@form(NEVER)
def gradient_of_a_view(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x[1:].clone()
    x.add_(1)
    return weighted(w[1:], old)


def case(function: Form, compiled: Form) -> bool:
    """Whether both give the same, write the same and have the same gradients."""
    everything = []
    for run in (function, compiled):
        count = function.__code__.co_argcount
        arguments = [torch.arange(16.0).view(4, 4) / 8 + i for i in range(count)]
        leaf = "w" in function.__code__.co_varnames[:count]
        if leaf:
            arguments[1].requires_grad_()
        result = run(*arguments)
        if leaf:
            result.backward()
            arguments.append(arguments[1].grad)
        everything.append([*arguments, *([] if result is None else [result])])
    pairs = list(zip(*everything))
    return all(a is not None and torch.allclose(a, b, atol=1e-5) for a, b in pairs)


@pytest.fixture
def installed() -> Iterator[None]:
    compat.install("kept_snapshots")
    yield
    compat.uninstall("kept_snapshots")


@pytest.fixture(autouse=True)
def no_caches() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._inductor.config.patch(force_disable_caches=True):
        yield


def passed(name: str, v2: bool, dynamic: bool) -> tuple[bool, list[str]]:
    torch._dynamo.reset()
    passes, (function, _) = Passes(), FORMS[name]
    with torch._inductor.config.patch(enable_auto_functionalized_v2=v2):
        same = case(function, passes.compile(function, dynamic=dynamic))
    return same, passes.graphs


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize("name", FORMS)
def test_form_is_right_with_the_shim(name: str, v2: bool, installed: None) -> None:
    assert passed(name, v2, dynamic=not v2)[0]


# What a copy is turned into differs by version, so only these are claimed to be wrong.
@pytest.mark.parametrize(
    "name",
    [
        "clone_of_a_value",
        "view_of_clone_of_a_value",
        "clone_of_an_input",
        "list_argument",
        "keyword_argument",
        "written_copy",
        "index_of_a_value",
        "index_without_copy",
        "copy_between_inputs",
        "gradient_of_a_copy",
    ],
)
def test_form_is_wrong_without_the_shim_where_torch_is_affected(name: str) -> None:
    assert passed(name, v2=True, dynamic=False)[0] == (FORMS[name][1] <= RELEASE)


def used_afterwards(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b = x @ x.t()
    old = b.clone()
    OPS.shift(old, b)
    return b, old


def another_value(x: torch.Tensor) -> torch.Tensor:
    b, c = x @ x.t(), x @ x
    OPS.shift(c.clone(), b)
    return b + c


def parts_that_do_not_overlap(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b[2:].clone(), b[:2])
    b[:, :2] = b[:, 2:].clone()
    return b @ x


def one_buffer_on_purpose(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b, b)
    return b * 2


def copy_of_an_input_that_stays(x: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    OPS.shift(x, old)
    return old


def copy_read_before_the_write(x: torch.Tensor) -> torch.Tensor:
    old = x.clone() * 2
    x.add_(1)
    return old


def elements_written_by_themselves(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    b[1:3] = b[1:3].clone()
    return b @ x


def gradient_without_the_copy(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    x.add_(1)
    return (torch.sin(w) + old).sum()


RIGHT = [
    used_afterwards,
    another_value,
    parts_that_do_not_overlap,
    one_buffer_on_purpose,
    copy_of_an_input_that_stays,
    copy_read_before_the_write,
    elements_written_by_themselves,
    gradient_without_the_copy,
]


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_right_graph_stays_the_same(function: Form, v2: bool) -> None:
    texts = []
    for install in (False, True):
        torch._dynamo.reset()
        passes = Passes()
        if install:
            compat.install("kept_snapshots")
        try:
            with torch._inductor.config.patch(enable_auto_functionalized_v2=v2):
                compiled = passes.compile(function)
                leaf = "w" in function.__code__.co_varnames
                x = torch.arange(16.0).view(4, 4)
                arguments = [x, torch.ones(4, 4, requires_grad=True)] if leaf else [x]
                result = compiled(*arguments)
                if leaf:
                    result.backward()
        finally:
            if install:
                compat.uninstall("kept_snapshots")
        texts.append(passes.graphs)
    assert texts[0] == texts[1]
    assert texts[0]


def foreach_of_lists(x: torch.Tensor, y: torch.Tensor) -> None:
    torch._foreach_add_([x, y], [y.clone(), x.clone()])


@needs_compiler
@pytest.mark.parametrize(
    "function",
    [FORMS["clone_of_a_value"][0], FORMS["gradient_of_a_copy"][0], foreach_of_lists],
    ids=lambda function: function.__name__,
)
def test_generated_code_is_right(function: Form, installed: None) -> None:
    with compile_quickly():
        assert case(function, torch.compile(function, fullgraph=True))


@needs_compiler
def test_standalone_compile_keeps_copies(installed: None) -> None:
    function = FORMS["clone_of_a_value"][0]
    graphs = []

    def capture(module: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append((module, inputs))
        return module

    x = torch.arange(16.0).view(4, 4) / 8
    torch.compile(function, backend=capture, fullgraph=True)(x.clone())
    from torch._inductor import standalone_compile

    with compile_quickly(), torch._inductor.config.patch(force_disable_caches=False):
        (module, inputs), *_ = graphs
        compiled = standalone_compile(module, inputs, dynamic_shapes="from_example_inputs")
        result = compiled(x.clone())
    result = result[0] if isinstance(result, (list, tuple)) else result
    assert torch.allclose(result, function(x.clone()))


def one_buffer(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b, b)
    return b * 2


def _in_a_process(name: str, folder: str) -> bool:
    import os

    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    compat.install("kept_snapshots")
    function = one_buffer if name == "one_buffer" else FORMS[name][0]
    with compile_quickly(), torch._inductor.config.patch(force_disable_caches=False):
        return case(function, torch.compile(function, fullgraph=True))


@needs_compiler
def test_warm_cache_has_the_copies(tmp_path: Path, warm: Callable[..., Any]) -> None:
    # The first program differs from the second by nothing but the copy.
    for name in ("one_buffer", "clone_of_a_value", "clone_of_a_value"):
        assert warm(_in_a_process, name, str(tmp_path))


def test_triton_kernel_gets_a_copy_of_what_it_writes(installed: None) -> None:
    triton = pytest.importorskip("triton")
    from torch._higher_order_ops.triton_kernel_wrap import (
        kernel_side_table,
        triton_kernel_wrapper_functional,
    )
    from torch._inductor import fx_utils
    from torch._inductor.fx_passes import post_grad, reinplace
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode

    kernel = triton.JITFunction(_kernel)
    arguments = {
        "kernel_idx": kernel_side_table.add_kernel(kernel),
        "constant_args_idx": kernel_side_table.add_constant_args({}),
        "grid": [(1, 1, 1)],
        "tma_descriptor_metadata": {},
        "tensors_to_clone": ["target"],
    }
    graph = torch.fx.Graph()
    mode = FakeTensorMode()
    with mode:
        x = graph.placeholder("x")
        x.meta["val"] = torch.empty(4, 4)

        def node(target: Any, *args: Any, **kwargs: Any) -> Any:
            made = graph.call_function(target, args, kwargs)
            made.meta["val"] = torch.empty(4, 4)
            return made

        b = node(torch.ops.aten.mm.default, x, x)
        old = node(torch.ops.aten.clone.default, b)
        call = node(triton_kernel_wrapper_functional, **arguments, kwargs={"source": old, "target": b})
        call.meta["val"] = {"target": torch.empty(4, 4)}
        graph.output((node(__import__("operator").getitem, call, "target"),))
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    takes_module = "gm" in fx_utils.FakeTensorUpdater.__init__.__code__.co_varnames
    with V.set_fake_mode(mode):
        updater = fx_utils.FakeTensorUpdater(module if takes_module else module.graph)
        post_grad.remove_noop_ops(module.graph)
        reinplace.reinplace_inplaceable_ops(updater, module.graph)
    (call,) = (n for n in module.graph.nodes if n.target is triton_kernel_wrapper_functional)
    assert call.kwargs["tensors_to_clone"] == []
    read, written = call.kwargs["kwargs"]["source"], call.kwargs["kwargs"]["target"]
    assert read is not written
    assert read.target is torch.ops.aten.clone.default


def _kernel(source: Any, target: Any) -> None:
    pass


def test_uninstall_restores_every_function() -> None:
    from torch._inductor.fx_passes import joint_graph, post_grad, reinplace

    functions = [
        post_grad.remove_noop_ops,
        post_grad.same_meta,
        joint_graph.remove_no_ops,
        reinplace.reinplace_inplaceable_ops,
        reinplace.should_reinplace_scatter,
        reinplace.InplaceableOp.extra_check,
    ]
    codes = [function.__code__ for function in functions]
    compat.install("kept_snapshots")
    assert all(f.__code__ is not code for f, code in zip(functions, codes))
    compat.uninstall("kept_snapshots")
    assert [function.__code__ for function in functions] == codes


def test_forms_have_names_of_their_own() -> None:
    assert len(FORMS) == len(set(FORMS))
    assert not set(FORMS) & {function.__name__ for function in RIGHT}
    assert len(list(itertools.chain(FORMS))) > 40
