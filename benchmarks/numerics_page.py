"""Write docs/numerics.md from the results of realize_numerics.py. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAD = """# The effect of `realize_on_reuse` on results

`benchmarks/numerics_page.py` writes this page from the results of `benchmarks/realize_numerics.py`: torch {torch}, CPU,
toy Llama-style models of width 256, three seeds each. *Stock* is Inductor without the shim.

| column | meaning |
|---|---|
| error | relative error against float64 |
| equal to stock | inputs, of 60, with bitwise the same output as stock |
| decodes as stock, as eager | greedy decodings, of three, with the same 16 tokens |
| same on two ranks | decodings with the same tokens on two ranks (tensor parallelism, gloo) as on one, the same way |

| model | layers | way | error | equal to stock | decodes as stock | decodes as eager | same on two ranks |
|---|---|---|---|---|---|---|---|
"""
TAIL = """
## Findings

- `exact` gave bitwise the results of stock for every model, depth, seed and input. So it is the default.
- `traffic` changes 16-bit models by the rounding of the stored values. The error grows towards the error of eager,
  which rounds everything, and stays below it. Tokens can differ from stock's. They differ between eager and stock, too.
- Between one rank and two, no tokens differed.
- A first form of `exact` also stored float32 residual sums of bf16 models, because nothing is rounded there. The
  results of six of 60 inputs differed by an ulp. On the CPU a sum uses as many lanes as fit the narrowest dtype that
  its kernel reads, and a kernel that reads stored float32 alone uses half as many. So `exact` leaves these sums to
  torch on the CPU.
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
