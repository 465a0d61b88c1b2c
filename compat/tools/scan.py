"""`python -m compat scan`: the mode that every shim gets on torches that are only read, not installed or imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from packaging.version import InvalidVersion, Version

from .. import version
from ..adapters import adapter_for
from ..probe import Answer, Reader, answer
from ..selection import Shim, decide
from ..shims import all_shims
from ..status import table
from .torches import Unreadable, opened

UNDECIDED = "undecided"


class Cell(NamedTuple):
    """One shim on one torch."""

    auto: str  # the mode under `auto`: "native", "backport", "noop" or "undecided"
    native: str  # whether this mode can be had by name: "yes", "no" or "undecided"
    backport: str
    expected: str  # what the adapter for this version number expects
    reason: str
    answers: tuple[Answer, ...]


class Column(NamedTuple):
    """One torch."""

    path: str
    torch: str
    cells: dict[str, Cell]


class Change(NamedTuple):
    """One shim that differs between two torches."""

    shim: str
    before: Column
    after: Column

    @property
    def cells(self) -> tuple[Cell, Cell]:
        return self.before.cells[self.shim], self.after.cells[self.shim]

    @property
    def lost(self) -> bool:
        """Whether the older torch has a mode that does something and the newer one has not, or not for certain."""
        old, new = self.cells
        return _works(old.auto) > _works(new.auto) or (old.backport == "yes" != new.backport and new.auto != "native")


def judge(torch: str | None, reader: Reader) -> dict[str, Cell]:
    """Every shim on the torch that calls itself `torch` and that `reader` reads."""
    return {shim.name: _cell(shim, torch, reader) for shim in all_shims()}


def _cell(shim: Shim, torch: str | None, reader: Reader) -> Cell:
    answers = {mode: tuple(answer(r, reader) for r in getattr(shim, mode)) for mode in ("native", "backport")}
    can = {mode: _all_hold(given) for mode, given in answers.items()}
    expected: str = getattr(adapter_for(version.parse(torch)), shim.name)
    got = decide(shim, "auto", "", torch, reader)
    auto, reason = got.mode, got.reason
    # `decide` takes what source cannot tell for a failure: right for a process that has to choose, a guess here.
    unsure = next((m for m in ("native", "backport") if can[m] == UNDECIDED and m in _weighed(auto, expected)), None)
    if unsure:
        open_question = next(a for a in answers[unsure] if a.holds is None)
        auto, reason = UNDECIDED, f"source does not tell whether {open_question.requirement}: {open_question.found}"
    every = tuple(dict.fromkeys((*answers["native"], *answers["backport"])))
    return Cell(auto, can["native"], can["backport"], expected, reason, every)


def _weighed(auto: str, expected: str) -> tuple[str, ...]:
    """The modes whose requirements were asked, and failed, before the choice fell on `auto`."""
    return {"native": (), "backport": ("native",)}.get(
        auto, ("native",) if expected == "noop" else ("native", "backport")
    )


def _all_hold(answers: Iterable[Answer]) -> str:
    given = {a.holds for a in answers}
    return "no" if False in given else UNDECIDED if None in given else "yes"


def _works(mode: str) -> bool:
    return mode in ("native", "backport")


def read(paths: Iterable[str]) -> tuple[list[Column], list[str]]:
    """The torches at these paths, older ones first, and a sentence for each path that has none."""
    columns, sentences = [], []
    for path in paths:
        try:
            with opened(path) as torch:
                columns.append(Column(path, torch.version, judge(torch.version, torch.source)))
        except Unreadable as error:
            sentences.append(str(error))
    columns.sort(key=lambda column: _rank(column.torch))
    return columns, sentences


def _rank(torch: str) -> tuple[bool, Any]:
    try:
        return True, Version(torch)
    except InvalidVersion:
        return False, torch


def changes(pairs: Iterable[tuple[Column, Column]]) -> list[Change]:
    """Every shim that differs between the two torches of a pair."""
    found = [Change(name, old, new) for old, new in pairs for name in old.cells]
    return [change for change in found if change.cells[0][:3] != change.cells[1][:3]]


def scan(paths: list[str], against: str | None = None, as_json: bool = False) -> tuple[str, list[str], int]:
    """What to print, a sentence for each path that cannot be read, and the exit status."""
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
    """Which requirements came to be answered otherwise, each with what was found."""
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


def run(paths: list[str], against: str | None, as_json: bool) -> int:
    shown, sentences, exit_status = scan(paths, against, as_json)
    if shown:
        print(shown)
    for sentence in sentences:
        print(f"compat: {sentence}", file=sys.stderr)
    return exit_status
