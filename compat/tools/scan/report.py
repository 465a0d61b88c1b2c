"""Print what a scan found: a table, the differences between torches with their reasons, or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from ...reporting import table
from ...shims.base import all_shims
from .scan import UNDECIDED, Cell, Column, read


class Labelled(Protocol):
    """A torch that heads a column."""

    @property
    def path(self) -> str: ...

    @property
    def torch(self) -> str: ...


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
    old, sentences = _read_old(against) if against else ([], [])
    if sentences:  # a table without the torch to compare with would look like "nothing differs"
        return _json([], set(), [], sentences) if as_json else "", sentences, 2
    columns, sentences = read(paths)
    if old:
        differ = changes((old[0], other) for other in columns)
        names = {change.shim for change in differ}
    else:
        differ = changes(pairwise(columns))
        names = {shim.name for shim in all_shims()}
    columns = old + columns
    shown = _json(columns, names, differ, sentences) if as_json else _text(columns, names, differ, [*paths, against])
    return shown, sentences, 2 if sentences else int(bool(old) and any(change.lost for change in differ))


def _read_old(path: str) -> tuple[list[Column], list[str]]:
    columns, sentences = read([path])
    if len(columns) > 1:
        several = ", ".join(column.path for column in columns)
        return [], [f"{path}: it has several torches, name one of them: {several}"]
    return columns, sentences


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


def _text(columns: list[Column], names: set[str], differ: list[Change], given: Collection[str | None]) -> str:
    if not columns:
        return ""
    labels = label(columns)
    heads = [labels[column.path] for column in columns]
    rows: list[tuple[str, ...]] = [("shim", "asked for", *heads)]
    ordered = [shim.name for shim in all_shims() if shim.name in names]
    for name in ordered:
        cells = [column.cells[name] for column in columns]
        rows += [(name, "auto", *(cell.auto for cell in cells)), ("", "backport", *(cell.backport for cell in cells))]
    parts = [table(rows) if names else f"nothing differs: {', '.join(heads)}"]
    parts += legend(columns, given)
    parts += ["\n".join([_headline(change, labels), *(f"    {line}" for line in _why(change))]) for change in differ]
    parts += ["\n".join(lines) for name in ordered if (lines := list(_reasons(name, columns, labels)))]
    return "\n\n".join(parts)


def label(columns: Sequence[Labelled]) -> dict[str, str]:
    """Map the path of each column to a head: the version, numbered if several columns have the same version."""
    same = Counter(column.torch for column in columns)
    numbered = {c.path: f"{c.torch} [{i}]" for i, c in enumerate(columns, 1)}
    return {c.path: c.torch if same[c.torch] == 1 else numbered[c.path] for c in columns}


def legend(columns: Sequence[Labelled], given: Collection[str | None]) -> list[str]:
    """Give the paths of the columns that have no version of their own, or no path of their own in `given`."""
    labels = label(columns)
    lines = [f"{labels[c.path]}: {c.path}" for c in columns if labels[c.path] != c.torch or c.path not in given]
    return ["\n".join(lines)] if lines else []


def _reasons(name: str, columns: list[Column], labels: dict[str, str]) -> Iterator[str]:
    """Explain each `noop` and `undecided` of a shim. Torches with the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for column in columns:
        cell = column.cells[name]
        if cell.auto in ("noop", UNDECIDED):
            reason = cell.reason.replace(f"torch {column.torch}", "torch")
            reasons.setdefault(f"{cell.auto}: {reason}", []).append(labels[column.path])
    for reason, heads in reasons.items():
        yield f"{name}, {', '.join(heads)}: {reason}"


def _headline(change: Change, labels: dict[str, str]) -> str:
    old, new = change.cells
    what = f"{old.auto} -> {new.auto}"
    if old.backport != new.backport:
        what += f", backport if asked for: {old.backport} -> {new.backport}"
    lost = " (lost)" if change.lost else ""
    return f"{change.shim}, {labels[change.before.path]} -> {labels[change.after.path]}: {what}{lost}"


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
