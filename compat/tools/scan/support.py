"""Record which mode each shim gets on each torch of the matrix: `support.json` and the page `docs/support.md`.

`python -m compat.tools.scan.support` writes the entry of the installed torch, once read from source and once live, and
the page. With `--check` it writes nothing, and exits with 1 if the entry or the page is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.version import Version

from ... import shims, version
from ...errors import CompatError
from ...selection import live_reader
from ...shims.base import Shim, all_shims
from .scan import Cell, judge
from .torches import opened

RECORD = Path(__file__).with_name("support.json")
PAGE = Path(__file__).parents[3] / "docs" / "support.md"

Modes = dict[str, str]  # "auto", "native", "backport", "reason"


@lru_cache(maxsize=None)
def known() -> dict[str, dict[str, dict[str, Modes]]]:
    """Load the record: torch -> "scanned" or "live" -> shim -> modes, older torches first."""
    recorded: dict[str, dict[str, dict[str, Modes]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return recorded


def entry() -> tuple[str, dict[str, dict[str, Modes]]]:
    """Determine the version of the installed torch, and the modes that the shims get on it.

    Imports the torch modules that the shims need.

    Raises:
        CompatError: torch is not installed, or states no version.
    """
    root, torch = version.folder(), version.parse(version.text())
    if root is None or torch is None:
        raise CompatError("torch is not installed, or states no version that can be parsed")
    # Drop the local part (+cu130): builds of the same sources get the same modes.
    with opened(root) as read:
        scanned = judge(torch.public, read.source)
    return torch.public, {"scanned": _modes(scanned), "live": _modes(judge(torch.public, live_reader()))}


def _modes(cells: dict[str, Cell]) -> dict[str, Modes]:
    return {
        name: {"auto": cell.auto, "native": cell.native, "backport": cell.backport, "reason": cell.reason}
        for name, cell in cells.items()
    }


def page(recorded: dict[str, dict[str, dict[str, Modes]]]) -> str:
    """Format the support page as Markdown."""
    names = [shim.name for shim in all_shims()]
    lines = [
        "# The mode of each shim on each torch",
        "",
        "Written by `python -m compat.tools.scan.support`, run on each of these torches; not by hand.",
        "",
        _row("shim", *recorded),
        _row("---", *("---" for _ in recorded)),
        *(_row(f"`{name}`", *(_word(given, name) for given in recorded.values())) for name in names),
        "",
        "`native`: torch has it. `backport`: torch lacks it, and a backport stands in. `noop`: nothing happens; with a",
        '`*`, `mode="backport"` works there too. `undecided`: the source is not enough to decide. A cell with a `/`',
        "has the mode as scanned from source first and the mode of the running torch second. Elsewhere both agree.",
    ]
    for shim in all_shims():
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
    """Return the paragraph `Removal:` of the docstring of the shim's file: when the shim can be removed."""
    text = sys.modules[f"{shims.__name__}.{shim.name}"].__doc__ or ""
    paragraph = re.search(r"^Removal: (.+?)(?=^\w+: |^\s*$|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(paragraph.group(1).split()) if paragraph else "not said"


def _word(given: dict[str, dict[str, Modes]], name: str) -> str:
    words = [f"{modes[name]['auto']}{_star(modes[name])}" if name in modes else "?" for modes in given.values()]
    return " / ".join(dict.fromkeys(words))


def _star(modes: Modes) -> str:
    return "*" if modes["auto"] == "noop" and modes["backport"] == "yes" else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def stale(page_path: Path | None = None) -> list[str]:
    """List what is out of date, each as a sentence."""
    page_path = page_path or PAGE
    torch, now = entry()
    outdated = []
    if known().get(torch) != now:
        outdated.append(f"{RECORD.name} does not contain the modes of torch {torch}")
    if not page_path.exists() or page_path.read_text(encoding="utf-8") != page(known()):
        outdated.append(f"{page_path.name} differs from the page that {RECORD.name} makes")
    return outdated


def write() -> str:
    """Write the entry of the installed torch, and the page. Return the version of torch."""
    torch, now = entry()
    recorded: dict[str, Any] = {**(known() if RECORD.exists() else {}), torch: now}
    recorded = dict(sorted(recorded.items(), key=lambda item: Version(item[0])))
    RECORD.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(recorded), encoding="utf-8")
    known.cache_clear()
    return torch


def main(arguments: list[str]) -> int:
    """Run the command. Return the exit status: 0, 1 if something is out of date, 2 without torch."""
    try:
        if arguments == ["--check"]:
            outdated = stale()
            for sentence in outdated:
                print(f"compat: {sentence}: run python -m compat.tools.scan.support", file=sys.stderr)
            return int(bool(outdated))
        print(f"torch {write()} written to {RECORD.name} and {PAGE.name}")
        return 0
    except CompatError as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
