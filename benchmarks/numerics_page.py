"""Writes docs/numerics.md from the results of realize_numerics.py. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAD = """# Does it matter to results what Inductor stores?

Written by `benchmarks/numerics_page.py` from the results of `benchmarks/realize_numerics.py`, torch {torch}, CPU: toy
Llama-style models of width 256, three seeds each. The error is relative, against float64. "Bitwise stock's" counts
inputs of 60, "decodes as" greedy decodings of three, 16 tokens each. "On two ranks": two-rank tensor parallelism (gloo)
against one rank, the same way.

| model | layers | way | error | bitwise stock's | decodes as stock | decodes as eager | same on two ranks |
|---|---|---|---|---|---|---|---|
"""
TAIL = """
What it says:

- `exact` gave the bits of torch as it is for every model, depth, seed and input. That is why it is the default.
- `traffic` changes 16-bit models by the rounding of what is stored. The error grows towards eager's, which rounds
  everything, and stays below it; tokens can differ from stock's. They differ between eager and stock, too.
- Between one rank and two, tokens differed nowhere.
- A first form of `exact` stored float32 residual sums of bf16 models as well: nothing is rounded there. Six of 60
  inputs came out otherwise by an ulp, because on the CPU a sum takes as many lanes as fit the narrowest dtype that its
  kernel reads, and stored float32 alone is summed in half as many. So `exact` leaves these to torch on the CPU.
"""


def main() -> None:
    read = json.loads((ROOT / "benchmarks/results/realize_numerics-2.11.0.json").read_text())
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in read["rows"]:
        groups.setdefault((row["model"], row["depth"]), []).append(row)
    lines = []
    for (name, depth), rows in groups.items():
        for way in ("eager", "stock", "exact", "traffic"):
            error = sum(row["error"][way] for row in rows) / len(rows)
            equal = sum(row["inputs equal to stock, of 20"][way] for row in rows)
            as_stock, as_eager = (sum(row[f"decodes as {who}"][way] for row in rows) for who in ("stock", "eager"))
            two = [row["two ranks decode as one"][way] for row in rows if "two ranks decode as one" in row]
            ranks = f"{sum(two)} of {len(two)}" if two else ""
            lines.append(f"| {name} | {depth} | {way} | {error:.2e} | {equal} | {as_stock} | {as_eager} | {ranks} |")
    text = HEAD.replace("{torch}", read["torch"].partition("+")[0]) + "\n".join(lines) + "\n" + TAIL
    (ROOT / "docs" / "numerics.md").write_text(text)


if __name__ == "__main__":
    main()
