"""`kept_snapshots`: keep copies if something overwrites the original too soon.

Symptom: A copy has **wrong values**, because Inductor drops it and overwrites the
original. `old = b.clone(); op(old, b)`, where `op` writes `b`, calls `op` with one
buffer twice. `x[index] = x.clone()` reads rows that it has written already. `dst[:] =
src[:]; src.add_(1)` copies the new `src`. `x[index] = 0; old = x.clone(); x.add_(1)`
returns the new `x` for `old`. The backward of a value that was copied out of a buffer
reads the buffer as the forward left it. And `x * 1` returns `x` itself.
Upstream: pytorch#198031 (pytorch#198260 is a proposal), pytorch#198096 and
pytorch#197893 are open. pytorch#198131, pytorch#198132, pytorch#197829 and
pytorch#156786 are about graph inputs, which torch 2.15.0 repairs. Nothing is filed for
gradients.
Affected: every torch so far (2.15).
Removal: when every supported torch has pytorch#198260 and pytorch#198096 or their like.

Inductor's graphs are functional until late, so a copy of a value is the value. Five
steps make that wrong, and each has its rule here.

1. The graph ends by writing its mutated inputs. A copy stays if a node reads it at or
   after such a write of its original. It stays, too, if the program gets it and it
   would share memory with an input or with another result.
2. The reinplacing pass lets an op write over its argument if no later node reads that,
   but does not ask what the op itself reads. The op then gets a copy again.
3. The same pass turns `index_put` and its like into ops that write in place. They stay
   functional if they read what they would write. For an op on lists, the kernel of one
   tensor must not read another tensor of the list.
4. An op must not write over an input in place if its result is read at or after the
   write at the end of the graph: `b[i] = 0; old = b.clone(); b.add_(1)`.
5. The partitioner computes values again in the backward, from inputs that the forward
   has overwritten by then. It has to save what the forward reads from such inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Mentions, Parameters, Refers, Symbol
from . import _buffers as buffers
from . import _copies as copies
from . import _inputs as inputs
from . import _lists as lists
from ._trials import explain_failure
from .base import Shim

_POST_GRAD = "torch._inductor.fx_passes.post_grad"
_PASSES = "torch._inductor.fx_passes.reinplace"
_REMOVE = f"{_POST_GRAD}:remove_noop_ops"
_SAME = f"{_POST_GRAD}:same_meta"
_REINPLACE = f"{_PASSES}:reinplace_inplaceable_ops"
_CORE = f"{_PASSES}:reinplace_inplaceable_ops_core"
_CHECK = f"{_PASSES}:InplaceableOp.extra_check"
_SCATTER = f"{_PASSES}:should_reinplace_scatter"
_VIEWS = "torch._higher_order_ops.auto_functionalize:read_view_information_from_args"

# Marks a copy that has to stay, in `Node.meta`.
_KEPT = "compat_kept_snapshot"


def _replace_remove(wrapper: Wrapper) -> Callable[..., None]:
    """Apply rules 1 and 5, and note what rule 2 needs."""

    def remove_noop_ops(graph: Any) -> None:
        buffers.mark_calls(graph)
        writes = [(n, w) for n in graph.nodes if (w := buffers.written_nodes(n))]
        kept = copies.copies_to_keep(graph, writes)
        for node in kept:
            copies.name_copy(node)
            node.meta[_KEPT] = True
        try:
            wrapper.next(graph)
        finally:
            for node in kept:
                node.meta.pop(_KEPT, None)
        if writes and copies.is_joint(graph):
            copies.save_before_writes(writes)

    return remove_noop_ops


def _replace_same_meta(wrapper: Wrapper) -> Callable[..., bool]:
    """Have torch, which asks this last before it drops a copy, keep the marked ones."""

    def same_meta(node1: Any, node2: Any) -> bool:
        return bool(wrapper.next(node1, node2)) and _KEPT not in node1.meta

    return same_meta


def _replace_core(wrapper: Wrapper) -> Callable[..., None]:
    """Apply rule 4, and rule 3 to ops on lists, about which torch asks no question."""

    def reinplace_inplaceable_ops_core(graph: Any) -> None:
        later = [*lists.read_later(graph), *inputs.read_later(graph)]
        try:
            wrapper.next(graph)
        finally:
            for node in later:
                graph.erase_node(node)

    return reinplace_inplaceable_ops_core


def _replace_reinplace(wrapper: Wrapper) -> Callable[..., None]:
    """Apply rule 2."""

    def reinplace_inplaceable_ops(fake_tensor_updater: Any, graph: Any) -> None:
        wrapper.next(fake_tensor_updater, graph)
        for node in list(graph.nodes):
            if buffers.CALL_PARTS in node.meta and buffers.call_parts(node) is not None:
                _separate(node, *node.meta[buffers.CALL_PARTS])

    return reinplace_inplaceable_ops


def _separate(call: Any, written: tuple[str, ...], read: tuple[str, ...]) -> None:
    """Give a call copies of what it reads from buffers that it writes in place."""
    is_triton, passes = "tensors_to_clone" in call.kwargs, vars(sys.modules[_PASSES])
    given = call.kwargs["kwargs"] if is_triton else call.kwargs
    regions, made = buffers.written_in_place(call, given, written), {}

    def separate(node: Any) -> Any:
        value = node.meta.get("val")
        if not any(buffers.overlap(value, region) for region in regions):
            return node
        if node not in made:
            clone = sys.modules["torch"].ops.aten.clone.default
            with (
                passes["enable_python_dispatcher"](),
                call.graph.inserting_before(call),
            ):
                made[node] = passes["graph_call_function"](call.graph, clone, node)
        return made[node]

    map_arg = sys.modules["torch.fx"].map_arg
    changed = {n: map_arg(v, separate) if n in read else v for n, v in given.items()}
    if made:
        call.kwargs = {**call.kwargs, "kwargs": changed} if is_triton else changed


def _replace_check(wrapper: Wrapper) -> Callable[..., bool]:
    """Apply rule 3 to the ops that torch asks no other question about."""

    def extra_check(node: Any) -> bool:
        if not wrapper.next(node):
            return False
        form = buffers.in_place_form(node)
        if form is None:
            return True
        written = buffers.values(form[0])
        read = buffers.values((form[1], dict(node.kwargs)))
        return not any(buffers.overlap(w, r) for w in written for r in read)

    return extra_check


def _replace_scatter(wrapper: Wrapper) -> Callable[..., bool]:
    """Apply rule 3 to `b[1:] = b[:-1]` and its like, which write a view of a buffer."""

    def should_reinplace_scatter(node: Any) -> bool:
        if not wrapper.next(node):
            return False
        target, source, views = node.args
        if not hasattr(source, "meta") or not hasattr(target, "meta"):
            return True
        read, written = source.meta.get("val"), target.meta.get("val")
        if buffers.storage_of(read) != buffers.storage_of(written):
            return True
        with suppress(Exception):  # otherwise it may write all of the buffer
            written = buffers.viewed(written, views)
        return not buffers.overlap(read, written)

    return should_reinplace_scatter


SHIM = Shim(
    name="kept_snapshots",
    kind="fix",
    upstream="pytorch#198031 and pytorch#198096, open; graph inputs in torch 2.15.0",
    changes_codegen=True,
    revision=1,
    native=(
        Symbol(_REINPLACE, "function"),  # a stand-in would keep every copy
        Behaves(_REMOVE, "keeps copies of what is overwritten", explain_failure),
    ),
    backport=(
        Symbol(_REMOVE, "function"),
        Parameters(_REMOVE, ("graph",)),
        Refers(_REMOVE, "same_meta"),
        Symbol(_SAME, "function"),
        Parameters(_SAME, ("node1", "node2")),
        Symbol(f"{_POST_GRAD}:noop_registry"),
        Symbol(_REINPLACE, "function"),
        Parameters(_REINPLACE, ("fake_tensor_updater", "graph")),
        Symbol(_CORE, "function"),
        Parameters(_CORE, ("graph",)),
        Refers(_CORE, "extra_check"),
        Mentions(_CORE, "only_clone_these_tensors"),
        Symbol(_CHECK, "function"),
        Parameters(_CHECK, ("node",)),
        Symbol(_SCATTER, "function"),
        Parameters(_SCATTER, ("node",)),
        Symbol(f"{_PASSES}:inplaceable_ops"),
        Symbol(f"{_PASSES}:_SCATTER_OP_TO_VIEW"),
        Symbol(f"{_PASSES}:inplaceable_foreach_ops"),
        Refers(_SCATTER, "is_node_realized"),
        Symbol(f"{_PASSES}:graph_call_function", "function"),
        Refers(_CORE, "compute_overlapping_tensors"),
        Refers(_CORE, "GuardOnDataDependentSymNode"),
        Refers(_REINPLACE, "enable_python_dispatcher"),
        Symbol("torch._inductor.fx_utils:get_storage", "function"),
        Symbol("torch._inductor.fx_utils:get_fake_args_kwargs", "function"),
        Symbol("torch.utils.checkpoint:CheckpointPolicy", "class"),
        Parameters(
            _VIEWS, ("mutable_arg_names", "mutable_arg_types", "kwargs", "all_bases")
        ),
    ),
    replacements={
        _REMOVE: _replace_remove,
        _SAME: _replace_same_meta,
        _CORE: _replace_core,
        _REINPLACE: _replace_reinplace,
        _CHECK: _replace_check,
        _SCATTER: _replace_scatter,
    },
)
