"""`realize_on_reuse`: a value that several kernels read is stored once where that moves fewer bytes.

Symptom: Each kernel of a residual chain computes the chain again from all its parts.
Inductor stores a reused value only if it takes more than 4 reads to compute it. A
residual add takes 2 reads, so later kernels load 1, 2, 3, 4, 5 parts, layer after
layer.
Upstream: pytorch#176994 and, for torch 2.11, vllm#42686 weigh memory traffic instead. **No released torch has it**: it
was backed out before 2.12.0 (pytorch#182184, pytorch#182324) and reverted in vLLM (vllm#42913), for outputs that
differ, for kernels with very many arguments, and for compile time. What is done against each stands below.
Affected: every torch up to 2.15.
Removal: when every supported torch weighs traffic itself.

The rule. R bytes are read to compute the value once, and it has O bytes. Inlined, each user reads R. Stored, R is read
once, O is written once, and each user reads O. So it is stored if `R * users >= R + O * (1 + users)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import prod
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
# What glibc's malloc takes fresh from the kernel each time, whatever its settings: each page of it is cleared first.
# To write 64 MB took 25 ms there, and 3.4 ms into memory that was used before: on the CPU, storing that much is a loss
# (0.82x of stock's speed for a residual chain). Only "exact" minds: results must not hang on sizes.
_FRESH = 32 * 2**20
_READS = "_compat_reads"  # where a value's traffic is kept on it, once it is known

def bytes_spared(reads: int, output: int, users: int) -> int:
    """The rule: how many bytes are not moved if a value of `output` bytes, computed from `reads` bytes, is stored and
    read `users` times, and not computed anew for each user. Source: vllm#42686."""
    return reads * users - (reads + output * (1 + users))


class _WithoutReads:
    """A StorageBox to the rules of torch's own method that have nothing to do with how much is read."""

    def __init__(self, box: Any) -> None:
        self.data, self.has_large_inner_fn = box.data, box.has_large_inner_fn

    def num_reads(self) -> int:
        return 0


def _deciding(wrapper: Wrapper) -> Callable[..., bool]:
    """Stands in for `StorageBox.should_realize_on_reuse`. Each version's own rules for heavy operations, large bodies
    and, from 2.13 on, for loops that broadcast (graph_reuse=False) are asked first; only the count of reads goes."""
    ir = wrapper.original.__globals__

    def should_realize_on_reuse(box: Any, users: int, **later: Any) -> bool:
        numerics, stock = SHIM.requested(), wrapper.next
        data = box.data
        if numerics is None or users < 2 or not isinstance(data, (ir["Pointwise"], ir["Reduction"])):
            return bool(stock(box, users, **later))
        if numerics == _EXACT and not _stores_all_of(data, ir):
            return bool(stock(box, users, **later))
        if stock(_WithoutReads(box), users, **later):
            return True
        if not later.get("graph_reuse", True) or not _can_pay(data, users, ir):
            return False
        traffic = _traffic(data, ir)
        if traffic is None:
            return bool(stock(box, users, **later))
        if numerics == _EXACT and traffic[1] > _FRESH and ir["is_cpu"](data):
            return bool(stock(box, users, **later))
        return bytes_spared(*traffic, users) >= 0

    return should_realize_on_reuse


def _stores_all_of(data: Any, ir: dict[str, Any]) -> bool:
    """Whether results stay the same, bit by bit. Inductor computes 16-bit floats in 32 bits, and an inlined value keeps
    them: stored, it is rounded. That is what made vLLM's outputs depend on what was stored. And on the CPU a sum takes
    as many lanes as fit the narrowest dtype that its kernel reads: in other lanes it rounds otherwise."""
    dtype, config = data.get_dtype(), ir["config"]
    if dtype.is_floating_point and dtype.itemsize < 4 and not config.emulate_precision_casts:
        return False
    return not ir["is_cpu"](data) or min(_widths_of_reads(data, ir), default=4) >= 4


def _widths_of_reads(data: Any, ir: dict[str, Any]) -> list[int]:
    """The bytes of an element, for each load that the value takes."""
    return [ir["V"].graph.get_dtype(name).itemsize for name in data.inner_fn_opcount().read_buffers]


def _can_pay(data: Any, users: int, ir: dict[str, Any]) -> bool:
    """Whether the rule can hold at all, from what is counted already: no load of a pointwise value reads more elements
    than it has. Most values end here; to know their traffic their body would have to be traced once more."""
    if not isinstance(data, ir["Pointwise"]) or _READS in vars(data):
        return True
    return bytes_spared(sum(_widths_of_reads(data, ir)), data.get_dtype().itemsize, users) >= 0


def _traffic(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    """The bytes that computing the value reads, and its own; None where a size is not known. Found once for a value."""
    known: dict[str, Any] = vars(data)
    if _READS not in known:
        known[_READS] = _counted_at_once(data, ir) or _counted(data, ir)
    found: tuple[int, int] | None = known[_READS]
    return found


def _counted_at_once(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    """The same for the usual case, a pointwise value of a size in plain numbers, in a quarter of the time: `get_reads`
    writes all that the value does as text. None for any other, and where a load depends on what was loaded."""
    sizes, graph = data.get_size(), ir["V"].graph
    if not isinstance(data, ir["Pointwise"]) or not _all_numbers(sizes, ir):
        return None
    (index,) = data.inner_fn_args()
    size_of = {symbol: int(size) for symbol, size in zip(index, sizes) if size != 1}
    loads, flexible = _loads_class()(), ir["FlexibleLayout"]
    allowed = flexible.allow_indexing
    flexible.allow_indexing = True
    try:
        with ir["V"].set_ops_handler(loads):
            data.inner_fn(index)
    finally:
        flexible.allow_indexing = allowed
    if loads.others or not loads.found:
        return None
    read = 0
    for name, place in loads.found:
        along = ir["sympy"].sympify(place).free_symbols
        elements = prod(size for symbol, size in size_of.items() if symbol in along)
        read += elements * int(graph.get_dtype(name).itemsize)
    return read, prod(size_of.values()) * int(data.get_dtype().itemsize)


@lru_cache(maxsize=None)
def _loads_class() -> type:
    """Notes what is loaded, and where, when a value's body runs with it. A class of torch's own, for that alone knows
    which operations there are; made when Inductor is imported."""
    ops_handler = sys.modules["torch._inductor.ops_handler"]

    class Loads(ops_handler.NoopHandler):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.found: set[tuple[str, Any]] = set()
            self.others = False  # whether it also reads in ways that only `get_reads` knows

        def load(self, name: str, index: Any) -> None:
            self.found.add((name, index))

        def masked(self, mask: Any, body: Callable[[], Any], other: Any) -> Any:
            return body()

        def indirect_indexing(self, *_: Any, **__: Any) -> Any:
            self.others = True
            return 0

        def bucketize(self, *_: Any, **__: Any) -> None:
            self.others = True

        load_seed = bucketize

    return Loads


def _all_numbers(sizes: Iterable[Any], ir: dict[str, Any]) -> bool:
    return all(isinstance(length, (int, ir["sympy"].Integer)) for length in sizes)


def _counted(data: Any, ir: dict[str, Any]) -> tuple[int, int] | None:
    graph, dependencies = ir["V"].graph, sys.modules["torch._inductor.dependencies"]
    reads = list(data.get_reads())
    if not reads:
        return None

    def elements(size: tuple[Any, ...]) -> int:
        if _all_numbers(size, ir):
            return prod(map(int, size))
        # As a dense access to something that is read, so that each version hints at it in its own way: without a guard,
        # and with 0 for a size that is not known.
        (names,), _ = dependencies.index_vars_no_squeeze(size, prefix="c")
        dense = dependencies.MemoryDep(reads[0].name, ir["sympy"].Add(*names), tuple(names), size)
        return int(graph.get_dep_size_hint(dense)) // width_of(reads[0].name)

    def width_of(name: str) -> int:
        return int(graph.get_dtype(name).itemsize)

    output, loops = tuple(data.get_size()), (*data.get_size(), *data.get_reduction_size())
    steps, hints = elements(loops), [int(graph.get_dep_size_hint(read)) for read in reads]
    if not steps or not all(hints):
        return None
    # A gather reads an element in each step, not the table that it is told to read.
    moved = sum(min(hint, steps * width_of(read.name)) for hint, read in zip(hints, reads))
    return moved, elements(output) * int(data.get_dtype().itemsize)


def realize_on_reuse(*, mode: Mode = "auto", numerics: Numerics = "exact") -> Context:
    """Store a reused value once if that moves fewer bytes than computing it anew.

    Holds for what the thread or asyncio task that enters the context compiles with
    Inductor, until it is left. Meanwhile `torch.compiler.config.cache_key_tag` carries
    it there. Can be nested, entered again, and used as a decorator.

    Args:
        mode: "auto" is a backport on torch 2.11, native if torch has the rule (no
            release has), else nothing. "backport" works from 2.9.1 to 2.15.0.
        numerics: "exact" leaves a value to torch's own rule if storing it would change
            results: 16-bit floats, and on the CPU all values computed from elements of
            less than 32 bits. "traffic" does not, and they change by a rounding.

    Returns:
        A context manager. It yields nothing.

    Raises:
        ValueError: a word is unknown.
        UnsupportedError: a mode asked for by name cannot be had. Never under "auto".

    Source: pytorch#176994, vllm#42686.
    """
    if numerics not in (_EXACT, _TRAFFIC):
        allowed = f"{_EXACT}, {_TRAFFIC}"
        raise ValueError(f"numerics is {numerics!r}; it can be {allowed}")
    return SHIM.context(numerics, mode)


def _token_of(numerics: str) -> str:
    return SHIM.token if numerics == _EXACT else f"{SHIM.token}/{numerics}"


SHIM = Shim(
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
    replacements={_BOX: _deciding},
    value=_EXACT,
    token_of=_token_of,
)
