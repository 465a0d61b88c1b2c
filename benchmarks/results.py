"""Keep results: one JSON file a benchmark and torch, with the versions and the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent / "results"


def save(name: str, measured: dict[str, Any]) -> None:
    release = str(torch.__version__).partition("+")[0]
    about = {
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "load_before": os.getloadavg()[0],
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}-{release}.json"
    path.write_text(json.dumps(about | measured, indent=1) + "\n")
    print(f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name} written")


def told(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows. Print each once it is known."""
    kept = []
    for row in rows:
        print(row, flush=True)
        kept.append(row)
    return kept


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
