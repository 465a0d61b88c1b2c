"""Print what a scan found: a table, the differences between torches with their reasons, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from ...shims import all_shims
from ...status import table
from .scan import UNDECIDED, Cell, Column, read


class Change(NamedTuple):
    """A shim that gets different modes on two torches."""

    shim: str
    before: Column
    after: Column

    @property
    def cells(self) -> tuple[Cell, Cell]:
        return self.before.cells[self.shim], self.after.cells[self.shim]

    @property
    def lost(self) -> bool:
        """Whether a mode that works on the older torch does not work, or is undecided, on the newer one."""
        old, new = self.cells
        return _works(old.auto) > _works(new.auto) or (old.backport == "yes" != new.backport and new.auto != "native")


def _works(mode: str) -> bool:
    return mode in ("native", "backport")


def changes(pairs: Iterable[tuple[Column, Column]]) -> list[Change]:
    """Return every shim that differs between the two torches of a pair."""
    found = [Change(name, old, new) for old, new in pairs for name in old.cells]
    return [change for change in found if change.cells[0][:3] != change.cells[1][:3]]


def scan(paths: list[str], against: str | None = None, as_json: bool = False) -> tuple[str, list[str], int]:
    """Return the text to print, a sentence for each path that cannot be read, and the exit status."""
    columns, sentences = read(paths)
    old, more = read([against] if against else [])
    columns, sentences = old + columns, sentences + more
    if against:
        differ = changes((column, other) for column in old for other in columns[1:])
    else:
        differ = changes(pairwise(columns))
    names = {change.shim for change in differ} if old else {shim.name for shim in all_shims()}
    shown = _json(columns, names, differ, sentences) if as_json else _text(columns, names, differ)
    return shown, sentences, 2 if sentences else int(bool(against) and any(change.lost for change in differ))


def _json(columns: list[Column], names: set[str], differ: list[Change], sentences: list[str]) -> str:
    torches = [
        {
            "path": column.path,
            "torch": column.torch,
            "shims": {
                name: {**cell._asdict(), "answers": [a._asdict() for a in cell.answers]}
                for name, cell in column.cells.items()
                if name in names
            },
        }
        for column in columns
    ]
    changed = [
        {
            "shim": change.shim,
            "from": {"path": change.before.path, "torch": change.before.torch, "auto": change.cells[0].auto},
            "to": {"path": change.after.path, "torch": change.after.torch, "auto": change.cells[1].auto},
            "lost": change.lost,
            "why": _why(change),
        }
        for change in differ
    ]
    return json.dumps({"torches": torches, "changes": changed, "unreadable": sentences}, indent=2)


def _text(columns: list[Column], names: set[str], differ: list[Change]) -> str:
    if not columns:
        return ""
    rows: list[tuple[str, ...]] = [("shim", "asked for", *(column.torch for column in columns))]
    for name in (shim.name for shim in all_shims() if shim.name in names):
        cells = [column.cells[name] for column in columns]
        rows += [(name, "auto", *(cell.auto for cell in cells)), ("", "backport", *(cell.backport for cell in cells))]
    parts = [table(rows) if names else f"nothing differs: {', '.join(column.torch for column in columns)}"]
    parts += ["\n".join([_headline(change), *(f"    {line}" for line in _why(change))]) for change in differ]
    unsure = [(c.torch, name, c.cells[name]) for c in columns for name in sorted(names)]
    parts += [f"{name}, {torch}: {cell.reason}" for torch, name, cell in unsure if cell.auto == UNDECIDED]
    return "\n\n".join(parts)


def _headline(change: Change) -> str:
    old, new = change.cells
    what = f"{old.auto} -> {new.auto}"
    if old.backport != new.backport:
        what += f", backport if asked for: {old.backport} -> {new.backport}"
    lost = " (lost)" if change.lost else ""
    return f"{change.shim}, {change.before.torch} -> {change.after.torch}: {what}{lost}"


def _why(change: Change) -> list[str]:
    """List the requirements that got a different answer, each with what was found."""
    words = {True: "holds", False: "does not hold", None: "undecided"}
    lines = []
    for old, new in zip(*(cell.answers for cell in change.cells)):
        if (old.holds, old.found) != (new.holds, new.found):
            was, now = (f"{words[a.holds]} ({a.found})" if not a.holds else words[a.holds] for a in (old, new))
            lines.append(f"{old.requirement}: {was} -> {now}")
    expected = tuple(cell.expected for cell in change.cells)
    if expected[0] != expected[1]:
        lines.append(f"by its version number: {expected[0]} -> {expected[1]}")
    return lines
