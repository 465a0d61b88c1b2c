"""`kept_snapshots`: copies stay if something overwrites the original too soon, and only then."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.passes import Passes
from helpers.this_torch import RELEASE, needs_compiler, slow
from torch import library as torch_library

import compat
from compat.selfcheck.quick import compile_quickly

pytestmark = pytest.mark.filterwarnings("ignore")

LIBRARY = torch_library.Library("snapshots", "DEF")
OPS = torch.ops.snapshots


def shift(source: torch.Tensor, target: torch.Tensor) -> None:
    """Copy row by row, as a kernel may: wrong if both are one buffer."""
    for row in range(source.shape[0] - 1):
        target[row + 1].copy_(source[row])


def each_shift(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> None:
    for source, target in zip(sources, targets):
        shift(source, target)


def define(signature: str, function: Callable[..., Any], fake: Callable[..., Any]) -> None:
    name = signature.partition("(")[0]
    LIBRARY.define(signature)
    LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    torch_library.register_fake(f"snapshots::{name}", fake, lib=LIBRARY)


def shift_and_sum(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    shift(s, t)
    return s.sum()


define("shift(Tensor s, Tensor(a!) t) -> ()", shift, lambda s, t: None)
define("from_list(Tensor[] s, Tensor(a!) t) -> ()", lambda s, t: shift(s[0], t), lambda s, t: None)
define("into_list(Tensor s, Tensor(a!)[] t) -> ()", lambda s, t: shift(s, t[0]), lambda s, t: None)
define("each_shift(Tensor[] s, Tensor(a!)[] t) -> ()", each_shift, lambda s, t: None)
define("by_name(Tensor(a!) t, *, Tensor? s=None) -> ()", lambda t, s: shift(s, t), lambda t, s=None: None)
define("returning(Tensor s, Tensor(a!)? t) -> Tensor", shift_and_sum, lambda s, t: s.new_empty(()))

Form = Callable[..., Any]
NEVER = (99,)
# All take matrices of 4 by 4. An argument `w` gets a gradient.
CALLS: dict[str, Form] = {}  # of ops that write, wrong on every torch
OTHERS: dict[str, Form] = {}

COPIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "clone": lambda b: b.clone(),
    "clone of a clone": lambda b: b.clone().clone(),
    "view of a clone": lambda b: b.clone().view(-1).view(4, 4),
    "clone of a view": lambda b: b.t().clone().t(),
    "slice": lambda b: b[0:4].clone(),
    "copy_": lambda b: torch.empty_like(b).copy_(b),
    "to": lambda b: b.to(b.dtype, copy=True),
    "repeat": lambda b: b.repeat(1, 1),
    "cat": lambda b: torch.cat([b]),
    "zero": lambda b: b + torch.zeros(4, 4),
}


def form(forms: dict[str, Form]) -> Callable[[Form], Form]:
    def add(function: Form) -> Form:
        forms[function.__name__] = function
        return function

    return add


def add_copied(name: str, copy: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def of_a_value(x: torch.Tensor) -> torch.Tensor:
        b = x @ x.t()
        OPS.shift(copy(b), b)
        return b * 2

    def of_an_input(x: torch.Tensor) -> torch.Tensor:
        OPS.shift(copy(x), x)
        return x * 2

    CALLS[f"{name} of a value"], OTHERS[f"{name} of an input"] = of_a_value, of_an_input


for _name, _copy in COPIES.items():
    add_copied(_name, _copy)


@form(CALLS)
def list_argument(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.from_list(b.clone().split(4), b)
    return b * 2


@form(CALLS)
def list_written(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.into_list(b.clone(), [b])
    return b * 2


@form(CALLS)
def keyword_argument(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.by_name(b, s=b.clone())
    return b * 2


@form(CALLS)
def written_copy(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    c = b.clone()
    OPS.shift(b, c)
    return c * 2


@form(CALLS)
def two_copies(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    c, d = b.clone(), b.clone()
    OPS.shift(c.view(4, 4), d)
    return d * 2


@form(CALLS)
def result_of_the_op(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    r = OPS.returning(b.clone(), b)
    return b * 2 + r


@form(CALLS)
def again_and_again(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    for _ in range(3):
        OPS.shift(b.clone(), b)
    return b * 2


@form(CALLS)
def overlapping_slices(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    OPS.shift(b[:3].clone(), b[1:])
    return b * 2


BACK = [3, 2, 1, 0]


@form(OTHERS)
def index_of_an_input(x: torch.Tensor) -> None:
    x[torch.tensor(BACK)] = x.clone()


@form(OTHERS)
def index_of_a_value(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    b[torch.tensor(BACK)] = b.clone()
    return b @ x


@form(OTHERS)
def index_copy(x: torch.Tensor) -> None:
    x.index_copy_(0, torch.tensor(BACK), x.clone())


@form(OTHERS)
def put(x: torch.Tensor) -> None:
    x.put_(torch.arange(15, -1, -1), x.clone())


@form(OTHERS)
def roll_an_input(x: torch.Tensor) -> None:
    x[1:] = x[:-1].clone()


@form(OTHERS)
def roll_a_value(x: torch.Tensor) -> torch.Tensor:
    b = x @ x.t()
    b[1:] = b[:-1].clone()
    return b @ x


@form(OTHERS)
def diagonal(x: torch.Tensor) -> None:
    x.diagonal().copy_(x[:, 1].clone())


@form(OTHERS)
def copy_between_inputs(x: torch.Tensor, y: torch.Tensor) -> None:
    y[0:] = x[0:]
    x.add_(1)


@form(OTHERS)
def swap(x: torch.Tensor, y: torch.Tensor) -> None:
    old = x.clone()
    x.copy_(y)
    y.copy_(old)


@form(OTHERS)
def transpose_an_input(x: torch.Tensor) -> None:
    x.copy_(x.t().clone())


@form(OTHERS)
def returned(x: torch.Tensor) -> torch.Tensor:
    old = x.clone().view(-1).clone()
    x.mul_(2)
    return old * 1


@form(OTHERS)
def neutral_number_of_a_view(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    old, older = x.view(-1) + 0, 1 * x.t()
    x.add_(1)
    y.copy_(old.view(4, 4))
    return older


@form(OTHERS)
def other_number_of_a_view(x: torch.Tensor) -> torch.Tensor:
    old, older = x.view(-1) + 1, 0 - x.t()
    x.add_(1)
    return old.sum() + older


@form(OTHERS)
def gradient_of_a_copy(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    x.add_(1)
    return (w * old).sum()


@form(OTHERS)
def gradient_of_a_function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x[1:].sin()
    x.mul_(2)
    return (w[1:] * old * x[1:].clone()).sum()


@form(OTHERS)
def gradient_of_two_copies(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    one = x.clone()
    with torch.no_grad():
        x.add_(1)
    other = x[1:].clone()
    x[:3].mul_(2)
    return (torch.where(one > 1, w, w * one) * one).sum() + (w[1:] * other).sum()


@form(OTHERS)
def gradient_beside_a_running_mean(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    with torch.no_grad():
        x.lerp_(w, 0.25)
    return ((w - old) * (w - x)).sum()


@form(OTHERS)
def gradient_after_an_op(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    b = x @ x
    old = b.clone()
    OPS.shift(old, b)
    return (w * old * b).sum()


def each(op: str, *arguments: Any) -> None:
    getattr(torch, f"_foreach_{op}_")(*arguments)


@form(CALLS)
def lists_of_an_op(x: torch.Tensor) -> torch.Tensor:
    a, b = x @ x.t(), x @ x
    OPS.each_shift([b.clone(), a.clone()], [a, b])
    return a * b


@form(OTHERS)
def lists_of_inputs(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> None:
    each("add", [x, y, z], [y.clone(), z.clone(), x.clone()])


LISTS: dict[str, Form] = {
    "copies": lists_of_inputs,
    "sums": lambda x, y: each("mul", [x, y], [y + 1, x.sin()]),
    "flipped": lambda x, y: each("add", [x, y], [x.flip(0), y]),
    "another list": lambda x, y: each("add", [x, y], torch._foreach_mul([x, y], 2.0)[::-1]),
    "three lists": lambda x, y: each("addcmul", [x, y], [x.clone(), y.clone()], [y.clone(), x.clone()]),
    "broadcast": lambda x, y: each("copy", [x, y], [x[0].clone(), y]),
}
OWN: dict[str, Form] = {
    "own copies": lambda x, y: each("add", [x, y], [x.clone(), y.clone() + 1]),
    "own list": lambda x, y: each("add", [x, y], torch._foreach_mul([x, y], 2.0)),
    "other values": lambda x, y, z: each("mul", [x, y], [z + 1, z.sin()]),
    "scalar": lambda x, y: each("add", [x, y], 1),
}


# Of ops that write over an input: their result is needed after the input is overwritten.
RESULTS: dict[str, Form] = {}
FIRST, SECOND = torch.tensor([2, 0]), torch.tensor([1, 3])


@form(RESULTS)
def result_of_index_put(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    result = torch.index_put(x, (FIRST,), y[SECOND])
    x.copy_(result + 1)
    return result


@form(RESULTS)
def copy_of_written_slice(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[1:] = y[:-1]
    old = x.clone()
    x.add_(1)
    return old


@form(RESULTS)
def copy_after_the_call(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    OPS.shift(y, x)
    old = x.clone()
    x.add_(1)
    return old.t()


@form(RESULTS)
def copy_after_the_call_on_a_list(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    OPS.into_list(y, [x])
    old = x.clone()
    x.add_(1)
    return old


@form(OTHERS)
def copy_times_one(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[FIRST] = y[SECOND]
    old = x * 1
    x.mul_(2)
    return old


@form(RESULTS)
def first_of_two_results(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    one = torch.index_put(x, (FIRST,), y[SECOND])
    x.copy_(torch.index_put(one, (SECOND,), y[FIRST]))
    return one


@form(RESULTS)
def results_into_each_other(x: torch.Tensor, y: torch.Tensor) -> None:
    one = torch.index_put(x, (FIRST,), y[SECOND])
    other = torch.index_put(y, (FIRST,), x[SECOND])
    x.copy_(other)
    y.copy_(one)


@form(OTHERS)
def result_for_another_input(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> None:
    x.select(0, 1).copy_(z[0])
    y.copy_(x)
    x.add_(1)


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


def written_copy_of_an_input(x: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    OPS.shift(x, old)
    return old


def copy_read_before_the_write(x: torch.Tensor) -> torch.Tensor:
    y = x.clone() @ x
    x.add_(1)
    return y


def cache(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[torch.tensor([1, 2])] = y[:2].clone() + 1
    x[:, 1:3] = y[:, :2].clone()
    return x @ y


def result_written_back(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    OPS.shift(y, x)
    x[FIRST] = y[SECOND]
    return x.t() @ y, x.view(-1)


def result_read_before_the_write(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[FIRST] = y[SECOND]
    product = x @ y
    x.add_(1)
    return product


def copies_of_inputs(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x.clone(), x + y, (x - y).clone() * 1


def gradient_without_the_copy(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    old = x.clone()
    x.add_(1)
    return (torch.sin(w) + old).sum()


RIGHT = [
    used_afterwards,
    another_value,
    parts_that_do_not_overlap,
    one_buffer_on_purpose,
    written_copy_of_an_input,
    copy_read_before_the_write,
    cache,
    result_written_back,
    result_read_before_the_write,
    copies_of_inputs,
    gradient_without_the_copy,
]


def outcomes(functions: list[Form], run: Callable[..., Any]) -> list[list[torch.Tensor]]:
    """Return what each function returns and writes, and its gradients. `run` gets all functions and arguments."""
    given, names = [], [one.__code__.co_varnames[: one.__code__.co_argcount] for one in functions]
    for parameters in names:
        given.append([torch.arange(16.0).view(4, 4) / 8 + i for i in range(len(parameters))])
        if "w" in parameters:
            given[-1][1].requires_grad_()
    results = run(functions, given)
    returned = [
        [] if result is None else [result] if isinstance(result, torch.Tensor) else list(result) for result in results
    ]
    losses = [one for tensors in returned for one in tensors if one.requires_grad]
    if losses:
        torch.stack(losses).sum().backward()
    found = []
    for arguments, tensors in zip(given, returned):
        gradients = [one.grad for one in arguments if one.grad is not None]
        found.append([one.detach() for one in (*tensors, *arguments, *gradients)])
    return found


def call(functions: list[Form], given: list[list[torch.Tensor]]) -> list[Any]:
    return [function(*arguments) for function, arguments in zip(functions, given)]


def wrong(forms: dict[str, Form], compiled: Callable[..., Any]) -> set[str]:
    functions = list(forms.values())
    pairs = zip(outcomes(functions, call), outcomes(functions, compiled))
    same = [
        len(ones) == len(others) and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ones, others))
        for ones, others in pairs
    ]
    return {name for name, right in zip(forms, same) if not right}


def pass_by_pass(v2: bool = True, dynamic: bool = False) -> Callable[..., Any]:
    def run(functions: list[Form], given: list[list[torch.Tensor]]) -> list[Any]:
        results = []
        with torch._inductor.config.patch(enable_auto_functionalized_v2=v2):
            for function, arguments in zip(functions, given):
                torch._dynamo.reset()
                results.append(Passes().compile(function, dynamic=dynamic)(*arguments))
        return results

    return run


@pytest.fixture
def installed() -> Iterator[None]:
    import torch._inductor.compile_fx  # noqa: F401 (the shim waits for it)

    compat.install("kept_snapshots")
    yield
    compat.uninstall("kept_snapshots")


@pytest.fixture(autouse=True)
def no_caches() -> Iterator[None]:
    torch._dynamo.reset()
    with torch._inductor.config.patch(force_disable_caches=True):
        yield


@pytest.mark.parametrize("v2", [True, slow(False)], ids=["v2", "v1"])
def test_every_form_is_right_with_the_shim(v2: bool, installed: None) -> None:
    forms = {**CALLS, **OTHERS, **RESULTS} if v2 else {**CALLS, **RESULTS}
    assert wrong(forms, pass_by_pass(v2, dynamic=not v2)) == set()


def test_forms_are_wrong_without_the_shim() -> None:
    forms = {name: CALLS[name] for name in CALLS if name not in ("overlapping_slices", "again_and_again")}
    forms["gradient"] = gradient_of_a_copy
    assert wrong(forms, pass_by_pass()) == set(forms)


def test_forms_of_results_are_wrong_without_the_shim() -> None:
    assert wrong(RESULTS, pass_by_pass()) == set(RESULTS)


def test_call_that_tells_no_values_is_passed_over() -> None:
    import torch._inductor.compile_fx

    from compat.shims._buffers import overwriting

    graph, functional = torch.fx.Graph(), torch.ops.higher_order.auto_functionalized
    x = graph.placeholder("x")
    call = graph.call_function(functional, (OPS.shift.default,), {"s": x, "t": x})  # as a pass of an engine puts it in
    graph.call_function(operator.getitem, (call, 1))
    assert list(overwriting(call)) == []


def copy_of_what_an_op_wrote(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    x[FIRST] = y[SECOND]
    return [x.clone()]


def copy_of_a_written_part(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    x[1:] = y[:-1]
    return [x[:3].clone()]


def copy_of_what_a_call_wrote(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    OPS.shift(y, x)
    return [x * 1, x.clone().clone()]


def two_copies_of_a_new_value(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    x.add_(y)
    return [x.clone(), x.clone()]


def nothing_done_to_an_input(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    return [x * 1, y / 1.0, x + 0, y.clone() - 0]


@pytest.mark.parametrize(
    "function",
    [
        nothing_done_to_an_input,
        copy_of_what_an_op_wrote,
        copy_of_a_written_part,
        copy_of_what_a_call_wrote,
        two_copies_of_a_new_value,
    ],
    ids=lambda function: function.__name__,
)
def test_returned_copies_share_no_memory(function: Form, installed: None) -> None:
    x, y = torch.arange(16.0).view(4, 4), torch.ones(4, 4)
    results = Passes().compile(function)(x, y)
    assert len({tensor.untyped_storage().data_ptr() for tensor in (x, y, *results)}) == 2 + len(results)


@pytest.mark.skipif(RELEASE >= (2, 15), reason="native")
def test_forms_of_inputs_are_wrong_without_the_shim() -> None:
    forms = {name: OTHERS[name] for name in ("clone of an input", "copy_between_inputs", "swap")}
    assert wrong(forms, pass_by_pass()) == set(forms)


@pytest.mark.parametrize("v2", [True, False], ids=["v2", "v1"])
@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_right_graph_stays_the_same(function: Form, v2: bool) -> None:
    import torch._inductor.compile_fx

    texts = []
    for shim in (False, True):
        torch._dynamo.reset()
        passes = Passes()
        if shim:
            compat.install("kept_snapshots")
        try:
            with torch._inductor.config.patch(enable_auto_functionalized_v2=v2):
                compiled = passes.compile(function)
                outcomes([function], lambda _, given, compiled=compiled: [compiled(*given[0])])
        finally:
            if shim:
                compat.uninstall("kept_snapshots")
        texts.append(passes.graphs)
    assert texts[0] == texts[1]
    assert texts[0]


@pytest.mark.parametrize("name", [*LISTS, *OWN])
def test_op_on_lists_writes_its_arguments_only_if_no_other_kernel_reads_them(name: str, installed: None) -> None:
    passes, function = Passes(), {**LISTS, **OWN}[name]
    given = [torch.ones(4, 4)] * function.__code__.co_argcount
    passes.compile(function)(*[one.clone() for one in given])
    (graph,) = passes.graphs
    writes_in_place = any(f"_foreach_{op}_." in graph for op in ("add", "mul", "addcmul", "copy"))
    assert writes_in_place == (name in OWN)
    assert wrong({name: function}, pass_by_pass()) == set()


@pytest.mark.slow
@needs_compiler
def test_generated_code_for_lists_is_right(installed: None) -> None:
    forms = {name: LISTS[name] for name in ("copies", "sums", "flipped")}
    if RELEASE < (2, 10):
        del forms["flipped"]  # its graph is right, and torch 2.9.1 makes wrong code of it
    with compile_quickly():
        assert wrong(forms, torch.compile(call, fullgraph=True)) == set()


COMPILED = ("clone of a value", "list_argument", "index_of_a_value", "roll_a_value", "swap", "returned")


@pytest.mark.slow
@needs_compiler
def test_generated_code_is_right(installed: None) -> None:
    forms = {name: {**CALLS, **OTHERS}[name] for name in COMPILED}
    with compile_quickly():
        assert wrong(forms, torch.compile(call, fullgraph=True)) == set()


@pytest.mark.slow
@needs_compiler
def test_generated_code_has_right_gradients(installed: None) -> None:
    forms = {name: OTHERS[name] for name in OTHERS if name.startswith("gradient")}
    with compile_quickly():
        assert wrong(forms, torch.compile(call, fullgraph=True)) == set()


@pytest.mark.slow
@needs_compiler
def test_standalone_compile_keeps_copies(installed: None) -> None:
    from torch._inductor import standalone_compile

    graphs = []

    def capture(module: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append((module, inputs))
        return module

    function, x = CALLS["clone of a value"], torch.arange(16.0).view(4, 4) / 8
    torch.compile(function, backend=capture, fullgraph=True)(x.clone())
    with compile_quickly(), torch._inductor.config.patch(force_disable_caches=False):
        compiled = standalone_compile(*graphs[0], dynamic_shapes="from_example_inputs")
        result = compiled(x.clone())
    result = result[0] if isinstance(result, (list, tuple)) else result
    assert torch.allclose(result, function(x.clone()))


def in_a_process(form: Form, folder: str) -> set[str]:
    import os

    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    compat.install("kept_snapshots")
    with compile_quickly(), torch._inductor.config.patch(force_disable_caches=False):
        return wrong({"form": form}, torch.compile(call, fullgraph=True))


@needs_compiler
@pytest.mark.slow
def test_warm_cache_has_the_copies(tmp_path: Path, warm: Callable[..., Any]) -> None:
    # The first program differs from the second by nothing but the copy.
    for function in (one_buffer_on_purpose, keyword_argument, keyword_argument):
        assert warm(in_a_process, function, str(tmp_path)) == set()


def test_triton_kernel_gets_a_copy_of_what_it_writes(installed: None) -> None:
    triton = pytest.importorskip("triton")
    from torch._higher_order_ops.triton_kernel_wrap import kernel_side_table, triton_kernel_wrapper_functional
    from torch._inductor import fx_utils
    from torch._inductor.fx_passes import post_grad, reinplace
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode

    arguments = {
        "kernel_idx": kernel_side_table.add_kernel(triton.JITFunction(kernel)),
        "constant_args_idx": kernel_side_table.add_constant_args({}),
        "grid": [(1, 1, 1)],
        "tma_descriptor_metadata": {},
        "tensors_to_clone": ["target"],
    }
    graph, mode = torch.fx.Graph(), FakeTensorMode()
    with mode:
        x = graph.placeholder("x")
        x.meta["val"] = torch.empty(4, 4)

        def node(target: Any, *args: Any, **kwargs: Any) -> Any:
            made = graph.call_function(target, args, kwargs)
            made.meta["val"] = torch.empty(4, 4)
            return made

        b = node(torch.ops.aten.mm.default, x, x)
        old = node(torch.ops.aten.clone.default, b)
        launch = node(triton_kernel_wrapper_functional, **arguments, kwargs={"source": old, "target": b})
        launch.meta["val"] = {"target": torch.empty(4, 4)}
        graph.output((node(operator.getitem, launch, "target"),))
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    takes_module = "gm" in fx_utils.FakeTensorUpdater.__init__.__code__.co_varnames
    with V.set_fake_mode(mode):
        updater = fx_utils.FakeTensorUpdater(module if takes_module else module.graph)
        post_grad.remove_noop_ops(module.graph)
        reinplace.reinplace_inplaceable_ops(updater, module.graph)
    (launch,) = (n for n in module.graph.nodes if n.target is triton_kernel_wrapper_functional)
    assert launch.kwargs["tensors_to_clone"] == []
    read, written = launch.kwargs["kwargs"]["source"], launch.kwargs["kwargs"]["target"]
    assert read is not written
    assert read.target is torch.ops.aten.clone.default


def kernel(source: Any, target: Any) -> None:
    pass
