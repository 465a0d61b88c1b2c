"""Compare two results of `python -m compat scan --json`, and write an issue in Markdown if a mode changed.

    python .github/compare_modes.py LAST.json NEW.json

Prints nothing if no mode changed, or if LAST.json does not exist, as before the first scan.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def torch_of(path: Path) -> dict[str, Any]:
    """Return the one torch that the scan read."""
    (torch,) = json.loads(path.read_text("utf-8"))["torches"]
    return dict(torch)


def issue(last: dict[str, Any], new: dict[str, Any]) -> str:
    """Return the text of the issue: a title line, then a section for each shim whose mode changed."""
    sections = []
    names = dict.fromkeys((*last["shims"], *new["shims"]))
    for name in names:
        old, now = last["shims"].get(name), new["shims"].get(name)
        if old is None or now is None:  # added to or removed from compat itself
            continue
        if (old["auto"], old["backport"]) != (now["auto"], now["backport"]):
            sections.append(
                f"## `{name}`\n\n"
                f"- under `auto`: {old['auto']} -> {now['auto']}\n"
                f'- `mode="backport"` possible: {old["backport"]} -> {now["backport"]}\n'
                f"- reason now: {now['reason']}\n"
            )
    if not sections:
        return ""
    title = f"# torch {new['torch']}: the mode of {len(sections)} shim{'s' if len(sections) > 1 else ''} changed"
    return "\n".join([title, "", f"Compared with torch {last['torch']}.", "", *sections])


def main(arguments: list[str]) -> int:
    last, new = map(Path, arguments)
    if last.exists():
        print(issue(torch_of(last), torch_of(new)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
