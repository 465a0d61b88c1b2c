"""Fixtures that all tests share: torch stays unchanged, fresh processes, vendored copies."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import torch
from helpers.this_torch import ROOT
from helpers.torch_state import same, state
from helpers.warm import Warm

from compat.shims import LEFT_OUT

# No deadline per example: a busy machine would fail it.
# If the tests run against a smaller vendored copy: the shims that it leaves out have no tests there.
collect_ignore_glob = [f"shims/test_{name}*.py" for name in LEFT_OUT]

hypothesis.settings.register_profile("compat", deadline=None)
hypothesis.settings.load_profile("compat")


LONGEST = ("test_torch_stays", "test_reproducers", "test_cache_key", "test_any_history", "test_view_meta_cache")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest modules first, so that no worker process waits for another at the end."""

    def place(item: pytest.Item) -> int:
        return LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_report_header() -> str:
    return f"torch {torch.__version__}, Python {platform.python_version()}"


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was() -> Iterator[None]:
    before, finders = state(), list(sys.meta_path)
    yield
    assert same(before, state())
    assert sys.meta_path == finders


@pytest.fixture(autouse=True)
def no_words_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TORCH_COMPAT")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def fresh() -> Callable[..., Any]:
    """Return a function that calls a function of a test module in a new process with an unchanged torch.

    The processes are forks of one that has imported torch and the modules that `split_module` imports at first use.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.fx.experimental.symbolic_shapes", "pytest", "unittest.mock"])

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(function, *arguments).result()

    return call


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Like `fresh`, but the forked process has also imported Dynamo and Inductor."""
    made = Warm()
    yield made
    made.end()


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Return three vendored copies: two of one version, and one whose shim has a later revision."""
    from compat.tools import vendor  # imported late: some processes must not import the original

    tree = tmp_path_factory.mktemp("engines")
    for name in ("same_one", "same_two", "later"):
        vendor.run(str(tree), name, force=False, check=False)
    shim = tree / "later" / "shims" / "lazy_graph_module.py"
    text = shim.read_text()
    assert text.count("revision=1,") == 1
    shim.write_text(text.replace("revision=1,", "revision=2,"))
    sys.path.insert(0, str(tree))
    yield {name: importlib.import_module(name) for name in ("same_one", "same_two", "later")}
    sys.path.remove(str(tree))


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    """Return an executor with one thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module")
def torch_contexts_are_collected() -> None:
    """Collect contexts of torch that were never exited: their finalizers reset its global flag."""
    gc.collect()


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a new Python in the repository: `python("-c", "...", TORCH_COMPAT="noop")`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", *arguments]
        # The given PYTHONPATH stays in front: it may redirect `compat` to a vendored copy.
        paths = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(ROOT)]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return run
