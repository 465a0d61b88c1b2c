"""A split with compat equals a split on a torch that is lazy natively.

On 2.11 and 2.12 it is compared with the recording that record_split.py made on 2.12.1. Later torches have another
`split_module`, so it is compared with torch's own switch there. On earlier torches it is compared with a plain split
there, and with the recorded laziness."""

import contextlib
import functools
import inspect
import json
import traceback

import pytest
import torch
from packaging.version import Version
from record_split import (
    ASPECTS,
    CASES,
    NATIVE,
    PLAIN,
    RECORDED_ON,
    Interpreted,
    Split,
    Way,
    describe,
    graph_lines,
    laziness,
    recording,
)
from torch.fx.passes.split_module import split_module

import compat

TORCH = Version(torch.__version__).release
MODE = "backport" if TORCH < (2, 11) else "auto"
SHIMMED = Way(functools.partial(compat.lazy_graph_module, mode=MODE), compat.force_recompile)

# Aspects that fail on this torch with a plain split too. They are compared with the failure of the plain split.
NOT_HERE = {
    # "Global autocast state changed while dynamo tracing": a defect of Dynamo's guards, fixed in 2.12.
    ("autocast and grad regions", "dynamo, forced"): TORCH < (2, 12),
}
CASES_HERE = [
    case
    for case in CASES
    if set(CASES[case].options) <= set(inspect.signature(split_module).parameters)  # 2.9 has no partition_affix
]
# Dynamo gives this warning on Python 3.13.0 only.
pytestmark = pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")


def near(seen: dict) -> dict:
    """Allow results to differ in their last bits, as they do between torches."""
    return seen | {"results": [pytest.approx(leaf, rel=1e-4, abs=1e-5) for leaf in seen.get("results", ())]}


def exact(seen: dict) -> dict:
    return seen | {"results": seen.get("results", [])}


def expected(case: str, aspect: str) -> dict:
    if TORCH >= (2, 13):
        return describe(case, aspect, NATIVE)
    recorded = recording()[1][case][aspect]
    if NOT_HERE.get((case, aspect)):
        return describe(case, aspect, PLAIN) | {"laziness": [*recorded["laziness"][:2], None]}
    return recorded if TORCH >= (2, 11) else describe(case, aspect, PLAIN) | {"laziness": recorded["laziness"]}


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("case", CASES_HERE)
def test_lazy_split_equals_split_of_native_torch(case: str, aspect: str) -> None:
    assert exact(describe(case, aspect, SHIMMED)) == near(expected(case, aspect))


@pytest.mark.skipif(TORCH[:2] not in ((2, 11), (2, 12)), reason="this torch is not compared with the recording")
@pytest.mark.parametrize("case", CASES)
def test_recorded_split_has_same_input(case: str) -> None:
    assert graph_lines(CASES[case].input[0].graph) == recording()[0][case]


@pytest.mark.skipif(Version(RECORDED_ON).release != TORCH, reason=f"the recording is from {RECORDED_ON}")
@pytest.mark.parametrize("case", CASES)
def test_new_recording_equals_stored_one(case: str) -> None:
    assert list(recording()[1]) == list(CASES)
    assert list(recording()[1][case]) == list(ASPECTS)
    for aspect in ASPECTS:
        assert exact(describe(case, aspect, NATIVE)) == near(recording()[1][case][aspect]), aspect


def bits(values: object) -> list:
    leaves = torch.utils._pytree.tree_leaves(values)
    return [
        (leaf.dtype, leaf.numpy(force=True).tobytes()) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves
    ]


@pytest.mark.parametrize("case", CASES_HERE)
def test_results_are_bitwise_equal_to_unsplit_graph_and_plain_split(case: str) -> None:
    gm, inputs = CASES[case].input
    lazy = Split(CASES[case], SHIMMED).gm
    with torch.no_grad():
        results = [bits(module(*inputs)) for module in (gm, Split(CASES[case], PLAIN).gm, lazy, lazy)]
    assert results[1:] == results[:-1]


@pytest.fixture
def generations(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return a list that grows by one with each code generation."""
    seen: list = []
    generate = torch.fx.Graph.python_code
    monkeypatch.setattr(
        torch.fx.Graph, "python_code", lambda graph, *a, **k: (seen.append(graph), generate(graph, *a, **k))[1]
    )
    return seen


@pytest.mark.parametrize("case", CASES_HERE)
def test_split_generates_no_code_and_force_recompile_generates_it_once(case: str, generations: list) -> None:
    CASES[case].input  # noqa: B018  # builds the graph before the count starts
    generations.clear()
    gm = Split(CASES[case], SHIMMED).gm
    graphs = [module.graph for module in gm.modules() if isinstance(module, torch.fx.GraphModule)]
    assert generations == []
    assert compat.force_recompile(gm) == len(graphs)
    assert set(generations) == set(graphs)
    assert len(generations) == len(graphs)
    assert compat.force_recompile(gm) == 0
    assert len(generations) == len(graphs)


# How a split is used before force_recompile, and which of its three modules then are still deferred.
USES = {
    "not at all": (lambda gm, inputs: None, ["", "submod_0", "submod_1"]),
    "called": (lambda gm, inputs: gm(*inputs), []),
    "interpreted": (lambda gm, inputs: torch.fx.Interpreter(gm).run(*inputs), [""]),
    "interpreted all through": (lambda gm, inputs: Interpreted(gm).run(*inputs), ["", "submod_0", "submod_1"]),
    "one partition's code read": (lambda gm, inputs: gm.submod_1.code, ["", "submod_0"]),
    "one partition called": (lambda gm, inputs: gm.submod_0(*inputs, *inputs), ["", "submod_1"]),
    "printed readably": (lambda gm, inputs: gm.print_readable(print_output=False), ["", "submod_0", "submod_1"]),
    "linted": (lambda gm, inputs: gm.graph.lint(), ["", "submod_0", "submod_1"]),
    "called, then asked to recompile": (lambda gm, inputs: (gm(*inputs), gm.recompile()), [""]),
}
TREES = {
    "bare": lambda gm: gm,
    "in a module": lambda gm: torch.nn.Sequential(torch.nn.ReLU(), gm),
    "its partition listed first": lambda gm: torch.nn.ModuleList([gm.submod_1, gm]),
}


def deferred(gm: torch.nn.Module) -> list[str]:
    return [name for name, state in laziness(gm).items() if state == "deferred"]


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("use", USES)
def test_force_recompile_leaves_no_module_deferred(use: str, tree: str, generations: list) -> None:
    """From 2.10 on, generating the code of a GraphModule defers its lazy children again, even if they have run."""
    split = Split(CASES["block"], SHIMMED)
    USES[use][0](split.gm, split.inputs)
    assert deferred(split.gm) == USES[use][1]
    held = TREES[tree](split.gm)
    generations.clear()
    assert compat.force_recompile(held) == len(generations)
    assert deferred(held) == []
    assert compat.force_recompile(held) == 0


def test_force_recompile_does_nothing_for_plain_split() -> None:
    assert compat.force_recompile(Split(CASES["block"], PLAIN).gm) == 0


# ---- references to split_module --------------------------------------------------------------------------------------

ROUTES = """
import functools, json, sys
import torch
from torch.fx.passes.split_module import split_module as by_name
import torch.fx.passes.split_module
by_partial = functools.partial(by_name, keep_original_order=True)
def importing(*args):
    from torch.fx.passes.split_module import split_module
    return split_module(*args)
kept = {"in a container": by_name}
class Engine:
    split = staticmethod(by_name)
def by_default_argument(*args, split=by_name):
    return split(*args)
assert "compat" not in sys.modules
import compat
from torch.fx.passes.split_module import split_module as by_name_after
routes = {
    "by name": by_name,
    "by name, after compat": by_name_after,
    "by module attribute": lambda *args: torch.fx.passes.split_module.split_module(*args),
    "partial": by_partial,
    "in a container": kept["in a container"],
    "static method": Engine().split,
    "default argument": by_default_argument,
    "imported when called": importing,
}
gm = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU()))
def deferred(split):
    return compat.force_recompile(split(gm, gm, lambda node: int(node.target)))
before = {name: deferred(split) for name, split in routes.items()}
with compat.lazy_graph_module(mode=sys.argv[1]):
    inside = {name: deferred(split) for name, split in routes.items()}
after = {name: deferred(split) for name, split in routes.items()}
print(json.dumps({name: [before[name], inside[name], after[name]] for name in routes}))
"""
ROUTE_NAMES = [line.split('"')[1] for line in ROUTES.partition("routes = {")[2].partition("}")[0].splitlines() if line]


@pytest.fixture(scope="module")
def deferred_by_route(python) -> dict:
    """Return deferred counts from a new process, in which split_module is imported before compat."""
    ran = python("-c", ROUTES, MODE)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("route", ROUTE_NAMES)
def test_every_reference_to_split_module_is_lazy_inside_and_plain_outside(route: str, deferred_by_route: dict) -> None:
    assert deferred_by_route[route] == [0, 3, 0]


# ---- errors are the same as without compat ---------------------------------------------------------------------------


def _raise(node: torch.fx.Node) -> int:
    raise LookupError(node.name)


def _there_and_back(node: torch.fx.Node, calls: list[int]) -> int:
    calls.append(0)
    return len(calls) % 2


BAD_CALLS = {
    "callback raises": lambda gm: split_module(gm, gm, _raise),
    "partitions in a cycle": lambda gm: split_module(gm, gm, functools.partial(_there_and_back, calls=[])),
    "no arguments": lambda gm: split_module(),
    "one argument too few": lambda gm: split_module(gm, gm),
    "too many arguments": lambda gm: split_module(gm, gm, _raise, None, False, False, True, "pp"),
    "unknown argument": lambda gm: split_module(gm, gm, _raise, lazily=True),
    "argument given twice": lambda gm: split_module(gm, gm, _raise, m=gm),
    "no graph": lambda gm: split_module(torch.nn.ReLU(), None, _raise),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_failing_split_raises_same_error_at_same_place(call: str) -> None:
    gm = CASES["block"].input[0]
    failures = []
    for context in (contextlib.nullcontext(), SHIMMED.asking()):
        with pytest.raises(Exception) as caught, context:  # noqa: PT011  # the error is compared below
            BAD_CALLS[call](gm)
        frames = traceback.extract_tb(caught.value.__traceback__)
        place = frames[-1].filename, frames[-1].lineno, {frame.name for frame in frames if "torch" in frame.filename}
        failures.append((type(caught.value), str(caught.value), place))
    assert failures[0] == failures[1]


def test_split_module_metadata_is_unchanged_inside_context() -> None:
    def looks() -> tuple:
        f = split_module
        return (
            inspect.signature(f),
            f.__name__,
            f.__qualname__,
            f.__doc__,
            f.__defaults__,
            f.__kwdefaults__,
            f.__module__,
        )

    outside = looks()
    with SHIMMED.asking():
        assert looks() == outside
