"""What every shim gets on every torch of the matrix: the record (`support.json`) and the page (`docs/support.md`).

`python -m compat.tools.support` writes the entry of the torch that it runs on, once from its source and once live, and
the page. `--check` writes nothing and exits with 1 where the entry or the page is stale.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.version import Version

from .. import shims, version
from ..errors import CompatError
from ..probe import Live
from ..selection import Shim
from .scan import Cell, judge
from .torches import opened

RECORD = Path(__file__).with_name("support.json")
PAGE = Path(__file__).parents[2] / "docs" / "support.md"

Modes = dict[str, str]  # "auto", "native", "backport", "reason"


@lru_cache(maxsize=None)
def known() -> dict[str, dict[str, dict[str, Modes]]]:
    """torch -> "scanned" or "live" -> shim -> modes, older torches first."""
    recorded: dict[str, dict[str, dict[str, Modes]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return recorded


def entry() -> tuple[str, dict[str, dict[str, Modes]]]:
    """The torch of this process and what it gets. Imports the torch modules that the shims need."""
    root, torch = version.root(), version.parse(version.text())
    if root is None or torch is None:
        raise CompatError("torch is not installed, or does not say which it is")
    # Without the local part: what a shim gets does not depend on how the same sources were built.
    with opened(root) as read:
        scanned = judge(torch.public, read.source)
    return torch.public, {"scanned": _modes(scanned), "live": _modes(judge(torch.public, Live()))}


def _modes(cells: dict[str, Cell]) -> dict[str, Modes]:
    return {
        name: {"auto": cell.auto, "native": cell.native, "backport": cell.backport, "reason": cell.reason}
        for name, cell in cells.items()
    }


def page(recorded: dict[str, dict[str, dict[str, Modes]]]) -> str:
    """The support page as Markdown."""
    every = shims.all_shims()
    lines = [
        "# What each torch gets",
        "",
        "Written by `python -m compat.tools.support`, run on each of these torches; not by hand.",
        "",
        _row("shim", *recorded),
        _row("---", *("---" for _ in recorded)),
        *(_row(f"`{shim.name}`", *(_word(given, shim.name) for given in recorded.values())) for shim in every),
        "",
        "`native`: torch has it. `backport`: torch lacks it, a backport stands in. `noop`: nothing happens; with a",
        "`*`, the backport works there too, for whoever asks for it by name. `undecided`: source does not tell.",
        "A cell with a `/` is its first word as scanned from source and its second as run live; elsewhere both agree.",
    ]
    for shim in every:
        lines += ["", *_section(shim, recorded)]
    return "\n".join(lines) + "\n"


def _section(shim: Shim, recorded: dict[str, dict[str, dict[str, Modes]]]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for torch, given in recorded.items():
        if shim.name in given["live"]:
            reason = given["live"][shim.name]["reason"].replace(f"torch {torch}", "torch")
            reasons.setdefault(reason, []).append(torch)
    return [
        f"## `{shim.name}`",
        "",
        f"Kind: {shim.kind}. Upstream: {shim.upstream}. "
        f"{'Changes' if shim.changes_codegen else 'Does not change'} generated code.",
        "",
        f"Removal: {removal(shim)}",
        "",
        *(f"- {', '.join(torches)}: {reason}" for reason, torches in reasons.items()),
    ]


def removal(shim: Shim) -> str:
    """When the shim can go, from the paragraph `Removal:` at the top of its file."""
    text = sys.modules[f"{shims.__name__}.{shim.name}"].__doc__ or ""
    told = re.search(r"^Removal: (.+?)(?=^\w+: |^\s*$|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(told.group(1).split()) if told else "not said"


def _word(given: dict[str, dict[str, Modes]], name: str) -> str:
    words = [f"{modes[name]['auto']}{_star(modes[name])}" if name in modes else "?" for modes in given.values()]
    return " / ".join(dict.fromkeys(words))


def _star(modes: Modes) -> str:
    return "*" if modes["auto"] == "noop" and modes["backport"] == "yes" else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def stale(page_path: Path | None = None) -> list[str]:
    """What is out of date, in words."""
    page_path = page_path or PAGE
    torch, now = entry()
    found = []
    if known().get(torch) != now:
        found.append(f"{RECORD.name} does not have what torch {torch} gets")
    if not page_path.exists() or page_path.read_text(encoding="utf-8") != page(known()):
        found.append(f"{page_path.name} is not what {RECORD.name} makes")
    return found


def write() -> str:
    """Writes the entry of this torch, and the page. Gives back the torch."""
    torch, now = entry()
    recorded: dict[str, Any] = {**(known() if RECORD.exists() else {}), torch: now}
    recorded = dict(sorted(recorded.items(), key=lambda item: Version(item[0])))
    RECORD.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(recorded), encoding="utf-8")
    known.cache_clear()
    return torch


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["--check"]:
            found = stale()
            for sentence in found:
                print(f"compat: {sentence}: run python -m compat.tools.support", file=sys.stderr)
            return int(bool(found))
        print(f"torch {write()} written to {RECORD.name} and {PAGE.name}")
        return 0
    except CompatError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
