"""Write docs/benchmarks.md with its charts, and all.json, which has all results but the single rounds.

Needs matplotlib, not torch.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "compat"  # the same results draw the same file
import matplotlib.pyplot as plt  # noqa: E402

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
WAYS = {
    "plain": "plain split_module",
    "context alone": "the engines' way: torch's context alone",
    "compat": "compat.lazy_graph_module()",
    "limit": "limit: no GraphModule is built",
}


TEXT = """# Benchmarks

`nox -s bench` measures and writes this page from the results in `benchmarks/results/`. The results here are from
{machines}. Ratios are medians of pairs from interleaved runs in one process.
`benchmarks/results/all.json` has all results in one file, without the single rounds.

## Splitting a graph

![Milliseconds of one split by torch version](../benchmarks/results/lazy_graph_module.svg)

{splits}

[lazy_graph_module.md](lazy_graph_module.md) explains the rows. They were measured with an earlier runtime, whose
context was faster: today it takes [15 to 19 µs](lazy_graph_module.md), and torch's own 1.2 µs.

## Torch 2.13 and later

![Graph copy, lazy split and first compile with and without the shims](../benchmarks/results/current_torches.svg)

`fx_node_creation` makes FX nodes in about the time of torch 2.12, and `vector_isa_probe` keeps the answers of the
compiler for the next cache folder. The first folder of all has to ask the compiler in any case.

{current}

## Residual chains

![Loads and run time of a residual chain against its depth](../benchmarks/results/realize_on_reuse.svg)

The table shows how much faster a chain runs with the shim than with torch as it is. Rows of the data have 4096 columns,
and the residual branches are given, not computed. The malloc that keeps its memory is glibc's with
`MALLOC_MMAP_MAX_=0` and a large `MALLOC_TRIM_THRESHOLD_`.

{chains}

Loads, counted from Inductor's scheduler (torch {first}):

{loads}

Share of a 20-layer compile that is spent on deciding which values to store:

{deciding}

Bytes moved, compared with the best of all choices, which were tried one by one (torch {first}):

{bytes}

## Cost

![Milliseconds at start, microseconds of a context, seconds of a scan](../benchmarks/results/overhead.svg)

{overhead}
"""


def load(name: str) -> list[dict[str, Any]]:
    """Load the results of one benchmark, sorted by torch."""
    found = [json.loads(path.read_text()) for path in FOLDER.glob(f"{name}-*.json")]
    return sorted(found, key=lambda result: [int(n) for n in release(result).split(".")])


def chart(found: list[dict[str, Any]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(WAYS)
    for i, (way, label) in enumerate(WAYS.items()):
        at = [x + (i - (len(WAYS) - 1) / 2) * width for x in range(len(found))]
        bars = axes.bar(at, [result["split"]["median_ms"][way] for result in found], width, label=label)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(found)), [f"torch {release(r)}\n{r['mode']}" for r in found])
    axes.set_ylabel("ms")
    first = found[0]["split"]
    axes.set_title(f"split_module: {first['nodes']} nodes into {first['partitions']} partitions (median)", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "lazy_graph_module.svg", metadata={"Date": None})


def current_chart(result: dict[str, Any]) -> None:
    """Draw what the shims for current torches save."""
    copy, split, compiled = (result[name] for name in ("graph_copy", "lazy_split", "first_compile"))
    older = f"torch {copy['torches']['reference'].partition('+')[0]}"
    plain = f"torch {release(result)}"
    panels = {
        "copy of a graph, µs a node": {
            plain: copy["least_us_per_node"]["torch"],
            "compat": copy["least_us_per_node"]["compat"],
            older: copy["least_us_per_node"]["reference"],
        },
        "split of a transformer, ms": {
            plain: split["median_ms"]["plain"],
            "lazy": split["median_ms"]["compat"],
            "lazy, with\nfx_node_creation": split["median_ms"]["compat with fx_node_creation"],
        },
        "first compile in a new folder, s": {
            plain: compiled["median_seconds"]["torch"],
            "compat": compiled["median_seconds"]["compat"],
        },
    }
    figure, row = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for axes, (title, values) in zip(row, panels.items()):
        axes.bar_label(axes.bar(list(values), list(values.values()), 0.6), fmt="%.1f", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "current_torches.svg", metadata={"Date": None})


CURRENT_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "copying a graph, torch over torch 2.12.1": lambda r: f"{r['graph_copy']['torch_over_reference']:.2f}x",
    "copying with `fx_node_creation`, over torch 2.12.1": lambda r: (
        f"**{r['graph_copy']['compat_over_reference']:.2f}x**"
    ),
    "plain split over lazy split": lambda r: f"{r['lazy_split']['plain_over']['compat']:.2f}x",
    "plain split over lazy split with `fx_node_creation`": lambda r: (
        f"**{r['lazy_split']['plain_over']['compat with fx_node_creation']:.2f}x**"
    ),
    "first compile in a later cache folder: torch": lambda r: f"{r['first_compile']['median_seconds']['torch']:.1f} s",
    "later folder with `vector_isa_probe`": lambda r: f"{r['first_compile']['median_seconds']['compat']:.1f} s",
    "torch over `vector_isa_probe`, later folders": lambda r: (
        f"**{r['first_compile']['torch_over_compat_seconds']:.2f}x**"
    ),
}


# The chart of `realize_on_reuse` shows a float32 chain of each depth, 256 rows.
CHAIN = {"stock": "torch as it is", "compat": "compat.realize_on_reuse()"}
CHAIN_WAYS = {"stock": "torch as it is", "compat": "`exact`", "compat, traffic": "`traffic`"}


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
    """Show how much faster a chain runs than with torch alone, by malloc and numerics."""
    columns = [
        (f"torch {release(result)}, {malloc}, `{numerics}`", result, way)
        for results, malloc in ((found, "malloc of glibc"), (kept, "malloc that keeps its memory"))
        for result in results
        for way, numerics in (("compat", "exact"), ("compat, traffic", "traffic"))
    ]
    lines = [["", *(name for name, _, _ in columns)]]
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
    return markdown(lines)


# The rows of the table, each made from one result.
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
    "of those deferred, after `standalone_compile` and a run of all": lambda r: (
        "{after_compiling_and_running} of {deferred}".format(**r["recompiles"])
    ),
    "entering and leaving, beyond torch's own context": lambda r: f"{r['context']['more_us']:+.1f} µs",
}


def as_table(found: list[dict[str, Any]], rows: dict[str, Callable[[dict[str, Any]], str]]) -> str:
    """Make a table with a column for each torch."""
    return markdown(
        [["", *(f"torch {release(result)}" for result in found)]]
        + [[name, *map(row, found)] for name, row in rows.items()]
    )


def markdown(lines: list[list[str]]) -> str:
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))


def loads_table(result: dict[str, Any]) -> str:
    lines = [["", "way", "loads a layer", "most loads of one kernel", "kernels"]]
    for row in result["loads"]:
        for way in CHAIN_WAYS:
            counted = row[way]
            lines.append(
                [
                    f"{row['kind']}, {row['depth']} layers",
                    CHAIN_WAYS[way],
                    *(str(counted[name]) for name in lines[0][2:]),
                ]
            )
    return markdown(lines)


def deciding_table(found: list[dict[str, Any]]) -> str:
    ways = {"stock": "torch as it is", "compat": "`exact`", "as vLLM had it": "the rule as vLLM had it"}
    lines = [
        [
            "",
            *(
                f"torch {release(result)}, {cached}"
                for result in found
                for cached in result["share of compile time"][0]["stock"]
            ),
        ]
    ]
    for way, label in ways.items():
        shares = [
            statistics.median(row[way][cached] for row in result["share of compile time"])
            for result in found
            for cached in result["share of compile time"][0]["stock"]
        ]
        lines.append([label, *(f"{share:.2%}" for share in shares)])
    return markdown(lines)


def bytes_table(result: dict[str, Any]) -> str:
    lines = [["", *CHAIN_WAYS.values()]]
    lines += [
        [row["graph"], *(f"+{row['over the best'][way] - 1:.1%}" for way in CHAIN_WAYS)] for row in result["bytes"]
    ]
    return markdown(lines)


def start_chart(found: list[dict[str, Any]], splits: list[dict[str, Any]], engines: list[dict[str, Any]]) -> None:
    """Draw the cost of compat: at the start of a process, at each use, and for a scan of another torch."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(9, 2.8), layout="constrained", gridspec_kw={"width_ratios": [2, 1, 1]}
    )
    took = found[0]["start"]
    starts = {"import torch": took["torch_ms"], "import compat": took["compat_ms"], "install()": took["install_ms"]}
    starts |= {f"import {name}": row["import_ms"][name] for row in engines for name in row["import_ms"] if name in row}
    names = sorted(starts, key=lambda name: -starts[name])
    left.bar_label(left.barh(names, [starts[name] for name in names]), fmt="%.0f", fontsize=8)
    left.set_xscale("log")
    left.invert_yaxis()
    left.set_title(f"at the start, ms (torch {release(found[0])})", fontsize=10)
    for at, way, label in ((-0.2, "upstream_us", "torch's own"), (0.2, "compat_us", "compat")):
        places = [x + at for x in range(len(splits))]
        middle.bar(places, [row["context"][way] for row in splits], 0.4, label=label)
    middle.set_xticks(range(len(splits)), map(release, splits))
    middle.set_title("entering a context, µs", fontsize=10)
    middle.legend(fontsize=8, frameon=False)
    right.bar_label(right.bar([release(row) for row in found], [row["scan"]["s"] for row in found], 0.5), fmt="%.1f")
    right.set_title("scan of a torch, s", fontsize=10)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / "overhead.svg", metadata={"Date": None})


def overhead_table(found: list[dict[str, Any]]) -> str:
    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "`import torch`": lambda r: f"{r['start']['torch_ms']:.0f} ms",
        "`import compat` after it": lambda r: f"{r['start']['compat_ms']:.1f} ms",
        "`compat.install()` after that: all fixes": lambda r: f"{r['start']['install_ms']:.1f} ms",
        "modules of Inductor and Dynamo that these import": lambda r: f"{r['start']['heavy']:.0f}",
        "fixes that this torch needs": lambda r: str(len(r["active"])),
        "20-layer `torch.compile` that finds its C++ compiled": lambda r: (
            f"{r['compile']['median_s']['torch alone']:.2f} s"
        ),
        "the same with all fixes, over torch alone": lambda r: f"{r['compile']['all_fixes_over_torch_alone']:.3f}",
        "`python -m compat scan` of the installed torch": lambda r: f"{r['scan']['s']:.1f} s, {r['scan']['MB']:.0f} MB",
    }
    return as_table(found, rows)


def release(result: dict[str, Any]) -> str:
    return str(result["torch"]).partition("+")[0]


def without_rounds(value: Any) -> Any:
    """Return the results without the seconds of each single round."""
    if not isinstance(value, dict):
        return value
    return {name: without_rounds(inner) for name, inner in value.items() if name not in ("seconds", "runs")}


def main() -> None:
    names = sorted({path.stem.rpartition("-")[0] for path in FOLDER.glob("*-*.json")})
    everything = {name: {release(result): without_rounds(result) for result in load(name)} for name in names}
    (FOLDER / "all.json").write_text(json.dumps(everything, indent=1) + "\n")
    splits, chains, kept, overhead = map(
        load, ("lazy_graph_module", "realize_on_reuse", "realize_on_reuse_kept", "overhead")
    )
    chart(splits)
    chain_chart(chains[0])
    current = load("current_torches")
    current_chart(current[-1])
    start_chart(overhead, splits, load("engine_vllm") + load("engine_sglang"))
    machines = sorted({result["machine"] for result in splits + current + chains + kept + overhead})
    PAGE.write_text(
        TEXT.format(
            machines="; ".join(machines),
            splits=as_table(splits, ROWS),
            current=as_table(current, CURRENT_ROWS),
            chains=chain_table(chains, kept),
            loads=loads_table(chains[0]),
            deciding=deciding_table(chains),
            bytes=bytes_table(chains[0]),
            first=release(chains[0]),
            overhead=overhead_table(overhead),
        )
    )
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
