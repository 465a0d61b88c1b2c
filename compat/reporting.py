"""Report each shim's mode and the reason: as data, as a table and as JSON."""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
import json
import os
import sys
from typing import Any, NamedTuple

from . import version
from .errors import UnsupportedError
from .installation import Install, current_install
from .patching.import_hook import catch_up
from .patching.patch import claimed
from .probe.requirements import Answer
from .selection import Selection, preview
from .shims import LEFT_OUT
from .shims.base import Shim, all_shims

_WAITING = "; waiting for the import of "


class ShimStatus(NamedTuple):
    """One row of `status()`.

    Attributes:
        name: of the shim.
        kind: "fix", "speed", "policy" or "api".
        mode: "native", "backport" or "noop".
        reason: why, in words.
        evidence: the requirements that decided it, each with what was found.
        active: whether it is in force anywhere in this process right now.
        error: what kept it out, as "Type: text"; "" if nothing did.
        upstream: where the behaviour, or the defect, is on record.
        changes_codegen: whether it is part of cache keys while it is active.

    """

    name: str
    kind: str
    mode: str
    reason: str
    evidence: tuple[Answer, ...]
    active: bool
    error: str
    upstream: str
    changes_codegen: bool


def status() -> tuple[ShimStatus, ...]:
    """Return what each shim gets on the torch of this process, and why.

    Each row tells the latest install of the shim; if there is none, what `auto` gives
    under this environment. Torch modules that are not imported yet are checked by
    reading their source. If that is not enough to decide, the mode is `noop` for now.

    Returns:
        One `ShimStatus` a shim, in a fixed order. Shims that were left out of a smaller
        vendored copy come last, with the mode `noop` and the reason.

    Raises:
        ValueError: an environment variable names no mode.

    Imports no torch module, except if the environment asks for a mode by name that
    source cannot decide. Installed shims act now if an import was not noticed. Safe
    in threads.

    """
    catch_up()
    return (*map(status_of, all_shims()), *map(_left_out, LEFT_OUT))


def status_of(shim: Shim) -> ShimStatus:
    """Return the row of one shim."""
    entry = current_install(shim)
    try:
        selection = entry.selection if entry else preview(shim)
    except UnsupportedError as unsupported:  # asked for by the environment
        selection = Selection(shim.name, "noop", str(unsupported), ())
    active = shim.active
    error = (entry.error if entry else "") or shim.error
    mode, reason = selection.mode, selection.reason
    if error and not active:
        mode = "noop"
        reason = f"putting it in failed: {error}"
    return ShimStatus(
        shim.name,
        shim.kind,
        mode,
        reason + _remark(shim, entry, mode == "backport" or selection.undecided),
        selection.evidence,
        active,
        error,
        shim.upstream,
        shim.changes_codegen,
    )


def _left_out(name: str) -> ShimStatus:
    """Return the row of a shim that this copy lacks. Another copy may have it."""
    kind, why = LEFT_OUT[name]
    active = any(patch.name.partition("/")[0] == name for patch in claimed())
    reason = f"left out of this copy of compat: {why}"
    return ShimStatus(name, kind, "noop", reason, (), active, "", "", False)


def _remark(shim: Shim, entry: Install | None, acts: bool) -> str:
    """Return what is worth knowing about a shim that acts here, or may act."""
    if not acts:
        return ""
    if _lowers_elsewhere(shim):
        return (
            "; but Inductor compiles in a subprocess here "
            "(TORCHINDUCTOR_FX_COMPILE_MODE), where it is not in force"
        )
    if entry and entry.is_waiting:
        missing = sorted(name for name in shim.modules if name not in sys.modules)
        return f"{_WAITING}{', '.join(missing[:2])}" if missing else ""
    return ""


def _lowers_elsewhere(shim: Shim) -> bool:
    """Return whether Inductor runs the patched code in a process of its own."""
    asked = os.environ.get("TORCHINDUCTOR_FX_COMPILE_MODE", "").upper()
    compile_fx = sys.modules.get("torch._inductor.compile_fx")
    mode = getattr(compile_fx, "fx_compile_mode", None)
    is_inductor = any(name.startswith("torch._inductor") for name in shim.modules)
    return is_inductor and "SUBPROCESS" in str(mode or asked)


def as_json(rows: tuple[ShimStatus, ...]) -> str:
    shims: list[dict[str, Any]] = [
        {**row._asdict(), "evidence": [answer._asdict() for answer in row.evidence]}
        for row in rows
    ]
    return json.dumps({"torch": version.text(), "shims": shims}, indent=2)


def as_table(rows: tuple[ShimStatus, ...]) -> str:
    lines: list[tuple[str, ...]] = [("shim", "kind", "mode", "active", "reason")]
    for row in rows:
        lines.append((row.name, row.kind, row.mode, _activity(row), row.reason))
    return f"torch {version.text() or 'is not installed'}\n\n{table(lines)}"


def _activity(row: ShimStatus) -> str:
    """Return "yes", "no", or the module whose import an installed shim waits for."""
    if row.active:
        return "yes"
    module = row.reason.partition(_WAITING)[2].partition(",")[0]
    return f"waiting for {module}" if module else "no"


def table(lines: list[tuple[str, ...]]) -> str:
    """Return the lines as columns side by side; the first line has their heads."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        for line in ruled
    )
