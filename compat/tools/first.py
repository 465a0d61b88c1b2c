"""The very first split of a fresh process, for the demo and the benchmarks: `python -m compat.tools.first LAYERS WAY`.

Prints the seconds that it took. `compat` counts in full: importing it, probing torch, making the backport and using it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time

PACKAGE = __name__.rpartition(".tools.")[0] or __package__.rpartition(".")[0]


def measure(layers: int, way: str) -> float:
    """Seconds of the first split in a new process; `way` is "plain" or "compat"."""
    command = [sys.executable, "-m", f"{PACKAGE}.tools.first", str(layers), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the first use in a fresh process failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def _first(layers: int, way: str) -> float:
    from .model import capture, partitions, split

    graph, _ = capture(layers)
    numbers = partitions(graph)
    # This file is part of the package, which is therefore imported by now: forget it, so that its import counts.
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    start = time.perf_counter()
    if way == "plain":
        split(graph, numbers)
    else:
        with importlib.import_module(PACKAGE).lazy_graph_module():
            split(graph, numbers)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(_first(int(sys.argv[1]), sys.argv[2]))
