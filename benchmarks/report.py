"""Draws what the benchmarks found, and prints it as a table. Needs matplotlib, not torch."""

from __future__ import annotations

import json
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


def results() -> list[dict[str, Any]]:
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


def rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    head = ("torch", "mode", "plain", "context alone", "compat", "plain / compat", "compat / limit")
    head += ("first split: plain", "compat", "ratio", "import", "context: ours - torch's")
    lines = [head, ("---",) * len(head)]
    for result in found:
        median, first = result["split"]["median_ms"], result["first_split"]
        lines.append(
            (
                result["torch"],
                result["mode"],
                *(f"{median[way]:.1f} ms" for way in ("plain", "context alone", "compat")),
                f"{result['split']['plain_over_compat']:.2f}x",
                f"{result['split']['compat_over_limit']:.2f}x",
                *(f"{first['median_ms'][way]:.1f} ms" for way in ("plain", "compat")),
                f"{first['plain_over_compat']:.2f}x",
                f"{result['import']['median_ms']:.1f} ms",
                f"{result['context']['more_us']:+.1f} µs",
            )
        )
    return lines


if __name__ == "__main__":
    found = results()
    chart(found)
    print("\n".join(f"| {' | '.join(line)} |" for line in rows(found)))
