"""Measure a vendored `compat` inside a real engine: the part that engines_vllm.py and engines_sglang.py share.

The engine is the one that is installed. `compat` is vendored into it, and its file with `split_graph` is loaded a
second time, with a small edit that makes it use the vendored context: the two then take turns on one captured graph.
"""

from __future__ import annotations

import compileall
import importlib
import importlib.metadata
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from results import save
from torch.fx._lazy_graph_module import _LazyGraphModule

from compat.tools import vendor
from compat.tools.demo.model import capture
from compat.tools.demo.timing import interleaved

ROUNDS = 15
LAYERS = {57: 28, 161: 80}
Edits = dict[str, str]


class Engine(NamedTuple):
    name: str
    file: str  # the module with split_graph
    edits: Edits  # what a maintainer writes, and in place of what
    attention: str  # how its configuration calls the op that the graph is split at
    # By the engine's version: how many times faster the split has to be, by the number of partitions. Empty where the
    # engine's split is lazy without compat.
    least: dict[str, dict[int, float]]


def measure(engine: Engine, extra: Callable[[Path], dict[str, Any]] = lambda copy: {}) -> None:
    """Vendors, compares, prints and saves, with what `extra` adds. A bar that is missed is told: machines are busy."""
    site = Path(importlib.util.find_spec(engine.name).origin).parents[1]
    vendor.run(str(site / engine.name / "_vendor"), "compat", force=False, check=False)
    compileall.compile_dir(site / engine.name / "_vendor", quiet=1)  # as pip does with an engine that it installs
    shipped, ours = importlib.import_module(engine.file), edited(engine)
    copy = importlib.import_module(f"{engine.name}._vendor.compat")
    assert Path(copy.__file__).is_relative_to(site)
    [row] = [row for row in copy.status() if row.name == "lazy_graph_module"]
    version = importlib.metadata.version(engine.name)
    measured = {
        engine.name: version,
        "mode": row.mode,
        "reason": row.reason,
        "edits": engine.edits,
        "splits": [compare(engine, shipped, ours, count) for count in LAYERS],
        "import_ms": import_times(engine),
        **extra(site / engine.name / "_vendor" / "compat"),
    }
    print(json.dumps(measured, indent=1))
    save(f"engine_{engine.name}", measured)
    for split in measured["splits"]:
        least = engine.least[version].get(split["partitions"], 0)
        if split["ratio"] < least:
            print(f"MISSED: {split['partitions']} partitions at {split['ratio']}x, and not {least}")
    if measured["import_ms"]["vendored compat"] >= 10:
        print(f"MISSED: the copy's import takes {measured['import_ms']['vendored compat']} ms, and not 10")


def edited(engine: Engine) -> ModuleType:
    """The engine's file again, under another name, as its maintainer would have edited it."""
    origin = Path(importlib.util.find_spec(engine.file).origin)
    text = origin.read_text()
    for old, new in engine.edits.items():
        assert text.count(old) == 1, f"{origin} is not what the edits are made for: {old}"
        text = text.replace(old, new)
    path = Path(tempfile.mkdtemp()) / origin.name
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(f"{engine.file}_with_compat", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(engine: Engine, shipped: ModuleType, ours: ModuleType, count: int) -> dict[str, Any]:
    """Its split of one graph into `count` partitions, as shipped and with compat."""
    graph, inputs = capture(LAYERS[count])
    ways = {
        "as shipped": lambda: shipped.split_graph(graph, [engine.attention]),
        "with compat": lambda: ours.split_graph(graph, [engine.attention]),
    }
    results = {way: split() for way, split in ways.items()}
    lazy = {way: lazy_in(root) for way, (root, _) in results.items()}
    (plain, pieces), (made_lazily, same_pieces) = results.values()
    assert [piece.submod_name for piece in pieces] == [piece.submod_name for piece in same_pieces]
    with torch.no_grad():
        assert all(map(torch.equal, plain(*inputs), made_lazily(*inputs)))
    codes = [{name: module.code for name, module in modules(root).items()} for root in (plain, made_lazily)]
    assert codes[0] == codes[1]
    seconds = interleaved(ways, ROUNDS)
    medians = {way: round(statistics.median(times) * 1000, 1) for way, times in seconds.items()}
    return {
        "layers": LAYERS[count],
        "nodes": len(graph.graph.nodes),
        "partitions": len(pieces),
        "lazy_modules": lazy,
        "median_ms": medians,
        "ratio": round(statistics.median(a / b for a, b in zip(*seconds.values())), 2),
        "rounds": ROUNDS,
    }


def modules(root: torch.nn.Module) -> dict[str, torch.fx.GraphModule]:
    return {name: module for name, module in root.named_modules() if isinstance(module, torch.fx.GraphModule)}


def lazy_in(root: torch.nn.Module) -> str:
    found = modules(root).values()
    return f"{sum(isinstance(module, _LazyGraphModule) for module in found)} of {len(found)}"


def import_times(engine: Engine) -> dict[str, float]:
    """Best of three fresh processes: the engine's own package after torch, and then its copy of compat."""
    code = f"""
import time, torch
start = time.perf_counter()
import {engine.name}
engine = time.perf_counter()
import {engine.name}._vendor.compat
print("\\n", (engine - start) * 1000, (time.perf_counter() - engine) * 1000)
"""
    rows = [[float(ms) for ms in python(code).splitlines()[-1].split()] for _ in range(3)]
    engines, copies = zip(*rows)
    return {engine.name: round(min(engines), 1), "vendored compat": round(min(copies), 1)}


def python(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
