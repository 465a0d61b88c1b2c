"""Draws what the benchmarks found, and prints it as a table. Needs matplotlib, not torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "compat"  # the same results draw the same file
import matplotlib.pyplot as plt  # noqa: E402

FOLDER = Path(__file__).parent / "results"
WAYS = {
    "plain": "plain split_module",
    "context alone": "the engines' way: torch's context alone",
    "compat": "compat.lazy_graph_module()",
    "limit": "limit: no GraphModule is built",
}


def load() -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in FOLDER.glob("lazy_graph_module-*.json")]
    return sorted(found, key=lambda result: [int(n) for n in result["torch"].split("+")[0].split(".")])


def chart(found: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(WAYS)
    for i, (way, label) in enumerate(WAYS.items()):
        at = [x + (i - (len(WAYS) - 1) / 2) * width for x in range(len(found))]
        bars = axes.bar(at, [result["split"]["median_ms"][way] for result in found], width, label=label)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(found)), [f"torch {r['torch'].split('+')[0]}\n{r['mode']}" for r in found])
    axes.set_ylabel("ms")
    first = found[0]["split"]
    axes.set_title(f"split_module: {first['nodes']} nodes into {first['partitions']} partitions (median)", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "lazy_graph_module.svg", metadata={"Date": None})


# What the table says of one result.
ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "mode": lambda r: f"`{r['mode']}`",
    "plain": lambda r: f"{r['split']['median_ms']['plain']:.1f} ms",
    "torch's context alone": lambda r: f"{r['split']['median_ms']['context alone']:.1f} ms",
    "`compat`": lambda r: f"{r['split']['median_ms']['compat']:.1f} ms",
    "plain / `compat`": lambda r: f"**{r['split']['plain_over_compat']:.2f}x**",
    "`compat` / limit": lambda r: f"{r['split']['compat_over_limit']:.2f}x",
    "first split in a fresh process, plain": lambda r: f"{r['first_split']['median_ms']['plain']:.1f} ms",
    "the same, `compat`": lambda r: f"{r['first_split']['median_ms']['compat']:.1f} ms",
    "plain / `compat`, first split": lambda r: f"**{r['first_split']['plain_over_compat']:.2f}x**",
    "recompiles in the split": lambda r: str(r["recompiles"]["in_the_split"]),
    "of {deferred} deferred, after compiling and running all": lambda r: str(
        r["recompiles"]["after_compiling_and_running"]
    ),
    "`import compat` after `import torch`": lambda r: f"{r['import']['median_ms']:.1f} ms",
    "entering and leaving, beyond torch's own context": lambda r: f"{r['context']['more_us']:+.1f} µs",
}


def table(found: list[dict[str, Any]]) -> str:
    lines = [["", *(f"torch {result['torch'].split('+')[0]}" for result in found)], ["---"] * (len(found) + 1)]
    lines += [[name.format(**found[0]["recompiles"]), *map(row, found)] for name, row in ROWS.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    results = load()
    chart(results)
    print(table(results))
