"""What the tests share: which torch this is, how to see what it builds, and a process that nobody has touched yet."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import torch
from torch.fx import _lazy_graph_module as lazy
from torch.fx.passes import split_module as split_module_file
from torch.fx.passes.split_module import split_module
from warm import Warm

ROOT = Path(__file__).parents[1]
RELEASE = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
# What `lazy_graph_module` can be on this torch, and the word that gets it. By upstream (pytorch#177907), not by compat.
WORKING = "native" if RELEASE >= (2, 12) else "backport"
ASK = "auto" if RELEASE >= (2, 11) else "backport"

# Inductor's CPU kernels are C++. What needs them is skipped, with this reason, where nobody can compile them.
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler, which Inductor needs"
)

# What does not hang on the version of torch is asked with one alone: that of the demo.
same_on_every_torch = pytest.mark.skipif(RELEASE != (2, 11), reason="comes out alike on every torch: run with 2.11")

# No deadline for one example: the machine may be busy with something else.
hypothesis.settings.register_profile("compat", deadline=None)
hypothesis.settings.load_profile("compat")


LONGEST = ("test_torch_stays", "test_reproducers", "test_cache_key", "test_any_history", "test_view_meta")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: with two processes, nothing is to be left that one of them does while the other one waits."""

    def place(item: pytest.Item) -> int:
        return LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_report_header() -> str:
    return f"torch {torch.__version__}, Python {platform.python_version()}"


def made() -> str:
    """What `_make_graph_module` makes here and now: "lazy" or "plain"."""
    return kind_of(lazy._make_graph_module(torch.nn.Module(), torch.fx.Graph()))


def kind_of(module: torch.nn.Module) -> str:
    return "lazy" if isinstance(module, lazy._LazyGraphModule) else "plain"


def split(function: Callable[..., torch.fx.GraphModule] = split_module) -> torch.fx.GraphModule:
    """A graph of two nodes, split into two partitions."""
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    places = {"sin": 0, "relu": 1}
    return function(graph, torch.nn.Module(), lambda node: places[node.name])


def split_kinds(function: Callable[..., torch.fx.GraphModule] = split_module) -> str:
    """What `split_module` makes here and now, the root and both partitions: "lazy", "plain" or a mixture."""
    result = split(function)
    kinds = {kind_of(module) for module in (result, result.submod_0, result.submod_1)}
    return " and ".join(sorted(kinds))


def status_of(name: str = "lazy_graph_module", package: ModuleType | None = None) -> Any:
    """One shim's row of `status()`, made alone: all the others would be made of torch's source, which takes long."""
    # Not imported at the top: some tests are about processes that never import the original.
    parent = importlib.import_module("compat") if package is None else package
    status, shims = (importlib.import_module(f"{parent.__name__}.{module}") for module in ("status", "shims"))
    (shim,) = shims.named([name])
    return status._status(shim)


def state() -> list[Any]:
    """All of torch that the shim could have changed."""
    modules = (lazy, split_module_file, torch.fx.graph_module)
    functions = (lazy._get_graph_module_cls, lazy._make_graph_module, split_module)
    return [
        *(dict(vars(module)) for module in modules),
        *((f, f.__code__, f.__defaults__, f.__kwdefaults__, dict(vars(f))) for f in functions),
    ]


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was() -> Iterator[None]:
    before, finders = state(), list(sys.meta_path)
    yield
    assert same(before, state())
    assert sys.meta_path == finders


def same(one: Any, other: Any) -> bool:
    """Whether two states are made of the very same objects."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(other[key] is one[key] for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other


def in_child(act: Callable[[], bool]) -> bool:
    """Whether `act` is true in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture(autouse=True)
def no_words_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TORCH_COMPAT")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def fresh() -> Callable[..., Any]:
    """Calls a function of a test module in a process of its own, which has torch as it is after its import.

    The processes are forks of one that has imported torch, and what split_module imports when it first runs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.fx.experimental.symbolic_shapes", "pytest", "unittest.mock"])

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *arguments).result()

    return call


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """As `fresh`, in forks of a process that has imported Dynamo and Inductor."""
    made = Warm()
    yield made
    made.end()


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a Python that has imported nothing, in the repository: `python("-c", "...", TORCH_COMPAT="noop")`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", *arguments]
        # What is in front already may redirect `compat` to a vendored copy.
        paths = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(ROOT)]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return run
