"""Measure the cost of compat on the installed torch, and write JSON.

Four measurements: the import beside that of torch, the install of all fixes, their share of a compile, and a scan.

The first two are taken in fresh processes. The compile is one of 20 layers that finds its C++ compiled and nothing else
cached: with the seconds of the C++ compiler in it, any share would look small.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from results import save
from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache
from torch._inductor import config
from torch._inductor.codecache import FxGraphCache
from torch._inductor.utils import fresh_cache

import compat
from compat.tools.demo import chain

_START = """
import json, sys, time
start = time.perf_counter(); import torch; torch_ = time.perf_counter()
before = set(sys.modules)
imported = time.perf_counter(); import compat; done = time.perf_counter()
modules = len(set(sys.modules) - before)
compat.install(); installed = time.perf_counter()
heavy = sum(name in sys.modules for name in ("torch._inductor", "torch._dynamo"))
found = {"torch_ms": torch_ - start, "compat_ms": done - imported, "install_ms": installed - done}
print(json.dumps({name: seconds * 1e3 for name, seconds in found.items()} | {"modules": modules, "heavy": heavy}))
"""

_SCAN = """
import json, sys, time
start = time.perf_counter()
from compat.__main__ import main
status = main(["scan", sys.argv[1]])
took = time.perf_counter() - start
with open("/proc/self/status") as lines:  # getrusage knows the peak of the process that started this one, too
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
print(json.dumps({"s": took, "MB": peak / 1024, "status": status}))
"""


def processes(code: str, *arguments: str, times: int) -> dict[str, float]:
    """Medians of what a fresh process prints as its last line. A first one is not counted: it writes byte code."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command, runs = [sys.executable, "-W", "ignore", "-c", code, *arguments], []
    for _ in range(times + 1):
        done = subprocess.run(command, env=variables, capture_output=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    del runs[0]
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def compiles(rounds: int, layers: int = 20) -> dict[str, Any]:
    given, seconds = chain.inputs(layers, 64, torch.float32), {"torch alone": [], "all fixes": []}
    with fresh_cache(), config.patch({"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True}):
        for turn in range(rounds + 1):
            for way in sorted(seconds, reverse=bool(turn % 2)):  # the first one finds another heap
                if way == "all fixes":
                    compat.install()
                seconds[way].append(_compile(given))
                if way == "all fixes":
                    compat.uninstall()
        compat.install()
        share = _share_of_compat(given)
        compat.uninstall()
    ratios = [fixed / alone for alone, fixed in zip(*(taken[1:] for taken in seconds.values()))]
    pairs = [(first * second) ** 0.5 for first, second in zip(ratios[::2], ratios[1::2])]  # each way first in one
    return {
        "median_s": {way: round(statistics.median(taken[1:]), 3) for way, taken in seconds.items()},
        "all_fixes_over_torch_alone": round(statistics.median(pairs), 4),
        "share_of_compat_by_profile": round(share, 5),
        "rounds": rounds,
    }


def _compile(given: list[torch.Tensor]) -> float:
    torch._dynamo.reset()
    FxGraphCache.clear()
    AOTAutogradCache.clear()
    gc.collect()
    start = time.process_time()  # what the machine does beside it is not to count
    torch.compile(chain.make(), fullgraph=True, dynamic=False)(*given)
    return time.process_time() - start


def _share_of_compat(given: list[torch.Tensor]) -> float:
    """The own time of compat's functions in a compile, and of those that are made for torch's: what fixes add is less
    than one compile differs from the next."""
    profile = cProfile.Profile()
    profile.runcall(_compile, given)
    own = {where: row[2] for where, row in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    folder = str(Path(compat.__file__).parent)
    return sum(seconds for (file, _, _), seconds in own.items() if file.startswith(folder)) / sum(own.values())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=24, help="an even number")
    options.add_argument("--processes", type=int, default=9)
    options.add_argument("--scanned", default=str(Path(torch.__file__).parents[1]), help="a torch: its folder, a wheel")
    given = options.parse_args()
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    measured: dict[str, Any] = {"start": processes(_START, times=given.processes)}
    measured["active"] = [shim.name for shim in compat.status() if shim.kind == "fix" and shim.mode == "backport"]
    measured["compile"] = compiles(given.rounds)
    measured["scan"] = processes(_SCAN, given.scanned, times=given.processes)
    save("overhead", measured)


if __name__ == "__main__":
    main()
