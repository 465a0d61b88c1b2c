"""Tell which nodes of an FX graph read and write which buffers, for `kept_snapshots`.

A buffer is the storage of a node's fake tensor, as Inductor's own passes see it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

_POST_GRAD = "torch._inductor.fx_passes.post_grad"
_REINPLACE = "torch._inductor.fx_passes.reinplace"
# Marks a call in `Node.meta`: the names of what it writes, and of what else it reads.
CALL_PARTS = "compat_call_parts"


def storage_of(value: Any) -> int | None:
    torch = sys.modules["torch"]
    if not isinstance(value, torch.Tensor) or not torch._C._has_storage(value):
        return None
    return int(sys.modules["torch._inductor.fx_utils"].get_storage(value))


def storages(node: Any) -> set[int]:
    """Return the buffers of the node's value: one, or several for a list of tensors."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else (value,)
    return {storage for v in values if (storage := storage_of(v)) is not None}


def leaves(arguments: Any) -> list[Any]:
    """Return the nodes in nested arguments."""
    found: list[Any] = []
    sys.modules["torch.fx"].map_arg(arguments, found.append)
    return found


def call_parts(node: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the arguments that a call writes, and the other ones, by name.

    A call is a functional stand-in for an op that writes. Returns None for other nodes.
    """
    higher, kwargs = sys.modules["torch"].ops.higher_order, node.kwargs
    if node.target is higher.auto_functionalized_v2:
        names = ["_all_bases"]
    elif node.target is higher.auto_functionalized:
        names = [argument.name for argument in _written_arguments(node.args[0])]
    elif node.target is higher.triton_kernel_wrapper_functional:
        names, kwargs = kwargs["tensors_to_clone"], kwargs["kwargs"]
    else:
        return None
    written = {name: kwargs[name] for name in names if name in kwargs}
    return written, {name: v for name, v in kwargs.items() if name not in written}


def _written_arguments(op: Any) -> list[Any]:
    marked = [a for a in op._schema.arguments if a.alias_info is not None]
    return [argument for argument in marked if argument.alias_info.is_write]


def written_nodes(node: Any) -> list[Any]:
    """Return the nodes whose buffers this node of the graph writes itself."""
    torch, op = sys.modules["torch"], node.target
    if op is torch.ops.higher_order.auto_functionalized_v2:
        # torch 2.13 writes an `out=` argument in place, whatever is read later.
        core = sys.modules[_REINPLACE].reinplace_inplaceable_ops_core
        utils = sys.modules["torch._library.utils"]
        is_out = "is_out" in core.__code__.co_names and utils.is_out(node.args[0])
        return leaves(node.kwargs["_all_bases"]) if is_out else []
    if not isinstance(op, torch._ops.OpOverload) or not op._schema.is_mutable:
        return []
    names = [argument.name for argument in op._schema.arguments]
    given = {**dict(zip(names, node.args)), **node.kwargs}
    return leaves([given.get(argument.name) for argument in _written_arguments(op)])


def readers(node: Any, through_copies: bool = False) -> Iterator[Any]:
    """Yield the nodes that read the value of the node, or of a view of it.

    Args:
        node: makes the value.
        through_copies: whether a copy that Inductor may drop counts as a view.
    """
    todo, seen = [node], {node}
    while todo:
        one = todo.pop()
        own = storages(one)
        for user in one.users:
            if user in seen:
                continue
            seen.add(user)
            is_view = own & storages(user) and not written_nodes(user)
            if is_view or (through_copies and may_be_dropped(user)):
                todo.append(user)
            else:
                yield user


def may_be_dropped(node: Any) -> bool:
    """Return whether Inductor takes the node for a copy or a view of its argument."""
    registered = sys.modules[_POST_GRAD].noop_registry.get(node.target)
    if registered is None:
        return False
    fake = sys.modules["torch._inductor.fx_utils"].get_fake_args_kwargs
    is_valid, args, kwargs = fake(node)
    return bool(is_valid and registered[0](*args, **kwargs))


def is_joint(graph: Any) -> bool:
    """Return whether the graph has a forward and its backward in one."""
    inputs = graph.find_nodes(op="placeholder")
    return any(str(node.target).startswith("tangents") for node in inputs)


def is_backward(node: Any) -> bool:
    return node.meta.get("partitioner_tag") in ("is_backward", "must_be_in_backward")


def viewed(value: Any, views: Any) -> Any:
    """Return the part of a tensor that a scatter over these views writes."""
    map_arg, mode = sys.modules["torch.fx"].map_arg, value.fake_mode
    env = mode.shape_env
    with mode, env.ignore_fresh_unbacked_symbols() if env else nullcontext():
        for view in views:
            args, kwargs = map_arg((view.args, view.kwargs), lambda n: n.meta["val"])
            value = view.target(value, *args, **dict(kwargs))
    return value


def overlap(one: Any, other: Any) -> bool:
    """Return whether two tensors may have an element in common."""
    storage, passes = storage_of(one), vars(sys.modules[_REINPLACE])
    if storage is None or storage != storage_of(other):
        return False
    try:
        return bool(passes["compute_overlapping_tensors"]([one, other]))
    except passes["GuardOnDataDependentSymNode"]:
        return True


def copies_to_keep(graph: Any, writes: list[Any]) -> list[Any]:
    """Return the copies whose original is overwritten too soon.

    Args:
        graph: the FX graph.
        writes: pairs of a node that writes, and the nodes whose buffers it writes.
    """
    registry = sys.modules[_POST_GRAD].noop_registry
    copies = [node for node in graph.nodes if node.target in registry]
    places = {node: place for place, node in enumerate(graph.nodes)}
    # The partitioner of a joint graph will move readers behind the writes.
    joint = is_joint(graph)
    return [
        copy
        for copy in copies
        for source in _sources(copy, registry)
        if not storages(copy) & storages(source)
        and any(
            storages(source) & set().union(*map(storages, written))
            if joint
            else places[write] > places[copy]
            and _is_read_too_late(copy, source, write, written, places)
            for write, written in writes
        )
    ]


def _sources(copy: Any, registry: Any) -> list[Any]:
    place = registry[copy.target][1]  # of the argument, or a function
    return leaves(copy.args[place] if isinstance(place, int) else copy.args)


def _is_read_too_late(
    copy: Any, source: Any, write: Any, written: list[Any], places: dict[Any, int]
) -> bool:
    overwritten = set().union(*map(storages, written))
    if overwritten & storages(copy):
        return True
    if not overwritten & storages(source):
        return False
    # `_foreach_` ops compute and write one element after the other.
    foreach = sys.modules[_REINPLACE].inplaceable_foreach_ops
    return any(
        places[reader] >= places[write] or reader.target in foreach
        for reader in readers(copy, through_copies=True)
        if reader is not write or reader.args[:2] != (source, copy)
    )


def save_before_writes(writes: list[Any]) -> None:
    """Have the partitioner save what a forward reads from inputs that it overwrites."""
    policy = sys.modules["torch.utils.checkpoint"].CheckpointPolicy
    targets = {node for w, nodes in writes if not is_backward(w) for node in nodes}
    for target in targets:
        for reader in readers(target):
            is_forward = storages(reader) and not is_backward(reader)
            if is_forward and not written_nodes(reader):
                reader.meta.setdefault("recompute", policy.MUST_SAVE)


def mark_calls(graph: Any) -> None:
    """Note which arguments of each call have buffers that the call does not write.

    Later passes may give a call one buffer for two. If the program itself does so, this
    is no defect.
    """
    for node in graph.nodes:
        parts = call_parts(node) if node.op == "call_function" else None
        if parts is not None and CALL_PARTS not in node.meta:
            written, read = parts
            own = set().union(*map(storages, leaves(written)))
            separate = [
                name
                for name, value in read.items()
                if not any(own & storages(one) for one in leaves(value))
            ]
            node.meta[CALL_PARTS] = tuple(written), tuple(separate)


def written_in_place(call: Any, given: Any, names: tuple[str, ...]) -> list[Any]:
    """Return the tensors that the reinplacing pass lets this call write."""
    cloned = call.kwargs.get("tensors_to_clone")
    if cloned is None:
        cloned = call.meta.get("only_clone_these_tensors")
    if cloned is None:
        return []  # it writes copies of all of them
    if "_all_bases" not in names:
        return values([given[name] for name in names if name not in cloned])
    bases = list(given["_all_bases"])
    try:
        return _views_of_bases(call, values(bases), cloned)
    except Exception:  # noqa: BLE001 (then the call may write all of each base)
        return values([base for i, base in enumerate(bases) if i not in cloned])


def _views_of_bases(call: Any, bases: list[Any], cloned: Any) -> list[Any]:
    """Return the parts of the bases that the op writes, without bases that it copies."""
    higher = sys.modules["torch._higher_order_ops.auto_functionalize"]
    map_arg = sys.modules["torch.fx"].map_arg
    known = dict(map_arg(dict(call.kwargs), lambda node: node.meta["val"]))
    arguments = higher.get_mutable_args(call.args[0])
    infos = higher.read_view_information_from_args(*arguments, known, bases)
    found = []
    for info in infos.values():
        for view in info if isinstance(info, list) else [info]:
            if view is not None and view.base_index not in cloned:
                with bases[view.base_index].fake_mode:
                    found.append(view.regenerate_view(bases))
    return found


def values(arguments: Any) -> list[Any]:
    return [node.meta.get("val") for node in leaves(arguments)]
