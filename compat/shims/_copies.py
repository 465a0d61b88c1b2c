"""Decide which copies in an FX graph have to stay, for `kept_snapshots`."""

from __future__ import annotations

import sys
from typing import Any

from ._buffers import (
    leaves,
    may_be_in_inputs,
    readers,
    storages,
    storages_of,
    written_nodes,
)

_POST_GRAD = "torch._inductor.fx_passes.post_grad"


def copies_to_keep(graph: Any, writes: list[Any]) -> list[Any]:
    """Return the copies that are needed as copies.

    Args:
        graph: the FX graph.
        writes: pairs of a node that writes, and the nodes whose buffers it writes.

    """
    registry = sys.modules[_POST_GRAD].noop_registry
    nodes = [n for n in graph.nodes if n.target in registry or _neutral_source(n)]
    pairs = [(node, one) for node in nodes for one in _sources(node, registry)]
    copies = [(copy, one) for copy, one in pairs if not storages(copy) & storages(one)]
    overwritten = _overwritten_too_soon(graph, copies, writes) if writes else []
    return [*overwritten, *_sharing_memory(graph, copies, writes)]


def _overwritten_too_soon(
    graph: Any, copies: list[Any], writes: list[Any]
) -> list[Any]:
    places = {node: place for place, node in enumerate(graph.nodes)}
    # The partitioner of a joint graph will move readers behind the writes.
    joint = is_joint(graph)
    return [
        copy
        for copy, source in copies
        if any(
            storages(source) & storages_of(written)
            if joint
            else places[write] > places[copy]
            and _is_read_too_late(copy, source, write, written, places)
            for write, written in writes
        )
    ]


def _sharing_memory(graph: Any, copies: list[Any], writes: list[Any]) -> list[Any]:
    """Return the results that would share memory with another result, or an input.

    Torch asks that before it drops a copy, but not for `x * 1` and its like, not
    whether another copy of the value has been dropped, and not whether an op will write
    the value over an input.
    """
    output, kept = next(iter(reversed(graph.nodes))), []
    copies = [pair for pair in copies if may_be_dropped(pair[0])]
    results = [pair for pair in copies if output in readers(pair[0])]
    if not results:
        return []
    back = storages_of(leaves([write.args[1:2] for write, _ in writes]))
    every: dict[int, set[int]] = {}
    for copy, source in copies:
        _drop(copy, source, every)
    back = _copied(back, every)
    used = storages_of(graph.find_nodes(op="placeholder"))
    used |= back & may_be_in_inputs(graph) if back else back
    origins: dict[int, set[int]] = {}
    for copy, source in copies:
        is_result = (copy, source) in results
        copied = _copied(storages(source), origins)
        if is_result and copied & used:
            kept.append(copy)
            continue
        _drop(copy, source, origins)
        used |= copied if is_result else set()
    return kept


def _drop(copy: Any, source: Any, origins: dict[int, set[int]]) -> None:
    """Note what the buffer of a copy stands for once the copy is dropped."""
    copied = _copied(storages(source), origins)
    origins.update(dict.fromkeys(storages(copy), copied))


def _copied(buffers: set[int], origins: dict[int, set[int]]) -> set[int]:
    return set().union(*(origins.get(one, {one}) for one in buffers))


def _sources(copy: Any, registry: Any) -> list[Any]:
    if copy.target not in registry:
        return [_neutral_source(copy)]
    place = registry[copy.target][1]  # of the argument, or a function
    return leaves(copy.args[place] if isinstance(place, int) else copy.args)


def _is_read_too_late(
    copy: Any, source: Any, write: Any, written: list[Any], places: dict[Any, int]
) -> bool:
    overwritten = storages_of(written)
    if overwritten & storages(copy):
        return True
    if not overwritten & storages(source):
        return False
    return any(
        places[reader] >= places[write]
        for reader in readers(copy, may_be_dropped)
        if reader is not write or reader.args[:2] != (source, copy)
    )


def name_copy(node: Any) -> None:
    """Make `x + 0` and its like a copy by name, which no pass takes for a no-op."""
    source = _neutral_source(node)
    if source is not None:
        node.target = sys.modules["torch"].ops.aten.clone.default
        node.args = (source,)


def save_before_writes(writes: list[Any]) -> None:
    """Have the partitioner save what a forward reads from inputs that it overwrites."""
    policy = sys.modules["torch.utils.checkpoint"].CheckpointPolicy
    targets = {node for w, nodes in writes if not is_backward(w) for node in nodes}
    for target in targets:
        for reader in readers(target):
            is_forward = storages(reader) and not is_backward(reader)
            if is_forward and not written_nodes(reader):
                reader.meta.setdefault("recompute", policy.MUST_SAVE)


def may_be_dropped(node: Any) -> bool:
    """Return whether Inductor takes the node for a copy or a view of its argument."""
    registered = sys.modules[_POST_GRAD].noop_registry.get(node.target)
    if registered is None:
        return _neutral_source(node) is not None
    fake = sys.modules["torch._inductor.fx_utils"].get_fake_args_kwargs
    is_valid, args, kwargs = fake(node)
    return bool(is_valid and registered[0](*args, **kwargs))


def _neutral_source(node: Any) -> Any:
    """Return the tensor that `x + 0`, `x * 1` and their like copy, or None.

    Inductor drops them, too. It takes a `full` of the number for the number.
    """
    aten = sys.modules["torch"].ops.aten
    neutral = {aten.add: 0, aten.sub: 0, aten.mul: 1, aten.div: 1}
    number = neutral.get(getattr(node.target, "overloadpacket", None))
    if number is None or len(node.args) != 2 or node.kwargs:
        return None
    pairs = [node.args]
    if node.target in (aten.add.Tensor, aten.mul.Tensor):
        pairs.append(node.args[::-1])
    for source, operand in pairs:
        if getattr(operand, "target", None) is aten.full.default:
            operand = operand.args[1]
        is_neutral = isinstance(operand, (int, float)) and operand == number
        if is_neutral and hasattr(source, "meta"):
            is_same = sys.modules[_POST_GRAD].same_meta(node, source)
            return source if is_same else None
    return None


def is_joint(graph: Any) -> bool:
    """Return whether the graph has a forward and its backward in one."""
    inputs = graph.find_nodes(op="placeholder")
    return any(str(node.target).startswith("tangents") for node in inputs)


def is_backward(node: Any) -> bool:
    return node.meta.get("partitioner_tag") in ("is_backward", "must_be_in_backward")
