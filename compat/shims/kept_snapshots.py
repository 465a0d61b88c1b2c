"""`kept_snapshots`: a copy stays if something overwrites the original before, or while,
the copy is read.

Symptom: wrong values. `old = b.clone(); op(old, b)`, where `op` writes `b`, calls `op`
with one buffer twice. `x[index] = x.clone()` reads rows that it has written already.
`dst[:] = src[:]; src.add_(1)` copies the new `src`. The backward of a value that was
copied out of a buffer reads the buffer as the forward left it.
Upstream: pytorch#198031 (open; pytorch#198260 is a proposal) for values made in the
graph. pytorch#198131, pytorch#198132, pytorch#197829 and pytorch#156786 for graph inputs,
which torch 2.15.0 repairs. Nothing is filed for gradients and for `_foreach_` ops.
Affected: every torch up to 2.15.0.
Removal: when every supported torch has pytorch#198260 or its like.

Inductor's graphs are functional until late, so a copy of a value is the value, and
Inductor drops copies. Four steps of Inductor make that wrong. Each has its rule here.

1. The graph ends by writing its mutated inputs (`copy_`). A copy stays if a node reads it
   at or after such a write of its original.
2. The reinplacing pass lets an op write over its argument if no *later* node reads that.
   It does not ask what the op itself reads. A copy stays if dropping it would hand an
   op one buffer both to read and to write. The copy is dropped just before that pass, as
   torch would have dropped it long before. If the op then does write over what it reads,
   it gets a copy again. So the graphs that were right stay as they were.
3. The same pass turns `index_put` and its like into ops that write in place. They stay
   functional if they read what they would write.
4. The partitioner computes values again in the backward, from inputs that the forward
   has overwritten by then. It has to save what the forward reads from such inputs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from ..cache import KEYED
from ..patch import Layer
from ..replacing import replacing
from ..requirements import Behaves, Mentions, Parameters, Refers, Symbol, Takes

_POST_GRAD = "torch._inductor.fx_passes.post_grad"
_PASSES = "torch._inductor.fx_passes.reinplace"
_REMOVE = f"{_POST_GRAD}:remove_noop_ops"
_SAME = f"{_POST_GRAD}:same_meta"
_FOLD = "torch._inductor.fx_passes.joint_graph:remove_no_ops"
_REINPLACE = f"{_PASSES}:reinplace_inplaceable_ops"
_CORE = f"{_PASSES}:reinplace_inplaceable_ops_core"
_CHECK = f"{_PASSES}:InplaceableOp.extra_check"
_SCATTER = f"{_PASSES}:should_reinplace_scatter"
_PARTITION = "torch._functorch._aot_autograd.graph_compile:_aot_stage2a_partition"

# On a copy: torch would have dropped it by now. Rule 2 decides at the reinplacing pass.
_KEPT = "compat_kept_snapshot"


class _Current(threading.local):
    run: _Run | None = None
    inputs: Sequence[Any] = ()  # of the joint graph that AOTAutograd is about to split


_current = _Current()


@contextmanager
def _running(run: _Run) -> Iterator[None]:
    before, _current.run = _current.run, run
    try:
        yield
    finally:
        _current.run = before


class _Run:
    """One pass over one graph that drops copies.

    Args:
        graph: the FX graph.
        only: the copies that may go, without rule 2. None stands for all, with rule 2.
    """

    def __init__(self, graph: Any, only: set[Any] | None = None) -> None:
        self.graph, self._only = graph, only
        self._merged: dict[int, int] = {}  # storage of a dropped copy -> the original's
        self._pending: tuple[Any, int, int] | None = None
        self._scanned = False
        self._at: dict[Any, int] = {}  # the place of each node in the graph
        self._writes: list[tuple[Any, list[Any]]] = []
        self._calls = False  # whether the graph calls an op by a functional stand-in
        self._joint = False
        self._after: list[Any] = []  # inputs that are written after the graph has run

    def may_go(self, node: Any, source: Any) -> bool:
        """Return whether `node`, a copy of `source`, may be dropped.

        The caller drops the copy at once, or never.
        """
        if self._pending and self._pending[0]._erased:
            self._merged[self._pending[1]] = self._pending[2]
        self._pending = None
        mine, its = self._storage(node), self._storage(source)
        if mine is None or its is None or mine == its:
            return True  # a view of its source, which reads what its source reads
        if self._only is not None and node not in self._only:
            return False
        if self._read_after_write(node, source, mine, its):
            return False
        if self._only is None and self._calls and any(self.shared_calls(node, source)):
            node.meta[_KEPT] = True
            return False
        self._pending = (node, mine, its)
        return True

    def endangered(self, node: Any, source: Any) -> bool:
        """Return whether to drop `node`, a copy of `source`, would change values."""
        mine, its = self._storage(node), self._storage(source)
        if mine is None or its is None or mine == its:
            return False
        return self._read_after_write(node, source, mine, its) or (
            self._calls and any(self.shared_calls(node, source))
        )

    def shared_calls(self, node: Any, source: Any) -> Iterator[Any]:
        """Yield the calls that would read and write one buffer if `node` were `source`."""
        mine, its = self._storage(node), self._storage(source)
        for user in self._readers(node):
            parts = _call_parts(user)
            if parts is not None:
                written, read = ({self._storage(n) for n in part} for part in parts)
                if (mine in written and its in read) or (its in written and mine in read):
                    yield user

    def save_what_is_overwritten(self) -> None:
        """Apply rule 4 to a joint graph. Does nothing with any other graph."""
        if not _is_joint(self.graph):
            return
        self._scan()
        policy = sys.modules["torch.utils.checkpoint"].CheckpointPolicy
        targets = [
            written[0]
            for node, written in self._writes
            if _is(node, "aten.copy_.default") and not _is_backward(node)
        ]
        for target in {*targets, *self._after}:
            for reader in self._readers(target):
                if reader.op != "call_function" or _is(reader, "aten.copy_.default"):
                    continue
                if self._storages(reader) and not _is_backward(reader):
                    reader.meta.setdefault("recompute", policy.MUST_SAVE)

    def _read_after_write(self, node: Any, source: Any, mine: int, its: int) -> bool:
        self._scan()
        if self._joint and any(self._storage(input) == its for input in self._after):
            return True
        for write, written in self._writes:
            if self._at[write] <= self._at[node]:
                continue
            storages = {self._storage(target) for target in written}
            if mine in storages or (its in storages and self._joint):
                # The partitioner will move readers behind the write, into the backward.
                return True
            if its in storages and any(
                self._at[reader] >= self._at[write]
                for reader in self._readers(node)
                if reader is not write or reader.args[:2] != (source, node)
            ):
                return True
        return False

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        overload = sys.modules["torch._ops"].OpOverload
        for place, node in enumerate(self.graph.nodes):
            self._at[node] = place
            target = node.target
            if isinstance(target, overload):
                if not target._schema.is_mutable:
                    continue
            elif node.op != "call_function":
                continue
            elif _call_parts(node) is not None:
                self._calls = True
            if written := _written(node):
                self._writes.append((node, written))
        self._joint = _is_joint(self.graph)
        if self._joint:
            self._after = _written_after(self.graph)

    def _readers(self, node: Any) -> list[Any]:
        """The nodes that read the value of `node`, or of a view of it."""
        storage, found, todo = self._storage(node), [], [node]
        seen = set(todo)
        while todo:
            for user in todo.pop().users:
                if user not in seen:
                    seen.add(user)
                    if storage is not None and storage in self._storages(user):
                        todo.append(user)
                        if _written(user):
                            found.append(user)
                    else:
                        found.append(user)
        return found

    def _storages(self, node: Any) -> set[int | None]:
        value = node.meta.get("val")
        values = value if isinstance(value, (list, tuple)) else (value,)
        return {self._resolved(_storage_of(v)) for v in values} - {None}

    def _storage(self, node: Any) -> int | None:
        return self._resolved(_storage_of(node.meta.get("val")))

    def _resolved(self, storage: int | None) -> int | None:
        while storage in self._merged:
            storage = self._merged[storage]
        return storage


def _storage_of(value: Any) -> int | None:
    torch = sys.modules["torch"]
    if not isinstance(value, torch.Tensor) or not torch._C._has_storage(value):
        return None
    return int(sys.modules["torch._inductor.fx_utils"].get_storage(value))


def _is(node: Any, name: str) -> bool:
    packet, _, overload = name.removeprefix("aten.").partition(".")
    ops = sys.modules["torch"].ops.aten
    return node.target is getattr(getattr(ops, packet), overload)


def _is_backward(node: Any) -> bool:
    return node.meta.get("partitioner_tag") in ("is_backward", "must_be_in_backward")


def _leaves(arguments: Any) -> list[Any]:
    found: list[Any] = []
    sys.modules["torch.fx"].map_arg(arguments, found.append)
    return found


def _writing_arguments(op: Any) -> tuple[str, ...]:
    """The names of the arguments that the schema of `op` marks as written."""
    marked = (a for a in op._schema.arguments if a.alias_info is not None)
    return tuple(a.name for a in marked if a.alias_info.is_write)


def _written(node: Any) -> list[Any]:
    """The nodes whose buffers this node of the graph writes itself."""
    torch = sys.modules["torch"]
    target, args, kwargs = node.target, node.args, node.kwargs
    higher = torch.ops.higher_order
    if target is higher.auto_functionalized_v2:
        # Torch 2.13 writes an `out=` argument in place whatever is read later.
        op, core = args[0], sys.modules[_PASSES].reinplace_inplaceable_ops_core
        if "is_out" in core.__code__.co_names and isinstance(op, torch._ops.OpOverload):
            if sys.modules["torch._library.utils"].is_out(op):
                return _leaves(kwargs.get("_all_bases"))
        return []
    if target is higher.triton_kernel_wrapper_mutation:
        return _leaves(kwargs["kwargs"])
    if target is higher.with_effects and len(args) > 1:
        target, args = args[1], args[2:]
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable:
        return []
    names = [a.name for a in target._schema.arguments]
    given = {**dict(zip(names, args)), **kwargs}
    return _leaves([given.get(name) for name in _writing_arguments(target)])


def _split(node: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The arguments that a functional stand-in for a writing op writes, and the rest.

    Returns None for any other node.
    """
    higher, kwargs = sys.modules["torch"].ops.higher_order, node.kwargs
    if node.target is higher.auto_functionalized_v2:
        names: Iterable[str] = ("_all_bases",)
    elif node.target is higher.auto_functionalized:
        names = _writing_arguments(node.args[0])
    elif node.target is higher.triton_kernel_wrapper_functional:
        names, kwargs = kwargs["tensors_to_clone"], kwargs["kwargs"]
    else:
        return None
    written = {name: kwargs[name] for name in names if name in kwargs}
    return written, {name: v for name, v in kwargs.items() if name not in written}


def _call_parts(node: Any) -> tuple[list[Any], list[Any]] | None:
    parts = _split(node)
    return parts and (_leaves(parts[0]), _leaves(parts[1]))


def _is_joint(graph: Any) -> bool:
    """Whether the graph has a forward and its backward in one."""
    names = [str(node.target) for node in graph.find_nodes(op="placeholder")]
    return any(name.startswith("tangents") for name in names)


def _written_after(graph: Any) -> list[Any]:
    """The inputs of a joint graph that AOTAutograd writes after the forward has run."""
    inputs, infos = graph.find_nodes(op="placeholder"), _current.inputs
    primals = [node for node in inputs if str(node.target).startswith("primals")]
    if len(primals) != len(infos):
        return []
    schemas = sys.modules["torch._functorch._aot_autograd.schemas"]
    later = schemas.MutationType.MUTATED_OUT_GRAPH
    return [
        node
        for node, info in zip(primals, infos)
        if info.mutates_data and info.mutation_type == later
    ]


def _partitioning(layer: Layer) -> Callable[..., Any]:
    """Note what AOTAutograd knows of the inputs of a joint graph."""
    place = layer.own.__code__.co_varnames.index("fw_metadata")

    def _aot_stage2a_partition(*args: Any, **kwargs: Any) -> Any:
        metadata = args[place] if len(args) > place else kwargs["fw_metadata"]
        before, _current.inputs = _current.inputs, metadata.input_info
        try:
            return layer.below.call(*args, **kwargs)
        finally:
            _current.inputs = before

    return _aot_stage2a_partition


def _removing(layer: Layer) -> Callable[..., None]:
    def remove_noop_ops(graph: Any) -> None:
        run = _current.run
        if run is not None and run.graph is graph:
            layer.below.call(graph)
            return
        run = _Run(graph)
        with _running(run):
            layer.below.call(graph)
        _Run(graph).save_what_is_overwritten()

    return remove_noop_ops


def _comparing(layer: Layer) -> Callable[..., bool]:
    """Torch asks this last before it drops a copy."""

    def same_meta(node1: Any, node2: Any) -> bool:
        same, run = bool(layer.below.call(node1, node2)), _current.run
        return run.may_go(node1, node2) if same and run is not None else same

    return same_meta


def _folding(layer: Layer) -> Callable[..., None]:
    """`b + 0` and `b * 1` are copies, too. What may not go becomes a copy that is named
    so, and the rules above apply to that."""
    aten = sys.modules["torch"].ops.aten
    targets = [getattr(aten, name).Tensor for name in ("add", "sub", "mul", "div")]

    def remove_no_ops(gm: Any, zeros: Any, ones: Any) -> None:
        run, graph = _Run(gm.graph), gm.graph
        node_type, endangered = sys.modules["torch.fx"].Node, []

        def neutral(value: Any) -> bool:
            if isinstance(value, node_type):
                return value in zeros or value in ones
            return value in (0, 1)

        for node in graph.nodes:
            if node.target in targets and len(node.args) == 2:
                for one, other in (node.args, node.args[::-1]):
                    if isinstance(one, node_type) and neutral(other):
                        if _alike(node, one) and run.endangered(node, one):
                            endangered.append(node)
                            break
        for node in endangered:
            value = node.meta["val"]
            with graph.inserting_after(node):
                copy = graph.call_function(aten.clone.default, (node,))
            node.replace_all_uses_with(copy, lambda user, copy=copy: user is not copy)
            with getattr(value, "fake_mode", nullcontext()):
                copy.meta.update(node.meta, val=value.clone())
            copy.meta[_KEPT] = True
        layer.below.call(gm, zeros, ones)

    return remove_no_ops


def _alike(one: Any, other: Any) -> bool:
    a, b = one.meta.get("val"), other.meta.get("val")
    tensor = sys.modules["torch"].Tensor
    if not isinstance(a, tensor) or not isinstance(b, tensor):
        return False
    return a.dim() == b.dim() and a.dtype == b.dtype and a.device == b.device


def _reinplacing(layer: Layer) -> Callable[..., None]:
    functions = layer.own.__globals__

    def reinplace_inplaceable_ops(fake_tensor_updater: Any, graph: Any) -> None:
        _keep_foreach_functional(graph, functions)
        kept = {node for node in graph.nodes if _KEPT in node.meta}
        calls: dict[Any, tuple[str, ...]] = {}
        # Up to torch 2.12 the updater knows arguments by their id(). While the old ones
        # live, the new ones have others.
        held = [(user.args, user.kwargs) for node in kept for user in node.users]
        if kept:
            run = _Run(graph, only=kept)
            for node in kept:
                for source in node.all_input_nodes:
                    for call in run.shared_calls(node, source):
                        written, _ = _split(call) or ({}, {})
                        calls[call] = tuple(written)
            with _running(run):
                sys.modules[_POST_GRAD].remove_noop_ops(graph)
        layer.below.call(fake_tensor_updater, graph)
        del held
        for call, names in calls.items():
            _separate(call, names, functions)

    return reinplace_inplaceable_ops


def _separate(call: Any, names: tuple[str, ...], functions: dict[str, Any]) -> None:
    """Give a call copies of what it reads from buffers that it writes in place."""
    triton = "tensors_to_clone" in call.kwargs
    given = call.kwargs["kwargs"] if triton else call.kwargs
    regions = _written_in_place(call, given, names)
    graph, aten = call.graph, sys.modules["torch"].ops.aten
    copies: dict[Any, Any] = {}

    def separate(node: Any) -> Any:
        if not any(_overlap(node.meta.get("val"), r, functions) for r in regions):
            return node
        if node not in copies:
            dispatcher = functions["enable_python_dispatcher"]()
            with dispatcher, graph.inserting_before(call):
                make = functions["graph_call_function"]
                copies[node] = make(graph, aten.clone.default, node)
        return copies[node]

    map_arg = sys.modules["torch.fx"].map_arg
    changed = {n: v if n in names else map_arg(v, separate) for n, v in given.items()}
    if copies:
        call.kwargs = {**call.kwargs, "kwargs": changed} if triton else changed


def _written_in_place(call: Any, given: Any, names: tuple[str, ...]) -> list[Any]:
    """The values of the tensors that the reinplacing pass lets this call write."""
    if "tensors_to_clone" in call.kwargs:
        cloned = call.kwargs["tensors_to_clone"]
    elif (cloned := call.meta.get("only_clone_these_tensors")) is None:
        return []  # it writes copies of all of them
    if "_all_bases" not in names:
        return _values([given[name] for name in names if name not in cloned])
    bases = list(given["_all_bases"])
    in_place = [base for i, base in enumerate(bases) if i not in cloned]
    try:
        views = _views_of_bases(call, bases, cloned)
    except Exception:  # noqa: BLE001 (then the call may write all of each base)
        return _values(in_place)
    return views


def _views_of_bases(call: Any, bases: list[Any], cloned: Any) -> list[Any]:
    """The parts of the bases that the op writes, without the bases that it copies."""
    higher = sys.modules["torch._higher_order_ops.auto_functionalize"]
    map_arg = sys.modules["torch.fx"].map_arg
    names, types = higher.get_mutable_args(call.args[0])
    known = dict(map_arg(dict(call.kwargs), lambda node: node.meta["val"]))
    base_values = [base.meta["val"] for base in bases]
    infos = higher.read_view_information_from_args(names, types, known, base_values)
    found = []
    for info in infos.values():
        for view in info if isinstance(info, list) else [info]:
            if view is not None and view.base_index not in cloned:
                with base_values[view.base_index].fake_mode:
                    found.append(view.regenerate_view(base_values))
    return found


def _values(arguments: Any) -> list[Any]:
    return [node.meta.get("val") for node in _leaves(arguments)]


def _overlap(one: Any, other: Any, functions: dict[str, Any]) -> bool:
    storage = _storage_of(one)
    if storage is None or storage != _storage_of(other):
        return False
    try:
        return bool(functions["compute_overlapping_tensors"]([one, other]))
    except functions["GuardOnDataDependentSymNode"]:
        return True


def _checking(layer: Layer) -> Callable[..., bool]:
    """Rule 3 for the ops that torch asks no other question about."""
    functions = layer.own.__globals__

    def extra_check(node: Any) -> bool:
        return bool(layer.below.call(node)) and not _reads_what_it_would_write(node)

    def _reads_what_it_would_write(node: Any) -> bool:
        ops, args = functions["inplaceable_ops"], node.args
        op = ops.get(node.target)
        if op is None and len(args) > 1:  # with_effects(token, op, ...)
            op, args = ops.get(args[1]), args[2:]
        if op is None:
            return False
        places = op.mutated_arg if isinstance(op.mutated_arg, tuple) else (op.mutated_arg,)
        written = _values([args[i] for i in places])
        read = _values(([a for i, a in enumerate(args) if i not in places], node.kwargs))
        return any(_overlap(w, r, functions) for w in written for r in read)

    return extra_check


def _scattering(layer: Layer) -> Callable[..., bool]:
    """Rule 3 for `b[1:] = b[:-1]` and its like, which write one view of a buffer."""
    functions = layer.own.__globals__

    def should_reinplace_scatter(node: Any) -> bool:
        if not layer.below.call(node):
            return False
        target, source, views = node.args
        if not hasattr(source, "meta") or not hasattr(target, "meta"):
            return True
        value, written = source.meta.get("val"), target.meta.get("val")
        storage = _storage_of(value)
        if storage is None or storage != _storage_of(written):
            return True
        try:
            written = _viewed(written, views)
        except Exception:  # noqa: BLE001 (then it may write all of the buffer)
            pass
        return _one_region(value, written) or not _overlap(value, written, functions)

    return should_reinplace_scatter


def _viewed(value: Any, views: Any) -> Any:
    map_arg, mode = sys.modules["torch.fx"].map_arg, value.fake_mode
    env = mode.shape_env
    with mode, env.ignore_fresh_unbacked_symbols() if env else nullcontext():
        for view in views:
            args, kwargs = map_arg((view.args, view.kwargs), lambda n: n.meta["val"])
            value = view.target(value, *args, **kwargs)
    return value


def _one_region(one: Any, other: Any) -> bool:
    """Whether both tensors are the same elements of a storage, in the same order."""
    symbolic = sys.modules["torch.fx.experimental.symbolic_shapes"]
    if one.dim() != other.dim() or one.dtype != other.dtype:
        return False
    pairs = zip(
        (*one.shape, *one.stride(), one.storage_offset()),
        (*other.shape, *other.stride(), other.storage_offset()),
    )
    return all(symbolic.statically_known_true(symbolic.sym_eq(*pair)) for pair in pairs)


def _keep_foreach_functional(graph: Any, functions: dict[str, Any]) -> None:
    """Rule 3 for `_foreach_` ops: Inductor computes and writes element by element.

    The pass knows the results by `getitem`. It takes none that stands behind a view.
    """
    ops, aten = functions["inplaceable_foreach_ops"], sys.modules["torch"].ops.aten
    for node in [node for node in graph.nodes if node.target in ops]:
        if not _reads_earlier_element(node):
            continue
        results = [(user, c) for user in node.users for c in user.users]
        for result, copy in results:
            if _is(copy, "aten.copy_.default") and copy.args[1] is result:
                with functions["enable_python_dispatcher"](), graph.inserting_before(copy):
                    make = functions["graph_call_function"]
                    copy.update_arg(1, make(graph, aten.alias.default, result))


def _reads_earlier_element(node: Any) -> bool:
    """Whether an element reads one that the op writes before, in the same kernel."""
    written = [_storage_of(n.meta.get("val")) for n in _leaves(node.args[0])]
    for argument in (*node.args[1:], *node.kwargs.values()):
        elements = argument if isinstance(argument, (list, tuple)) else [argument]
        for place, element in enumerate(elements):
            before = set(written[: place if len(elements) > 1 else len(written)])
            if _computed_from(_leaves(element), before - {None}):
                return True
    return False


def _computed_from(nodes: list[Any], storages: set[Any]) -> bool:
    """Whether the nodes may be computed, in a kernel that reads them, from a storage."""
    torch, seen, todo = sys.modules["torch"], set(nodes), list(nodes)
    registry = sys.modules[_POST_GRAD].noop_registry
    while todo and storages:
        node = todo.pop()
        if _storage_of(node.meta.get("val")) in storages:
            return True
        target = node.target
        if isinstance(target, torch._ops.OpOverload) and (
            torch.Tag.pointwise in target.tags
            or target in registry
            or target.is_view
        ):
            todo += [n for n in node.all_input_nodes if n not in seen]
            seen.update(todo)
    return False


def _objection(remove: Callable[..., None]) -> str | None:
    """Run both passes over graphs of four nodes with real tensors. This takes 2 ms."""
    torch = sys.modules["torch"]
    aten, core = torch.ops.aten, sys.modules[_PASSES].reinplace_inplaceable_ops_core

    def graph_of(build: Callable[..., Any]) -> Any:
        graph = torch.fx.Graph()

        def node(target: Any, *args: Any, val: Any = None, **kwargs: Any) -> Any:
            made = graph.call_function(target, args, kwargs)
            made.meta["val"] = torch.empty(2, 2) if val is None else val
            return made

        inputs = [graph.placeholder(name) for name in ("x", "y")]
        for one in inputs:
            one.meta["val"] = torch.empty(2, 2)
        last = build(node, *inputs)
        graph.output((last,) if last is not None else ())
        remove(graph)
        core(graph)
        return graph

    def call(node: Any, x: Any, y: Any) -> Any:
        made = node(aten.mm.default, x, y)
        higher, old = torch.ops.higher_order, node(aten.clone.default, made)
        arguments = {"self": made, "src": old, "non_blocking": False}
        result = node(higher.auto_functionalized, aten.copy_.default, **arguments)
        return node(sys.modules["operator"].getitem, result, 1)

    def put(node: Any, x: Any, y: Any) -> Any:
        made = node(aten.mm.default, x, y)
        index = node(aten.argmax.default, x, 1, val=torch.zeros(2, dtype=torch.int64))
        old = node(aten.clone.default, made)
        return node(aten.index_put.default, made, [index], old)

    def copy(node: Any, x: Any, y: Any) -> None:
        old, new = node(aten.clone.default, x), node(aten.add.Tensor, x, 1)
        node(aten.copy_.default, x, new)
        node(aten.copy_.default, y, old)

    for node in graph_of(call).nodes:
        if parts := _call_parts(node):
            cloned = node.meta.get("only_clone_these_tensors")
            if "self" not in (("self",) if cloned is None else cloned):
                written, read = ({_storage_of(n.meta["val"]) for n in p} for p in parts)
                if written & read:
                    return "an op reads the buffer that it writes"
    for node in graph_of(put).nodes:
        if str(node.target) == "aten.index_put_.default":
            if _storage_of(node.args[0].meta["val"]) == _storage_of(node.args[2].meta["val"]):
                return "index_put_ reads what it writes"
    copies = [n for n in graph_of(copy).nodes if _is(n, "aten.copy_.default")]
    if copies[-1].args[1] is copies[0].args[0]:
        return "a copy is dropped whose original is written"
    return None


SHIM = replacing(
    {
        _REMOVE: _removing,
        _SAME: _comparing,
        _FOLD: _folding,
        _REINPLACE: _reinplacing,
        _CHECK: _checking,
        _SCATTER: _scattering,
        _PARTITION: _partitioning,
    },
    name="kept_snapshots",
    kind="fix",
    upstream="pytorch#198031, open; graph inputs in torch 2.15.0",
    changes_codegen=True,
    revision=1,
    native=(Behaves(_REMOVE, "keeps copies of what is overwritten", _objection),),
    backport=(
        *KEYED,
        Symbol(_REMOVE, "function"),
        Parameters(_REMOVE, ("graph",)),
        Refers(_REMOVE, "same_meta"),
        Symbol(_SAME, "function"),
        Parameters(_SAME, ("node1", "node2")),
        Symbol(f"{_POST_GRAD}:noop_registry"),
        Symbol(_FOLD, "function"),
        Parameters(_FOLD, ("gm", "zeros", "ones")),
        Symbol(_REINPLACE, "function"),
        Parameters(_REINPLACE, ("fake_tensor_updater", "graph")),
        Symbol(_CORE, "function"),
        Refers(_CORE, "extra_check"),
        Mentions(_CORE, "only_clone_these_tensors"),
        Symbol(_CHECK, "function"),
        Parameters(_CHECK, ("node",)),
        Symbol(_SCATTER, "function"),
        Parameters(_SCATTER, ("node",)),
        Symbol(f"{_PASSES}:inplaceable_ops"),
        Symbol(f"{_PASSES}:inplaceable_foreach_ops"),
        Symbol(f"{_PASSES}:graph_call_function", "function"),
        Symbol(f"{_PASSES}:compute_overlapping_tensors"),
        Symbol(f"{_PASSES}:GuardOnDataDependentSymNode"),
        Symbol(f"{_PASSES}:enable_python_dispatcher"),
        Symbol("torch._inductor.fx_utils:get_storage", "function"),
        Symbol(_PARTITION, "function"),
        Takes(_PARTITION, "fw_metadata"),
        Symbol("torch._functorch._aot_autograd.schemas:MutationType", "class"),
        Symbol("torch.utils.checkpoint:CheckpointPolicy", "class"),
        Parameters(
            "torch._higher_order_ops.auto_functionalize:read_view_information_from_args",
            ("mutable_arg_names", "mutable_arg_types", "kwargs", "all_bases"),
        ),
    ),
)
