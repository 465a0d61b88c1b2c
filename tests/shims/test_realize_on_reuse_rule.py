"""`realize_on_reuse`: which values are stored, checked on real lowerings without compiling them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from math import prod
from types import FunctionType
from typing import Any, NamedTuple

import pytest
import torch
from chain_loads import BF16, F32, ours, shape_of
from helpers.this_torch import RELEASE
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._inductor import config, ir
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.virtualized import V
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from compat.shims import realize_on_reuse as shim
from compat.shims.realize_on_reuse import bytes_spared
from compat.tools.demo import lowering

BOX = ir.StorageBox


# --- The rule itself --------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(2, 10**6))
def test_bytes_spared_matches_upstream_formula(reads: int, output: int, users: int) -> None:
    # vllm#42686: materialize when `reads * (users - 1) >= output * (1 + users)`
    assert (bytes_spared(reads, output, users) >= 0) == (reads * (users - 1) >= output * (1 + users))


class Decision(NamedTuple):
    data: Any
    users: int
    stored: bool
    expected: bool | None  # by the plain formula; None if only torch's own rules decide
    spared: int
    rounds: bool  # whether storing the value can change results


@contextmanager
def decisions(numerics: str = "traffic") -> Iterator[list[Decision]]:
    """Record every decision inside the context, with the formula computed independently of the shim."""
    found: list[Decision] = []
    own = BOX.should_realize_on_reuse

    def watched(box: Any, users: int, **later: Any) -> bool:
        stored, data = own(box, users, **later), box.data
        expected, spared = None, 0
        if users > 1 and isinstance(data, (ir.Pointwise, ir.Reduction)) and later.get("graph_reuse", True):
            heavy = heavy_or_large(box, users, later)
            reads = data.get_reads()
            moved = sum(V.graph.get_dep_size_hint(dep) for dep in reads)
            output = prod(map(int, data.get_size())) * data.get_dtype().itemsize
            spared = bytes_spared(moved, output, users)
            if reads and output:
                expected = heavy or spared >= 0
        found.append(Decision(data, users, stored, expected, spared, expected is not None and rounds(data)))
        return stored

    # Above the patch: torch calls this function.
    with ours(numerics=numerics), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BOX, "should_realize_on_reuse", watched)
        yield found


def rounds(data: Any) -> bool:
    narrow = any(V.graph.get_dtype(dep.name).itemsize < 4 for dep in data.get_reads())
    return narrow or (data.get_dtype().is_floating_point and data.get_dtype().itemsize < 4)


# The unpatched method of torch.
STOCK = FunctionType(BOX.should_realize_on_reuse.__code__, BOX.should_realize_on_reuse.__globals__)
STOCK.__kwdefaults__ = BOX.should_realize_on_reuse.__kwdefaults__


def heavy_or_large(box: Any, users: int, later: dict[str, Any]) -> bool:
    """Return the answer of torch's own method without its read count."""
    with config.patch(realize_reads_threshold=10**9):
        return bool(STOCK(box, users, **later))


SHAPES = [(6, 4), (6, 1), (1, 4), (1, 1)]
DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int32]
UNARY = ["neg", "relu", "abs", "exp", "sigmoid", "square"]


@st.composite
def programs(draw: Any) -> tuple[list[tuple[tuple[int, int], torch.dtype]], list[tuple[Any, ...]]]:
    inputs = draw(st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(DTYPES)), min_size=1, max_size=4))
    steps = []
    for n in range(draw(st.integers(1, 10))):
        value = st.integers(0, len(inputs) + n - 1)
        steps.append(
            draw(
                st.one_of(
                    st.tuples(st.just("add"), value, value),
                    st.tuples(st.sampled_from(UNARY), value),
                    st.tuples(st.just("to"), value, st.sampled_from(DTYPES)),
                    st.tuples(st.just("sum"), value),
                    st.tuples(st.just("expand"), value),
                )
            )
        )
    return inputs, steps


def run(steps: list[tuple[Any, ...]], values: list[torch.Tensor]) -> list[torch.Tensor]:
    values = list(values)
    for name, one, *other in steps:
        x = values[one]
        if name == "add":
            made = x + values[other[0]]
        elif name == "to":
            made = x.to(other[0])
        elif name == "sum":
            made = x.sum(-1, keepdim=True)
        elif name == "expand":
            made = x.expand(6, 4).contiguous() if x.shape != (6, 4) else x.relu()
        else:
            made = getattr(torch, name)(x.float() if not x.is_floating_point() else x)
        values.append(made)
    return values[-3:]


@settings(max_examples=60)
@given(programs(), st.sampled_from(["traffic", "exact"]))
def test_decisions_on_random_ir_match_plain_formula(program: Any, numerics: str) -> None:
    inputs, steps = program
    values = [torch.ones(shape, dtype=dtype) for shape, dtype in inputs]
    with decisions(numerics) as found:
        lowering.lower(lambda *given: run(steps, list(given)), values)
    for one in found:
        if one.expected is not None and (numerics == "traffic" or not one.rounds):
            assert one.stored == one.expected, (one.data, one.users, one.spared)


A, B = torch.ones(6, 4), torch.ones(6, 4)
AT = torch.tensor([[3, 1, 0, 2]] * 6)
BODIES: dict[str, tuple[Callable[..., Any], list[torch.Tensor]]] = {
    "a sum": (lambda a, b: a + b, [A, B]),
    "one of the same thing twice, and turned": (lambda a, b: a + a + b.flip(0) + b, [A, B]),
    "of all of a row": (lambda a, b: a + b[0], [A, B]),
    "padded": (lambda a, b: torch.nn.functional.pad(a * b, (1, 1)), [A, B]),
    "cut in halves": (lambda a, b: torch.cat([a, b], 1) + 1, [A, B]),
    "gathered": (lambda a, at: a.gather(1, at) + a, [A, AT]),
    "from no memory": (lambda a: torch.full_like(a, 2) + 1, [A]),
    "a reduction of what it makes up": (lambda a: a.sum() + torch.arange(9.0).sum(), [A]),
    "one number": (lambda a, b: a + b, [A[0, 0], B[0, 0]]),
}


@pytest.mark.parametrize("name", BODIES)
def test_quick_count_equals_long_count(name: str) -> None:
    function, values = BODIES[name]
    quick: list[Any] = []
    own = BOX.should_realize_on_reuse

    def watched(box: Any, users: int, **later: Any) -> bool:
        if isinstance(box.data, (ir.Pointwise, ir.Reduction)):
            counted, at_length = shim._count_quickly(box.data, vars(ir)), shim._count(box.data, vars(ir))
            assert counted in (None, at_length)
            assert at_length is not None or not box.data.get_reads()
            if isinstance(box.data, ir.Pointwise):
                quick.append(counted)
        return bool(own(box, users, **later))

    def reused(*given: Any) -> Any:
        made = function(*given)
        return made.sum(), made.abs().amax(), made.clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BOX, "should_realize_on_reuse", watched)
        lowering.lower(reused, values)
    assert quick
    # For some bodies only `get_reads` knows the reads.
    assert (quick[-1] is None) == (name in {"gathered", "from no memory"})


@pytest.mark.parametrize(
    "read", [("bucketize", None, ("bounds", 4, 0, 1), None, torch.int64, False), ("load_seed", "seeds", 0)]
)
def test_bucketize_and_load_seed_are_left_to_long_count(read: tuple[Any, ...]) -> None:
    # Called directly: the C++ backend has no pointwise body with one of these operations.
    loads = shim._loads_class()()
    getattr(loads, read[0])(*read[1:])
    assert loads.others


# --- Stored values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [8, 24])
def test_loads_of_float32_chain_do_not_grow_with_depth(depth: int) -> None:
    assert max(shape_of(depth, F32, None)) == 5
    assert shape_of(depth, F32, None, ours()) == [1, 2] * depth


def test_exact_leaves_rounded_values_to_torch_and_traffic_stores_them() -> None:
    assert shape_of(8, BF16, None, ours()) == shape_of(8, BF16, None)
    assert shape_of(8, BF16, None, ours(numerics="traffic")) == [1, 2] * 8
    assert shape_of(8, torch.float16, None, ours()) == shape_of(8, torch.float16, None)


@pytest.mark.parametrize(
    ("rows", "numerics", "stored"), [(2**13, "exact", True), (2**13 + 1, "exact", False), (2**13 + 1, "traffic", True)]
)
def test_exact_leaves_values_over_32_mb_to_torch(rows: int, numerics: str, stored: bool) -> None:
    # glibc takes blocks over 32 MB fresh from the kernel on every allocation, so storing them does not pay.
    def chain_of_sums(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> list[torch.Tensor]:
        both = a + b
        three = both + c
        return [reduce for x in (both, three) for reduce in (x.sum(0), x.amax(0), x.sum(1), x.amax(1), x.prod(1))]

    given = [torch.empty(rows, 1024) for _ in range(3)]  # never written, so they take no memory
    with decisions(numerics) as found:
        lowering.lower(chain_of_sums, given)
    assert any(decision.stored for decision in found if isinstance(decision.data, ir.Pointwise)) == stored


@pytest.mark.parametrize(
    ("numerics", "emulates", "stored"), [("exact", False, False), ("exact", True, True), ("traffic", False, True)]
)
def test_narrowed_value_is_stored_if_results_stay_equal(numerics: str, emulates: bool, stored: bool) -> None:
    def narrowed(a: Any, b: Any, c: Any) -> Any:
        y = (a + b + c).to(BF16)
        return y * 2, y * 3

    with config.patch(emulate_precision_casts=emulates), decisions(numerics) as found:
        lowering.lower(narrowed, [torch.ones(6, 4) for _ in range(3)])
    decided = {one.stored for one in found if one.data.get_dtype() == BF16 and one.spared > 0}
    assert decided == {stored}


def test_value_that_costs_one_byte_more_is_not_stored() -> None:
    given = [torch.ones(size, dtype=torch.uint8) for size in (2, 2, 1)]
    with decisions() as found:
        lowering.lower(lambda a, b, c: (lambda y: (y * 2, y * 3))(a + b + c), given)
    # Stored: 5 bytes read, 2 written, and 2 read by each of the two users. Inlined: 5 read by each user.
    assert (2, -1, False) in [(one.users, one.spared, one.stored) for one in found]


def test_exact_keeps_vector_lanes_of_sums() -> None:
    # float32 computed from 16-bit values: on the CPU, a sum over the stored value uses half as many vector lanes.
    assert shape_of(8, BF16, F32, ours()) == shape_of(8, BF16, F32)
    assert shape_of(8, BF16, F32, ours(numerics="traffic")) != shape_of(8, BF16, F32)


def test_gather_counts_one_element_per_step_and_not_its_table() -> None:
    def three_users(table: Any, index: Any, x: Any) -> Any:
        y = table[index] + x
        return y.sum(0), y.sum(1), y.amax(0)

    values = [torch.ones(10**6), torch.zeros(8, 8, dtype=torch.int64), torch.ones(8, 8)]
    with decisions() as found:
        lowering.lower(three_users, values)
    assert [one.stored for one in found if one.users == 3 and isinstance(one.data, ir.Pointwise)]
    # 4 bytes of the table, 4 of x and 8 of the index for 4 of output: 16 * 2 >= 4 * 4
    with decisions() as found:
        lowering.lower(lambda t, i: (lambda y: (y.sum(0), y.amax(0)))(t[i].relu()), [values[0], values[1].int()])
    # 4 of the table and 4 of the index: 8 * 1 < 4 * 3, whatever the table's size
    assert not any(one.stored for one in found if isinstance(one.data, ir.Pointwise))


@pytest.mark.skipif(RELEASE < (2, 13), reason="the parameter came in 2.13")
def test_broadcast_is_no_reuse_from_2_13_on() -> None:
    with ours(), decisions() as found:
        lowering.lower(lambda x, y, z: (x + y + z).expand(64, 8) * 2, [torch.ones(1, 8) for _ in range(3)])
    assert not any(one.stored for one in found)


# --- Dynamic sizes ----------------------------------------------------------------------------------------------------


def traced(function: Callable[..., Any], values: list[Any]) -> Any:
    graph = make_fx(function, tracing_mode="symbolic")(*values)
    return graph, [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]


def test_dynamic_sizes_add_no_guard_and_give_same_decision() -> None:
    def four(a: Any, b: Any, c: Any, d: Any) -> Any:
        y = a + b + c + d
        return y.sum(0), y.amax(0), y * 2

    def guards_and_stored(context: Any) -> tuple[list[str], int]:
        graph, fakes = traced(four, [torch.ones(6, 4) for _ in range(4)])
        env: ShapeEnv = fakes[0].fake_mode.shape_env
        with context:
            lowered = lowering.run(graph, fakes)
        return sorted(str(guard.expr) for guard in env.guards), len(lowered.buffers)

    with config.patch(realize_reads_threshold=10**9):
        plain, patched = guards_and_stored(nullcontext()), guards_and_stored(ours())
    assert patched[0] == plain[0]
    assert patched[1] == plain[1] + 1


def test_size_with_hint_counts_as_its_number() -> None:
    """The elements have different widths, because torch gives hints in bytes."""

    def mixed(a: Any, b: Any) -> Any:
        y = a + b.relu()
        return y.sum(0), y.amax(0), y * 2

    values, counted = [torch.ones(6, 4), torch.ones(6, 4, dtype=torch.float64)], []
    own = BOX.should_realize_on_reuse

    def watched(box: Any, users: int, **later: Any) -> bool:
        counted.append(shim._count(box.data, vars(ir)))
        return bool(own(box, users, **later))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BOX, "should_realize_on_reuse", watched)
        lowering.run(*traced(mixed, values))
        dynamic = counted.copy()
        counted.clear()
        lowering.lower(mixed, values)
    assert dynamic == counted
    assert (6 * 4 * 12, 6 * 4 * 8) in dynamic


@pytest.mark.parametrize(("threshold", "stored"), [(4, False), (2, True)])
@pytest.mark.parametrize("part", [lambda x, n: x[:n], lambda x, n: x[:1].expand(n, 4)], ids=["rows", "one row for all"])
def test_size_without_hint_falls_back_to_read_count_of_torch(
    part: Callable[..., Any], threshold: int, stored: bool
) -> None:
    def unbacked(x: Any, a: Any, b: Any, c: Any) -> Any:
        n = x.item()
        torch._check(n >= 2)
        torch._check(n <= 6)
        y = part(a, n) + part(b, n) + part(c, n)
        return y.sum(0), y.amax(0), y.abs().sum(0)

    class Module(torch.nn.Module):
        forward = staticmethod(unbacked)

    with warnings.catch_warnings():  # export's own, on 2.11
        warnings.simplefilter("ignore")
        exported = torch.export.export(Module(), (torch.tensor(3), *(torch.ones(6, 4) for _ in range(3))))
        graph = exported.run_decompositions(select_decomp_table()).graph_module
    for node in [node for node in graph.graph.nodes if "constrain_range" in node.name]:
        graph.graph.erase_node(node)  # 2.9.1 cannot lower these on their own
    fakes = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
    seen: list[bool] = []
    own = BOX.should_realize_on_reuse

    def watched(box: Any, users: int, **later: Any) -> bool:
        decided = bool(own(box, users, **later))
        if users == 3 and isinstance(box.data, ir.Pointwise) and box.data.num_reads() == 3:
            seen.append(decided)
        return decided

    with config.patch(realize_reads_threshold=threshold), ours(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BOX, "should_realize_on_reuse", watched)
        lowering.run(graph, fakes)
    assert seen
    assert set(seen) == {stored}
