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


def load(name: str) -> list[dict[str, Any]]:
    """The results of one benchmark, by torch."""
    found = [json.loads(path.read_text()) for path in FOLDER.glob(f"{name}-*.json")]
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


# What is drawn of `realize_on_reuse`: a float32 chain of each depth, 256 rows.
CHAIN = {"stock": "torch as it is", "compat": "compat.realize_on_reuse()"}


def chain_chart(result: dict[str, Any]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    loads = [row for row in result["loads"] if row["kind"] == "float32"]
    times = [row for row in result["run time"] if row["kind"] == "float32" and row["rows"] == 256]
    for way, label in CHAIN.items():
        depths = [row["depth"] for row in loads]
        left.plot(depths, [row[way]["loads a layer"] * row["depth"] for row in loads], marker="o", label=label)
        right.plot([row["depth"] for row in times], [row["median_ms"][way] for row in times], marker="o", label=label)
    left.set_title("loads of all kernels", fontsize=10)
    right.set_title("run time in ms (256 rows, median)", fontsize=10)
    for axes in (left, right):
        axes.set_xlabel("layers of the residual chain")
        axes.set_ylim(bottom=0)
        axes.set_xticks(depths)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "realize_on_reuse.svg", metadata={"Date": None})


def chain_table(found: list[dict[str, Any]], kept: list[dict[str, Any]]) -> str:
    """How much faster a chain runs than torch alone has it, by malloc and numerics."""
    columns = [
        (f"torch {result['torch'].partition('+')[0]}, {malloc}, `{numerics}`", result, way)
        for results, malloc in ((found, "malloc of glibc"), (kept, "malloc that keeps its memory"))
        for result in results
        for way, numerics in (("compat", "exact"), ("compat, traffic", "traffic"))
    ]
    lines = [["", *(name for name, _, _ in columns)], ["---"] * (len(columns) + 1)]
    for row in found[0]["run time"]:
        key = [row[part] for part in ("kind", "depth", "rows")]
        ratios = [
            other["stock_over"][way]
            for _, result, way in columns
            for other in result["run time"]
            if [other[part] for part in ("kind", "depth", "rows")] == key
        ]
        lines.append([f"{key[0]}, {key[1]} layers, {key[2]} rows", *(f"{ratio:.2f}x" for ratio in ratios)])
    means = [f"**{result['geometric mean'][way]:.2f}x**" for _, result, way in columns]
    lines.append(["geometric mean", *means])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    results = load("lazy_graph_module")
    chart(results)
    print(table(results))
    if chains := load("realize_on_reuse"):
        chain_chart(chains[0])
        print(chain_table(chains, load("realize_on_reuse_kept")))
