"""Describe the result of `split_module` in plain data, and record it from a torch that is lazy natively.

    python tests/shims/record_split.py          on torch 2.12.1: writes tests/shims/data/split_2.12.1.json

The recording uses torch's own switch, without compat. test_lazy_graph_module_split.py describes the same inputs on the
installed torch and compares."""

import contextlib
import copy
import functools
import hashlib
import io
import json
import operator
import pathlib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch._dynamo
from torch import nn
from torch.fx._lazy_graph_module import _LazyGraphModule, _use_lazy_graph_module
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes import split_module as split_module_file

RECORDED_ON = "2.12.1"
RECORDING = pathlib.Path(__file__).with_name("data") / f"split_{RECORDED_ON}.json"


# ---- the inputs ------------------------------------------------------------------------------------------------------


def whole(*shape: int) -> torch.Tensor:
    """Return small whole numbers: their sums and products are exact in any order of summation."""
    return (torch.arange(torch.Size(shape).numel()) % 5 - 2.0).reshape(shape)


def filled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(whole(*parameter.shape))
    return module.eval()


class Block(nn.Module):
    """Parameters read by attribute, submodules called, a buffer, and a submodule in a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(4))
        self.first = nn.Linear(4, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))
        self.register_buffer("shift", whole(4))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = self.first(x + self.scale).clamp(min=0.0, max=3.0)
        w = self.first(y * self.scale) + self.shift
        return self.inner(z) + w.relu() - self.scale


class Defaults(nn.Module):
    def forward(self, x: torch.Tensor, factor: float = 2.0, y: Any = None) -> torch.Tensor:
        return (x * factor).relu() + x


class ManyOutputs(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        a, b = torch.chunk(x + y, 2, dim=-1)
        c = a * b
        return {"sum": a + c, "rest": (b - c, [a.neg(), x])}, y


class NoOutputs(nn.Module):
    """The result of partition 1 is unused, and the result of partition 2 is used only inside it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = x.relu()
        a.neg()
        (a * 2).sum()
        return a + 1


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(0, 1) for t in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(mixed.transpose(0, 1).flatten(1))


class Transformer(nn.Module):
    def __init__(self, layers: int = 2, width: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(16, width)
        self.layers = nn.Sequential(*(Attention(width, 2) for _ in range(layers)))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.silu(self.layers(self.embedding(ids)))


class Sizes(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        rows = x.shape[0]
        z = torch.cat((x, y)).relu()
        return z.view(2 * rows, -1) + z.new_ones(rows * 2, 1) * rows


def annotated(graph: torch.fx.Graph) -> torch.fx.Graph:
    for node in graph.nodes:
        node.meta["note"] = f"written on {node.name}"
    return graph


def traced(module: nn.Module) -> Callable[[], torch.fx.GraphModule]:
    def trace() -> torch.fx.GraphModule:
        filled(module)
        return torch.fx.GraphModule(module, annotated(torch.fx.Tracer().trace(module)))

    return trace


def submodule_by_attribute() -> torch.fx.GraphModule:
    """Return a graph that reads a submodule as a value and passes it on, as higher-order operators do."""
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    linear, inner = graph.get_attr("first"), graph.get_attr("inner.0")
    a = graph.call_method("forward", (linear, x))
    b = graph.call_function(operator.mul, (a, graph.get_attr("scale")))
    c = graph.call_method("forward", (inner, b))
    graph.output(graph.call_method("forward", (linear, c)))
    return torch.fx.GraphModule(filled(Block()), annotated(graph))


def regions() -> torch.fx.GraphModule:
    """Return a graph with autocast for the second and third product and no gradients for the fourth and the sum."""
    graph = torch.fx.Graph()
    x, w = graph.placeholder("x"), graph.placeholder("w")
    a = graph.call_function(torch.mm, (x, w))
    enter = graph.call_function(torch.amp._enter_autocast, ("cpu", torch.bfloat16, True, None))
    b = graph.call_function(torch.mm, (a, w))
    c = graph.call_function(torch.mm, (b, w))
    graph.call_function(torch.amp._exit_autocast, (enter,))
    graph.call_function(torch._C._set_grad_enabled, (False,))
    d = graph.call_function(torch.mm, (a, w))
    e = graph.call_function(operator.add, (d, c))
    graph.call_function(torch._C._set_grad_enabled, (True,))
    graph.output((graph.call_method("relu", (e,)), graph.call_function(operator.sub, (a, 1))))
    return torch.fx.GraphModule(nn.Module(), annotated(graph))


def captured(module: nn.Module, *inputs: Any, dynamic: bool = False) -> tuple[torch.fx.GraphModule, tuple[Any, ...]]:
    """Return the graph that Dynamo gives its backend, and the values that it calls the graph with."""
    calls: list[tuple[torch.fx.GraphModule, tuple[Any, ...]]] = []

    def backend(gm: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        def run(*values: Any) -> Any:
            calls.append((gm, values))
            return gm.forward(*values)

        return run

    torch._dynamo.reset()
    with torch.no_grad():
        torch.compile(module, backend=backend, fullgraph=True, dynamic=dynamic)(*inputs)
    torch._dynamo.reset()
    (call,) = calls
    return call


Partition = Callable[[torch.fx.Node, int, int], int]  # of a node, its index among the computing nodes, their number


def halves(node: torch.fx.Node, at: int, of: int) -> int:
    return 2 * at // of


def each(node: torch.fx.Node, at: int, of: int) -> int:
    return at


def backwards(node: torch.fx.Node, at: int, of: int) -> int:
    return of - at


def around_attention(node: torch.fx.Node, at: int, of: int) -> int:
    """Put each attention op into a separate partition, as engines do; later nodes go to the next partition."""
    attentions = 0
    for other in node.graph.nodes:
        attention = "scaled_dot_product_attention" in str(other.target)
        if other is node:
            return 2 * attentions + attention
        attentions += attention
    raise AssertionError


@dataclass
class Case:
    build: Callable[[], torch.fx.GraphModule | tuple[torch.fx.GraphModule, tuple[Any, ...]]]
    inputs: tuple[Any, ...] = ()
    partition: Partition = halves
    options: dict[str, Any] = field(default_factory=dict)
    maps_names: bool = False  # whether the split is asked for a qualname_map

    @functools.cached_property
    def input(self) -> tuple[torch.fx.GraphModule, tuple[Any, ...]]:
        built = self.build()
        return built if isinstance(built, tuple) else (built, self.inputs)


_two = (whole(3, 4), whole(3, 4) + 1)
_square = (whole(4, 4), whole(4, 4) + 1)
CASES = {
    "block": Case(traced(Block()), _two),
    "each node a partition": Case(traced(Block()), _two, each),
    "partitions counted down": Case(traced(Block()), _two, backwards),
    "original order": Case(traced(Block()), _two, each, {"keep_original_order": True}),
    "original node names": Case(traced(Block()), _two, each, {"keep_original_node_name": True}),
    "original order and node names": Case(
        traced(Block()), _two, halves, {"keep_original_order": True, "keep_original_node_name": True}
    ),
    "new input names": Case(traced(Block()), _two, each, {"keep_original_input_name": False}),
    "qualname map": Case(traced(Block()), _two, halves, maps_names=True),
    "partition affix": Case(traced(Block()), _two, halves, {"partition_affix": "pp"}),
    "submodule by attribute": Case(submodule_by_attribute, (whole(3, 4),), each),
    "default values": Case(traced(Defaults()), (whole(3, 4),)),
    "default values, original node names": Case(
        traced(Defaults()), (whole(3, 4),), halves, {"keep_original_node_name": True}
    ),
    "many outputs": Case(traced(ManyOutputs()), _two, lambda node, at, of: at // 3),
    "no outputs": Case(traced(NoOutputs()), (whole(3, 4),), lambda node, at, of: (0, 1, 2, 2, 3)[at]),
    "autocast and grad regions": Case(regions, _square, lambda node, at, of: at // 2),
    "symbolic sizes": Case(lambda: captured(Sizes(), *_two, dynamic=True), (), each),
    "transformer": Case(lambda: captured(filled(Transformer()), torch.arange(6)), (), around_attention),
}


# ---- the ways to split -----------------------------------------------------------------------------------------------


@dataclass
class Way:
    """How to request lazy modules, and how to run deferred recompiles. `force` returns their number."""

    asking: Callable[[], contextlib.AbstractContextManager[Any]]
    force: Callable[[nn.Module], int]


def _force_as_torch_does(gm: nn.Module) -> int:
    deferred = [name for name, state in laziness(gm).items() if state == "deferred"]
    for name in deferred:
        _LazyGraphModule.force_recompile(gm.get_submodule(name))
    return len(deferred)


NATIVE = Way(lambda: _use_lazy_graph_module(True), _force_as_torch_does)
PLAIN = Way(contextlib.nullcontext, lambda gm: 0)


class Split:
    """One input split in one way. Each description makes a new one: reading a lazy module can generate its code."""

    def __init__(self, case: Case, way: Way) -> None:
        self.way = way
        gm, self.inputs = case.input
        computing = [node for node in gm.graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
        place = {node: at for at, node in enumerate(computing)}
        self.names: dict[str, str] | None = {} if case.maps_names else None
        options = {**case.options, "qualname_map": self.names}
        with way.asking():
            self.gm = split_module_file.split_module(
                gm, gm, lambda node: case.partition(node, place[node], len(computing)), **options
            )


# ---- the descriptions ------------------------------------------------------------------------------------------------


def laziness(gm: nn.Module) -> dict[str, str]:
    return {
        name: "plain"
        if not isinstance(module, _LazyGraphModule)
        else "deferred"
        if module._needs_recompile()
        else "run"
        for name, module in gm.named_modules()
        if isinstance(module, torch.fx.GraphModule)
    }


def without_places(text: str) -> str:
    """Remove file locations, line numbers and module counters, which differ between runs."""
    text = re.sub(r"<eval_with_key>\.\d+", "<eval_with_key>", text)
    return re.sub(r"(?:[\w.~ -]*[/\\])+([\w-]+\.py)(\"?, line |:)\d+", r"\1", text)


def plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, (str, torch.SymInt, torch.SymFloat)):
        return without_places(str(value)).strip().split("\n")[-1]  # for a stack trace the innermost line is enough
    return value if isinstance(value, (bool, int, float, type(None))) else type(value).__name__


def graph_lines(graph: torch.fx.Graph) -> list[str]:
    def line(node: torch.fx.Node) -> str:
        target = node.target if isinstance(node.target, str) else torch.fx.node._get_qualified_name(node.target)
        meta = {key: plain(value) for key, value in sorted(node.meta.items())}
        return f"{node.op} {node.name} = {target} {node.args} {node.kwargs} {node.type} {json.dumps(meta)}"

    return [line(node) for node in graph.nodes]


def described(gm: nn.Module) -> dict[str, Any]:
    """Describe everything that can be read without generating code."""
    return {
        "laziness": laziness(gm),
        "modules": [[name, type(module).__name__] for name, module in gm.named_modules()],
        "state": {name: plain(tensor) for name, tensor in gm.state_dict().items()},
        "graphs": {
            name: graph_lines(module.graph)
            for name, module in gm.named_modules()
            if isinstance(module, torch.fx.GraphModule)
        },
    }


def generated(gm: nn.Module) -> dict[str, str]:
    return {name: module.code for name, module in gm.named_modules() if isinstance(module, torch.fx.GraphModule)}


def attempted(trace: Callable[[], nn.Module]) -> dict[str, Any]:
    try:
        made = trace()
    except Exception as error:  # noqa: BLE001  # compat must raise the same error as native torch
        return {"raises": type(error).__name__}
    return described(made) | {"code": generated(made)}


class Interpreted(torch.fx.Interpreter):
    """Interprets the partitions too, so that no code is generated."""

    def call_module(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        return Interpreted(module).run(*args) if isinstance(module, torch.fx.GraphModule) else module(*args, **kwargs)


def ran(split: Split, run: Callable[..., Any]) -> dict[str, Any]:
    with torch.no_grad():
        leaves = torch.utils._pytree.tree_leaves(run(*split.inputs))
    numbers = [leaf.flatten().tolist() if isinstance(leaf, torch.Tensor) else [leaf] for leaf in leaves]
    return {"results": numbers, "kinds": [plain(leaf) for leaf in leaves], "laziness": laziness(split.gm)}


def copied(how: Callable[[Any], Any], *, inside: bool = False, after_run: bool = False) -> Callable[[Split], Any]:
    def describe(split: Split) -> dict[str, Any]:
        if after_run:
            split.gm(*split.inputs)
        with split.way.asking() if inside else contextlib.nullcontext():
            made = how(split.gm)
        states = [laziness(split.gm), laziness(made)]
        return described(made) | {"code": generated(made), **ran(split, made), "laziness": states}

    return describe


def pickled(gm: Any) -> Any:
    return pickle.loads(pickle.dumps(gm))


def saved(gm: Any) -> Any:
    file = io.BytesIO()
    torch.save(gm, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def recaptured(split: Split) -> Callable[[], nn.Module]:
    return lambda: captured(split.gm, *split.inputs)[0]


def retraced(how: Callable[[Split], nn.Module], *, forced: bool) -> Callable[[Split], Any]:
    def describe(split: Split) -> dict[str, Any]:
        count = split.way.force(split.gm) if forced else None
        seen = attempted(lambda: how(split))
        return seen | {"laziness": [count, laziness(split.gm), seen.get("laziness")]}

    return describe


ASPECTS: dict[str, Callable[[Split], Any]] = {
    "split": lambda split: described(split.gm) | {"names": split.names},
    "code": lambda split: {"code": generated(split.gm), "laziness": laziness(split.gm)},
    "text": lambda split: {"text": str(split.gm), "laziness": laziness(split.gm)},
    "readable": lambda split: {
        "text": without_places(split.gm.print_readable(print_output=False)),
        "laziness": laziness(split.gm),
    },
    "run": lambda split: ran(split, split.gm),
    "run by the interpreter": lambda split: ran(split, torch.fx.Interpreter(split.gm).run),
    "run by interpreters alone": lambda split: ran(split, Interpreted(split.gm).run),
    "copy": copied(copy.copy),
    "copy inside": copied(copy.copy, inside=True),
    "deepcopy": copied(copy.deepcopy),
    "deepcopy inside": copied(copy.deepcopy, inside=True),
    "deepcopy after a run": copied(copy.deepcopy, after_run=True),
    "pickle": copied(pickled),
    "pickle inside": copied(pickled, inside=True),
    "torch.save": copied(saved),
    "symbolic_trace": retraced(lambda split: torch.fx.symbolic_trace(split.gm), forced=False),
    "symbolic_trace, forced": retraced(lambda split: torch.fx.symbolic_trace(split.gm), forced=True),
    "make_fx": retraced(lambda split: make_fx(split.gm)(*split.inputs), forced=False),
    "dynamo, forced": retraced(lambda split: recaptured(split)(), forced=True),
}


def describe(case: str, aspect: str, way: Way) -> dict[str, Any]:
    """Describe in JSON types, so that the result compares with a recording."""
    seen: dict[str, Any] = json.loads(json.dumps(ASPECTS[aspect](Split(CASES[case], way))))
    return seen


# ---- the recording ---------------------------------------------------------------------------------------------------


def record() -> str:
    """Return the recording. Aspects share most parts, so each part is stored once, under the digest of its text."""
    parts: dict[str, Any] = {}

    def stored(part: Any) -> str:
        digest = hashlib.sha256(json.dumps(part).encode()).hexdigest()[:12]
        parts[digest] = part
        return digest

    inputs = {case: stored(graph_lines(CASES[case].input[0].graph)) for case in CASES}
    splits = {
        case: {
            aspect: {key: stored(part) for key, part in describe(case, aspect, NATIVE).items()} for aspect in ASPECTS
        }
        for case in CASES
    }
    return json.dumps({"torch": RECORDED_ON, "inputs": inputs, "splits": splits, "parts": parts}, indent=0) + "\n"


@functools.cache
def recording() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the recorded inputs by case, and the recorded descriptions by case and aspect."""
    read = json.loads(RECORDING.read_text())
    parts = read["parts"]
    return {case: parts[digest] for case, digest in read["inputs"].items()}, {
        case: {aspect: {key: parts[digest] for key, digest in seen.items()} for aspect, seen in aspects.items()}
        for case, aspects in read["splits"].items()
    }


if __name__ == "__main__":
    assert torch.__version__.split("+")[0] == RECORDED_ON, f"this records from torch {RECORDED_ON} only"
    RECORDING.parent.mkdir(exist_ok=True)
    RECORDING.write_text(record())
