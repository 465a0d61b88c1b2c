"""Time the first split of a fresh process: `python -m compat.tools.demo.first LAYERS WAY`.

Prints the seconds. The time of `compat` counts in full: import, probing torch, building the backport, and using it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time

PACKAGE = (__package__ or "").rpartition(".tools.")[0]


def measure(layers: int, way: str) -> float:
    """Time the first split in a new process, in seconds.

    Args:
        layers: the number of transformer layers.
        way: "plain" or "compat".

    Raises:
        RuntimeError: the process failed. The message contains its stderr.
    """
    command = [sys.executable, "-m", __name__, str(layers), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the first use in a fresh process failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def _first(layers: int, way: str) -> float:
    from .model import capture, partitions, split

    graph, _ = capture(layers)
    numbers = partitions(graph)
    # Running this file has imported the package. Forget it, so that its import is timed too.
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
