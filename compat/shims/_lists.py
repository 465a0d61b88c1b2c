"""Tell which ops on lists must not write their arguments, for `kept_snapshots`.

Inductor computes the new value of each tensor of the list in its own kernel. A value
that it inlines, as a copy or a sum, is read in that kernel as well.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

from ._buffers import overlap, storage_of

_REINPLACE = "torch._inductor.fx_passes.reinplace"


def read_later(graph: Any) -> list[Any]:
    """Read again, after an op on lists, what it must not overwrite.

    Torch then keeps the op functional. Returns the new nodes, for the caller to erase.
    """
    ops = sys.modules[_REINPLACE].inplaceable_foreach_ops
    clone = sys.modules["torch"].ops.aten.clone.default
    new = []
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in ops:
            target = _overwritten_too_soon(node)
            if target is not None:
                with graph.inserting_after(node):
                    new.append(graph.call_function(clone, (target,)))
    return new


def _overwritten_too_soon(call: Any) -> Any:
    """Return a tensor of the list whose old value another kernel reads, or None."""
    places: dict[int | None, list[int]] = {}
    for place, target in enumerate(call.args[0]):
        places.setdefault(storage_of(target.meta.get("val")), []).append(place)
    for place in range(len(call.args[0])):
        found = _read_of_another(call, place, places)
        if found is not None:
            return found
    return None


def _read_of_another(call: Any, place: int, places: dict[int | None, list[int]]) -> Any:
    """Return a tensor of the list that the kernel of this place reads, or None.

    It may read the elements of its own tensor that it writes: at the same index.
    """
    realized, written = sys.modules[_REINPLACE].is_node_realized, call.args[0]
    todo = [(node, True) for node in _inputs(call, place)]
    seen = set(todo)
    while todo:
        node, is_aligned = todo.pop()
        value = node.meta.get("val")
        for other in places.get(storage_of(value), ()):
            is_own = other == place and is_aligned and node is written[other]
            if not is_own and overlap(value, written[other].meta.get("val")):
                return written[other]
        if not realized(node):
            is_aligned = is_aligned and _is_pointwise(node)
            inputs = {(one, is_aligned) for one in _inputs(node)} - seen
            seen |= inputs
            todo += inputs
    return None


def _inputs(node: Any, place: int | None = None) -> list[Any]:
    """Return the nodes that a node reads, or one tensor of an op on lists."""
    if node.target is operator.getitem and _is_on_lists(node.args[0]):
        node, place = node.args
    if place is None:
        return list(node.all_input_nodes)
    of_place = [
        arg[place] if isinstance(arg, (list, tuple)) and place < len(arg) else arg
        for arg in (*node.args, *node.kwargs.values())
    ]
    return [one for one in of_place if hasattr(one, "all_input_nodes")]


def _is_pointwise(node: Any) -> bool:
    """Return whether an element of the node's value needs its index of the inputs only.

    An input of another shape is broadcast.
    """
    torch = sys.modules["torch"]
    if node.target is operator.getitem:
        return _is_on_lists(node.args[0])
    if torch.Tag.pointwise not in getattr(node.target, "tags", ()):
        return node.target is torch.ops.aten.clone.default
    inputs = [one.meta.get("val") for one in node.all_input_nodes]
    ranks = {one.ndim for one in inputs if isinstance(one, torch.Tensor)}
    return len(ranks) == 1


def _is_on_lists(node: Any) -> bool:
    return "_foreach_" in str(node.target)
