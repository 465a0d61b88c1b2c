"""Tell which ops must not write over a graph input, for `kept_snapshots`.

The graph ends by writing its mutated inputs. If an op has written over such an input,
what reads the result of that op afterwards gets the last value of the input.
"""

from __future__ import annotations

import sys
from typing import Any

from ._buffers import (
    leaves,
    overwriting,
    readers,
    storages,
    storages_of,
    written_nodes,
)

_POST_GRAD = "torch._inductor.fx_passes.post_grad"


def read_later(graph: Any) -> list[Any]:
    """Read an input again, after an op whose result is needed for longer.

    Torch then keeps the op functional. Returns the new nodes, for the caller to erase.
    """
    places = {node: place for place, node in enumerate(graph.nodes)}
    # By buffer: the writes that end what is in it.
    ends = {storage: {write} for storage, write in _first_writes(graph).items()}
    clone, new = sys.modules["torch"].ops.aten.clone.default, []
    for node in list(graph.nodes) if ends else ():
        for argument, result in overwriting(node):
            arguments = leaves(argument)
            buffers = storages_of(arguments)
            writes = set().union(*(ends.get(buffer, ()) for buffer in buffers))
            if any(_is_read_too_late(result, write, places) for write in writes):
                with graph.inserting_after(node):
                    new += [graph.call_function(clone, (one,)) for one in arguments]
            else:  # then the result may get the buffer of the input
                for buffer in storages(result):
                    ends.setdefault(buffer, set()).update(writes)
    return new


def _first_writes(graph: Any) -> dict[int, Any]:
    """Return the first node that writes each input, by the buffer of the input."""
    first: dict[int, Any] = {}
    for node in graph.nodes:
        for target in written_nodes(node):
            if target.op in ("placeholder", "get_attr"):
                for storage in storages(target):
                    first.setdefault(storage, node)
    return first


def _is_read_too_late(result: Any, write: Any, places: dict[Any, int]) -> bool:
    late = [one for one in readers(result) if places[one] >= places[write]]
    return bool(late) and not _is_written_back(result, write)


def _is_written_back(result: Any, write: Any) -> bool:
    """Return whether the write leaves the result in the buffer of the input."""
    if write.target is not sys.modules["torch"].ops.aten.copy_.default:
        return False
    target, source = write.args[:2]
    is_same = sys.modules[_POST_GRAD].same_meta(target, source)
    return bool(storages(source) & storages(result)) and is_same
