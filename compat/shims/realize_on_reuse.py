"""`realize_on_reuse`: store a reused value once if that moves fewer bytes.

Symptom: Each kernel of a residual chain computes the chain again from all its parts.
Inductor stores a reused value only if it takes more than 4 reads to compute it. A
residual add takes 2 reads, so later kernels load 1, 2, 3, 4, 5 parts in turn.
Upstream: pytorch#176994 and, for torch 2.11, vllm#42686 compare memory traffic. **No
released torch has it.** Upstream backed it out before 2.12.0 (pytorch#182184,
pytorch#182324), and vLLM reverted it (vllm#42913). The reasons were changed outputs,
kernels with very many arguments, and longer compiles.
Affected: every torch up to 2.15.
Removal: when every supported torch weighs traffic itself.

The rule: R bytes are read to compute the value once, and it has O bytes. Inlined, each
user reads R. Stored, R is read once, O is written once, and each user reads O. So the
value is stored if `R * users >= R + O * (1 + users)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from math import prod
from types import SimpleNamespace
from typing import Any, Literal, get_args

from ..patching.context import Context
from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from ..selection import Mode
from .base import Shim

_BOX = "torch._inductor.ir:StorageBox.should_realize_on_reuse"
_HINT = "torch._inductor.graph:GraphLowering.get_dep_size_hint"
Numerics = Literal["exact", "traffic"]
_EXACT, _TRAFFIC = get_args(Numerics)
# glibc's malloc takes larger blocks fresh from the kernel, which clears their pages.
# Storing one costs more than it saves on the CPU: 64 MB took 25 ms, and 3.4 ms in used
# memory. "traffic" has no such limit, or its results would depend on sizes.
_FRESH = 32 * 2**20
_READS = "_compat_reads"  # the attribute that keeps a value's traffic, once counted


def bytes_spared(reads: int, output: int, users: int) -> int:
    """Return how many bytes storing a value saves (the rule of vllm#42686)."""
    return reads * users - (reads + output * (1 + users))


def _replace_should_realize_on_reuse(wrapper: Wrapper) -> Callable[..., bool]:
    """Have `should_realize_on_reuse` compare traffic instead of counting reads."""
    ir = wrapper.original.__globals__

    def should_realize_on_reuse(box: Any, users: int, **later: Any) -> bool:
        numerics, data = SHIM.requested(), box.data
        exact, loops = numerics == _EXACT, (ir["Pointwise"], ir["Reduction"])
        applies = numerics is not None and users > 1 and isinstance(data, loops)
        if not applies or (exact and not _keeps_results(data, ir)):
            return bool(wrapper.next(box, users, **later))
        # First torch's other rules: heavy operations, large bodies, 2.13's graph_reuse.
        large = box.has_large_inner_fn
        bare = SimpleNamespace(data=data, has_large_inner_fn=large, num_reads=lambda: 0)
        if wrapper.next(bare, users, **later):
            return True
        if not later.get("graph_reuse", True) or not _can_pay(data, users, ir):
            return False
        traffic = _traffic(data, ir)
        if traffic is None or (exact and traffic[1] > _FRESH and ir["is_cpu"](data)):
            return bool(wrapper.next(box, users, **later))
        return bytes_spared(*traffic, users) >= 0

    return should_realize_on_reuse


def _keeps_results(data: Any, ir: dict[str, Any]) -> bool:
    """Tell whether storing the value changes no bit of any result.

    Inductor rounds 16-bit floats only when it stores them, which changed vLLM's output.
    On the CPU, the narrowest dtype that a kernel reads sets the number of lanes of its
    sums, and so their rounding.
    """
    dtype = data.get_dtype()
    is_rounded = dtype.is_floating_point and dtype.itemsize < 4
    if is_rounded and not ir["config"].emulate_precision_casts:
        return False
    return not ir["is_cpu"](data) or min(_widths_of_reads(data, ir), default=4) >= 4


def _widths_of_reads(data: Any, ir: dict[str, Any]) -> list[int]:
    """Return the bytes of one element, for each load that the value takes."""
    names = data.inner_fn_opcount().read_buffers
    return [ir["V"].graph.get_dtype(name).itemsize for name in names]


def _can_pay(data: Any, users: int, ir: dict[str, Any]) -> bool:
    """Tell whether the rule can hold, without tracing the value's body again."""
    if not isinstance(data, ir["Pointwise"]) or _READS in vars(data):
        return True
    # No load of a pointwise value reads more elements than the value has.
    reads = sum(_widths_of_reads(data, ir))
    return bytes_spared(reads, data.get_dtype().itemsize, users) >= 0


def _traffic(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    """Count once the bytes that computing a value reads, and its own, if known."""
    known: dict[str, tuple[int, int] | None] = vars(data)
    if _READS not in known:
        known[_READS] = _count_quickly(data, ir) or _count(data, ir)
    return known[_READS]


def _count_quickly(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    """Count a pointwise value of known size in a quarter of the time of `_count`."""
    sizes, graph = data.get_size(), ir["V"].graph
    if not isinstance(data, ir["Pointwise"]) or not _all_numbers(sizes, ir):
        return None
    (index,) = data.inner_fn_args()
    size_of = {symbol: int(size) for symbol, size in zip(index, sizes) if size != 1}
    loads, flexible = _loads_class()(), ir["FlexibleLayout"]
    allowed, flexible.allow_indexing = flexible.allow_indexing, True
    try:
        with ir["V"].set_ops_handler(loads):
            data.inner_fn(index)
    finally:
        flexible.allow_indexing = allowed
    if loads.others or not loads.found:
        return None  # `_count` decides
    read = 0
    for name, place in loads.found:
        along = ir["sympy"].sympify(place).free_symbols
        elements = prod(size for symbol, size in size_of.items() if symbol in along)
        read += elements * int(graph.get_dtype(name).itemsize)
    return read, prod(size_of.values()) * int(data.get_dtype().itemsize)


@cache
def _loads_class() -> type:
    """Make the handler that records loads, from torch's own list of operations."""
    ops_handler = sys.modules["torch._inductor.ops_handler"]

    class Loads(ops_handler.NoopHandler):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.found: set[tuple[str, Any]] = set()
            self.others = False  # whether only `get_reads` can tell the reads

        def load(self, name: str, index: Any) -> None:
            self.found.add((name, index))

        def masked(self, mask: Any, body: Callable[[], Any], other: Any) -> Any:
            return body()

        def indirect_indexing(self, *_: Any, **__: Any) -> Any:
            self.others = True
            return 0

        bucketize = load_seed = indirect_indexing

    return Loads


def _all_numbers(sizes: Iterable[Any], ir: dict[str, Any]) -> bool:
    return all(isinstance(length, (int, ir["sympy"].Integer)) for length in sizes)


def _count(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    """Count any value by torch's `get_reads`. None if a size is not known."""
    graph, dependencies = ir["V"].graph, sys.modules["torch._inductor.dependencies"]
    reads = list(data.get_reads())
    widths = [int(graph.get_dtype(read.name).itemsize) for read in reads]
    hints = [int(graph.get_dep_size_hint(read)) for read in reads]
    if not hints or not all(hints):
        return None

    def elements(size: tuple[Any, ...]) -> int:
        if _all_numbers(size, ir):
            return prod(map(int, size))
        # A dense access gets torch's own hint: without a guard, and 0 if it is unknown.
        name, sympy = reads[0].name, ir["sympy"]
        (names,), _ = dependencies.index_vars_no_squeeze(size, prefix="c")
        dense = dependencies.MemoryDep(name, sympy.Add(*names), tuple(names), size)
        return int(graph.get_dep_size_hint(dense)) // widths[0]

    output = tuple(data.get_size())
    steps = elements((*output, *data.get_reduction_size()))
    # A gather reads one element in each step, but torch's hint is the whole table.
    moved = sum(min(hint, steps * width) for hint, width in zip(hints, widths))
    size = elements(output) * int(data.get_dtype().itemsize)
    return (moved, size) if steps else None


def realize_on_reuse(*, mode: Mode = "auto", numerics: Numerics = "exact") -> Context:
    """Store a reused value once if that moves fewer bytes than computing it anew.

    Holds for what the thread or asyncio task that enters the context compiles with
    Inductor, until it is left. The shim is part of torch's `cache_key_tag` meanwhile.
    Can be nested, entered again, and used as a decorator.

    Args:
        mode: "auto" is a backport on torch 2.11, native if torch has the rule (no
            release has), else nothing. "backport" works from 2.9.1 to 2.15.0.
        numerics: "exact" leaves a value to torch's own rule if storing it would change
            results: 16-bit floats, and on the CPU all values computed from elements of
            less than 32 bits. "traffic" takes all, so results change by a rounding.

    Returns:
        A context manager. It yields nothing.

    Raises:
        ValueError: the mode or the numerics are unknown.
        UnsupportedError: argument or environment name a mode that torch cannot have.

    Source: pytorch#176994, vllm#42686.

    """
    if numerics not in (_EXACT, _TRAFFIC):
        raise ValueError(f"numerics is {numerics!r}; it can be {_EXACT}, {_TRAFFIC}")
    return SHIM.context(numerics, mode)


SHIM: Shim = Shim(
    name="realize_on_reuse",
    kind="speed",
    upstream=(
        "pytorch#176994, backed out before torch 2.12.0 "
        "(pytorch#182184, pytorch#182324)"
    ),
    changes_codegen=True,
    revision=1,
    native=(Refers(_BOX, "get_reads"),),
    backport=(
        Parameters(_BOX, ("self", "users")),
        Symbol(_BOX, "function"),
        Refers(_BOX, "num_reads"),
        Refers(_BOX, "has_large_inner_fn"),
        Parameters("torch._inductor.ir:is_cpu", ("x",)),
        Symbol("torch._inductor.ir:Pointwise", "class"),
        Symbol("torch._inductor.ir:Reduction", "class"),
        Parameters("torch._inductor.ir:Loops.get_reads", ("self",)),
        Refers("torch._inductor.ir:Loops.num_reads", "read_buffers"),
        Parameters(_HINT, ("self", "dep")),
        Symbol("torch._inductor.dependencies:MemoryDep", "class"),
        Refers("torch._inductor.dependencies:MemoryDep.get_numel", "var_names"),
        Symbol("torch._inductor.dependencies:index_vars_no_squeeze", "function"),
        Symbol("torch._inductor.ops_handler:NoopHandler", "class"),
        Parameters("torch._inductor.ir:Loops.inner_fn_args", ("self",)),
        Symbol("torch._inductor.ir:FlexibleLayout.allow_indexing"),
    ),
    replacements={_BOX: _replace_should_realize_on_reuse},
    value=_EXACT,
    token_of=lambda value: SHIM.token + ("" if value == _EXACT else f"/{value}"),
)
