"""Tell which nodes of an FX graph read and write which buffers, for `kept_snapshots`.

A buffer is the storage of a node's fake tensor, as Inductor's own passes see it.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

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


def storages_of(nodes: Iterable[Any]) -> set[int]:
    """Return the buffers of the values of several nodes."""
    return set().union(*map(storages, nodes))


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


def in_place_form(node: Any) -> tuple[Any, Any, Any] | None:
    """Return what an op would write if torch has it write in place.

    Returns:
        The arguments that it would write, the other ones, and the places of the new
        values in its result; () if the result is the new value. None for other nodes.

    """
    known, args, is_effect = sys.modules[_REINPLACE].inplaceable_ops, node.args, False
    op = known.get(node.target)
    if node.target is sys.modules["torch"].ops.higher_order.with_effects:
        op, args, is_effect = known.get(args[1]), args[2:], True
    if op is None:
        return None
    place = op.mutated_arg
    places = place if isinstance(place, tuple) else (place,)
    read = [argument for i, argument in enumerate(args) if i not in places]
    outputs = range(1, len(places) + 1) if is_effect else ()  # the first is a token
    return [args[i] for i in places], read, outputs


def overwriting(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what the node may write over, each with the node of its new value."""
    if node.op != "call_function":
        return
    parts, form = call_parts(node), in_place_form(node)
    outputs: dict[Any, Any] = {}
    if parts is not None:
        outputs = dict(parts[0])
        if "tensors_to_clone" not in node.kwargs:  # the new values are the last outputs
            made = node.meta.get("val")
            if not isinstance(made, (list, tuple)):
                return  # a pass put the node in, and nothing has told its values
            written = outputs.get("_all_bases", list(outputs.values()))
            first = len(made) - len(written)
            outputs = {first + i: argument for i, argument in enumerate(written)}
    elif node.target in sys.modules[_REINPLACE].inplaceable_foreach_ops:
        outputs = dict(enumerate(node.args[0]))
    elif form is not None:
        if not form[2]:
            yield form[0], node
        outputs = dict(zip(form[2], form[0]))
    for user in node.users if outputs else ():
        if user.target is operator.getitem and user.args[1] in outputs:
            yield outputs[user.args[1]], user


def may_be_in_inputs(graph: Any) -> set[int]:
    """Return the buffers of values that an op may write over one of its arguments."""
    scatters = sys.modules[_REINPLACE]._SCATTER_OP_TO_VIEW
    results = [result for node in graph.nodes for _, result in overwriting(node)]
    results += [node for node in graph.nodes if node.target in scatters]
    return storages_of(results)


def readers(
    node: Any, is_copy: Callable[[Any], bool] = lambda node: False
) -> Iterator[Any]:
    """Yield the nodes that read the value of the node, or of a view of it.

    Args:
        node: makes the value.
        is_copy: says of a reader whether it counts as a view.

    """
    todo, seen = [node], {node}
    while todo:
        one = todo.pop()
        own = storages(one)
        for user in one.users:
            if user in seen:
                continue
            seen.add(user)
            # The output node may list the values of the graph as its own.
            is_view = user.op != "output" and own & storages(user)
            if is_copy(user) or (is_view and not written_nodes(user)):
                todo.append(user)
            else:
                yield user


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


def mark_calls(graph: Any) -> None:
    """Note which arguments of each call have buffers that the call does not write.

    Later passes may give a call one buffer for two. If the program itself does so, this
    is no defect.
    """
    for node in graph.nodes:
        parts = call_parts(node) if node.op == "call_function" else None
        if parts is not None and CALL_PARTS not in node.meta:
            written, read = parts
            own = storages_of(leaves(written))
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
    """Return the parts of bases that the op writes, without bases that it copies."""
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
