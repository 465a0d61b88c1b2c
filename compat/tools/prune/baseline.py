"""A file of gates that are known and accepted, so that CI tells of new ones only."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from .gates import Gate

_ABOUT = "Gates that `compat prune` does not report. Write it anew with --write-baseline."


def write(path: str, gates: list[Gate]) -> None:
    counts = Counter(_key(gate) for gate in gates if gate.constant is not None)
    entries = [
        {"path": p, "text": text, "outcome": outcome, "count": n} for (p, text, outcome), n in sorted(counts.items())
    ]
    Path(path).write_text(json.dumps({"about": _ABOUT, "gates": entries}, indent=1) + "\n", encoding="utf-8")


def split(path: str, gates: list[Gate]) -> tuple[list[Gate], list[Gate]]:
    """The gates that are not in the baseline, and those that are. Raises ValueError for a file that is none.

    A gate is known by its path, text and outcome, so that it stays known where lines above it change.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))["gates"]
        left = Counter({(e["path"], e["text"], e["outcome"]): int(e["count"]) for e in entries})
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the baseline {path} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no baseline of prune; --write-baseline writes one") from error
    new: list[Gate] = []
    known: list[Gate] = []
    for gate in gates:
        is_known = gate.constant is not None and left[_key(gate)] > 0
        left[_key(gate)] -= is_known
        (known if is_known else new).append(gate)
    return new, known


def _key(gate: Gate) -> tuple[str, str, str]:
    return gate.module.shown.replace("\\", "/"), gate.text, gate.outcome
