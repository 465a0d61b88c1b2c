"""What was chosen, and why: as data, as a table and as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NamedTuple

from . import version
from .errors import UnsupportedError
from .install import installed
from .probe import Answer
from .selection import Selection, Shim, preview
from .shims import all_shims


class ShimStatus(NamedTuple):
    name: str
    kind: str  # "fix", "speed" or "policy"
    mode: str  # "native", "backport" or "noop"
    reason: str
    evidence: tuple[Answer, ...]  # the requirements that decided it, each with what was found
    active: bool  # in force somewhere in this process right now
    upstream: str
    changes_codegen: bool


def status() -> tuple[ShimStatus, ...]:
    """What every shim gets on the torch of this process: as installed, or else as `auto` has it under this environment.

    Imports nothing (but for a mode that the environment asks for by name and that source does not tell: `native` of
    `lazy_graph_break`): torch modules that are not imported yet are judged by their source, and what that does not tell
    is `noop` for the time being, with that reason. Raises ValueError, as every call that needs a selection, where an
    environment variable holds a word that it cannot.
    """
    return tuple(_status(shim) for shim in all_shims())


def _status(shim: Shim) -> ShimStatus:
    try:
        got = installed(shim) or preview(shim)
    except UnsupportedError as error:  # the environment asks for what cannot be had: using the shim raises this
        got = Selection(shim.name, "noop", str(error), ())
    reason = got.reason + (_SUBPROCESS if got.mode == "backport" and _lowers_elsewhere(shim) else "")
    return ShimStatus(
        shim.name, shim.kind, got.mode, reason, got.evidence, shim.active(), shim.upstream, shim.changes_codegen
    )


_SUBPROCESS = "; but Inductor compiles in a subprocess here (TORCHINDUCTOR_FX_COMPILE_MODE), where it is not in force"


def _lowers_elsewhere(shim: Shim) -> bool:
    """Whether what the shim patches is run in a process of Inductor's own, which starts with torch as it is."""
    asked = os.environ.get("TORCHINDUCTOR_FX_COMPILE_MODE", "").upper()
    mode = getattr(sys.modules.get("torch._inductor.compile_fx"), "fx_compile_mode", None)
    return "SUBPROCESS" in str(mode or asked) and any(name.startswith("torch._inductor") for name in shim.modules)


def as_json(rows: tuple[ShimStatus, ...]) -> str:
    shims: list[dict[str, Any]] = [
        {**row._asdict(), "evidence": [answer._asdict() for answer in row.evidence]} for row in rows
    ]
    return json.dumps({"torch": version.text(), "shims": shims}, indent=2)


def as_table(rows: tuple[ShimStatus, ...]) -> str:
    lines: list[tuple[str, ...]] = [("shim", "kind", "mode", "active", "reason")]
    lines += [(row.name, row.kind, row.mode, "yes" if row.active else "no", row.reason) for row in rows]
    return f"torch {version.text() or 'is not installed'}\n\n{table(lines)}"


def table(lines: list[tuple[str, ...]]) -> str:
    """Columns side by side, the first line as their heads."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in ruled)
