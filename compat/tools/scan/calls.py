"""Look up the private torch names that an engine uses in several torches, and report which moved or changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ...reporting import table
from .changes import changes
from .names import Found, Missing, Names, Undecided
from .progress import progress
from .reader import Use
from .report import label, legend
from .scan import UNDECIDED, rank
from .torches import Unreadable, opened, places
from .uses import elsewhere, python_files, uses

SITES = 3  # how many places the text names for each name


class Answer(NamedTuple):
    """The definition that one torch has under one name."""

    answer: str  # "yes", "no", "moved" or "undecided"
    found: str  # where the definition is, or was moved to; else the reason
    parameters: str | None = None  # of a function or class, if they are known
    rest: str = ""  # the end of the name: what is missing, or is an attribute of a function or a plain value
    kinds: tuple[str, ...] = ()  # of each part of the name that exists


class Column(NamedTuple):
    """One torch, with its answer for each name."""

    path: str
    torch: str
    answers: dict[str, Answer]


class Row(NamedTuple):
    """One name, with its uses and an answer for each torch."""

    name: str
    uses: list[Use]
    answers: list[Answer]

    @property
    def own(self) -> bool:
        """Whether the engine itself sets the name, never needs it, and no torch is known to have it."""
        is_set = any(use.form == "set" for use in self.uses) and not self.name.rpartition(".")[0].endswith("config")
        needed = any(use.form != "set" and not use.guard for use in self.uses)
        return is_set and not needed and not any(answer.answer in ("yes", "moved") for answer in self.answers)


class Difference(NamedTuple):
    """A difference between two torches under one name."""

    before: int  # the columns
    after: int
    words: str
    breaks: bool  # a use that works on the first torch may fail on the second


def scan_calls(folder: str, paths: list[str], against: str | None, as_json: bool) -> tuple[str, list[str], int]:
    """Return the text to print, a sentence for each path that cannot be read, and the exit status.

    Args:
        folder: the engine's source.
        paths: the torches to look into.
        against: print only the names that differ from this torch.
        as_json: print JSON.
    """
    with progress() as show:
        found, unread = uses(folder, show)
        imported = {use.module for use in found}
        names = {u.name: {one for one in imported if f"{u.name}.".startswith(f"{one}.")} for u in found}
        columns, sentences = _read(paths, names, show)
        old, more = _read([against], names, show) if against else ([], [])
        _find_moves([*old, *columns], show)
    if against and len(old) != 1:
        several = [f"{against}: it has several torches, name one of them: {', '.join(c.path for c in old)}"]
        return "", more or several, 2
    sentences = unread + sentences
    compared = bool(columns)
    columns = old + columns
    rows = _rows(found, columns)
    differences = {row.name: list(_differences(row, bool(old))) for row in rows}
    counted = _counted(folder, [row for row in rows if not row.own])
    if old:
        rows = [row for row in rows if differences[row.name]]
        counted += f", {sum(not row.own for row in rows)} names differ"
    if as_json:
        shown = _json(folder, rows, columns, differences, sentences)
    elif not found:
        shown = _nothing(folder)
    else:
        shown = _text(counted, rows, columns, differences, [*paths, against]) if compared else ""
    lost = bool(old) and any(one.breaks for row in rows if not row.own for one in differences[row.name])
    return shown, sentences, 2 if sentences else int(lost)


def _counted(folder: str, rows: list[Row]) -> str:
    found = [use for row in rows for use in row.uses]
    files = len({use.path for use in found})
    return f"{folder}: {len(rows)} private torch names, {len(found)} uses in {files} files"


def _nothing(folder: str) -> str:
    """Say that no file uses a private name, and which folders were not looked into."""
    skipped: list[str] = []
    files = list(python_files(folder, skipped.append))
    return f"{folder}: no private torch names in {len(files)} files{elsewhere(skipped)}"


def _read(paths: Iterable[str], names: dict[str, set[str]], show: Any) -> tuple[list[Column], list[str]]:
    columns, sentences = [], []
    for path in (place for given in paths for place in places(given)):
        show(f"looking up {len(names)} names in {path}")
        try:
            with opened(path) as torch:
                reader = Names(torch)
                answers = {name: _answer(reader, name, modules) for name, modules in names.items()}
                columns.append(Column(path, torch.version, answers))
        except Unreadable as error:
            sentences.append(str(error))
    columns.sort(key=lambda column: rank(column.torch))
    return columns, sentences


def _answer(reader: Names, name: str, modules: set[str]) -> Answer:
    """Look up a name.

    Args:
        reader: the torch.
        name: the name.
        modules: the parts of it that the engine imports as modules.
    """
    try:
        for module in sorted(modules):
            reader.require_module(module)
        found: Found = reader.find(name)
    except Missing as error:
        # Keep the first part that does not exist: this is what may have moved.
        return Answer("no", str(error), rest=name[len(error.prefix) + 1 :])
    except Undecided as error:
        return Answer(UNDECIDED, str(error))
    return Answer("yes", found.where, found.parameters, found.rest, found.kinds)


def _find_moves(columns: list[Column], show: Any) -> None:
    """Look for names that one torch has and another lacks: the other one may define them in another module."""
    wanted: dict[tuple[int, str], list[tuple[str, str]]] = {}  # a column and a name -> parts, with their kinds
    for number, column in enumerate(columns):
        for name, answer in column.answers.items():
            having = (other.answers[name].kinds for other in columns if other.answers[name].answer == "yes")
            if answer.answer == "no" and (kinds := next(having, ())):
                wanted[number, name] = _candidates(name, answer, kinds)
    everything = {part for parts in wanted.values() for part in parts}
    if not everything:
        return
    defined = []
    for column in columns:
        show(f"looking for moved names in {column.path}")
        with opened(column.path) as torch:
            defined.append(Names(torch).definitions(everything))
    for (number, name), parts in wanted.items():
        for part in parts:
            # A definition that a torch with the name has, too, is another thing of the same name.
            had = [there[part] for other, there in zip(columns, defined) if other.answers[name].answer == "yes"]
            moved = sorted(defined[number][part].difference(*had))
            if moved:
                answers = columns[number].answers
                rest = answers[name].rest.partition(part[0])[2]
                found = " or ".join(place + rest for place in moved)
                answers[name] = Answer("moved", found, rest=answers[name].rest)
                break


def _candidates(name: str, answer: Answer, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the parts of a missing name that may have moved, with their kinds: a function or class, else its module.

    Args:
        name: the name.
        answer: of the torch that lacks it.
        kinds: of the parts of the name in a torch that has it.
    """
    parts = name.split(".")
    first = len(parts) - len(answer.rest.split("."))
    if kinds[first - 1 : first] == ("class",):
        return []  # a class lacks an attribute
    end = first + 2 if kinds[first : first + 1] == ("module",) else first + 1
    return [(part, kind) for part, kind in zip(parts[first:end], kinds[first:end]) if kind != "value"][::-1]


def _rows(found: list[Use], columns: list[Column]) -> list[Row]:
    """Group the uses by name, the most used first. Ends of names that are attributes of functions are dropped."""
    grouped: dict[str, list[Use]] = {}
    for use in found:
        rests = [c.answers[use.name].rest for c in columns if c.answers[use.name].answer == "yes"]
        name = use.name.removesuffix(f".{min(rests, key=len)}") if rests and all(rests) else use.name
        grouped.setdefault(name, []).append(use)
    rows = []
    for name, of_name in grouped.items():
        rows.append(Row(name, of_name, [column.answers[of_name[0].name] for column in columns]))
    return sorted(rows, key=lambda row: (-len(row.uses), row.name))


def _differences(row: Row, from_first: bool) -> Iterator[Difference]:
    """Compare each torch with the one before it, or all with the first one."""
    for after in range(1, len(row.answers)):
        before = 0 if from_first else after - 1
        old, new = row.answers[before], row.answers[after]
        if old.answer == "yes" and new.answer in ("no", "moved"):
            needed = any(not f"{use.guard}.".startswith(f"{_first_missing(row, new)}.") for use in row.uses)
            words = f"moved to {new.found}" if new.answer == "moved" else "gone"
            yield Difference(before, after, words if needed else f"{words} (guarded)", needed)
        elif old.answer == "yes" and new.answer == UNDECIDED:
            yield Difference(before, after, UNDECIDED, False)
        elif old.answer in ("no", "moved") and new.answer == "yes":
            yield Difference(before, after, "new", False)
        elif old.parameters and new.parameters:
            words, breaks = changes(old.parameters, new.parameters)
            if words:
                yield Difference(before, after, f"parameters {words}", breaks)


def _first_missing(row: Row, answer: Answer) -> str:
    return row.uses[0].name.removesuffix(answer.rest) + answer.rest.partition(".")[0]


def _text(
    counted: str,
    rows: list[Row],
    columns: list[Column],
    differences: dict[str, list[Difference]],
    given: list[str | None],
) -> str:
    labels = label(columns)
    heads = [labels[column.path] for column in columns]
    shown = [row for row in rows if not row.own]
    lines: list[tuple[str, ...]] = [("uses", "name", *heads)]
    for row in shown:
        cells = [answer.answer for answer in row.answers]
        for one in differences[row.name]:
            cells[one.after] = "changed" if one.words.startswith("parameters") else cells[one.after]
        lines.append((str(len(row.uses)), row.name, *cells))
    parts = [counted, table(lines) if shown else f"nothing differs: {', '.join(heads)}"]
    parts += legend(columns, given)
    for row in shown:
        if differences[row.name]:
            told = [f"    {heads[d.before]} -> {heads[d.after]}: {d.words}" for d in differences[row.name]]
            parts.append("\n".join([row.name, *told, f"    used in {_sites(row.uses)}"]))
    missing = [row for row in shown if all(answer.answer == "no" for answer in row.answers)]
    parts += _section("In none of these torches:", (f"{row.name}: used in {_sites(row.uses)}" for row in missing))
    parts += _section("Undecided:", (line for row in shown for line in _undecided(row, heads)))
    own = [row for row in rows if row.own]
    parts += _section("Set by the engine itself:", (f"{row.name}: used in {_sites(row.uses)}" for row in own))
    return "\n\n".join(parts)


def _section(head: str, lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    return ["\n".join([head, *(f"    {line}" for line in listed)])] if listed else []


def _undecided(row: Row, heads: Sequence[str]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for head, answer in zip(heads, row.answers):
        if answer.answer == UNDECIDED:
            reasons.setdefault(answer.found, []).append(head)
    yield from (f"{row.name}, {', '.join(torches)}: {reason}" for reason, torches in reasons.items())


def _sites(found: list[Use]) -> str:
    sites = list(dict.fromkeys(f"{use.path}:{use.line}{' (guarded)' if use.guard else ''}" for use in found))
    more = f" and {len(sites) - SITES} more" if len(sites) > SITES else ""
    return f"{', '.join(sites[:SITES])}{more}"


def _json(
    folder: str,
    rows: list[Row],
    columns: list[Column],
    differences: dict[str, list[Difference]],
    unreadable: list[str],
) -> str:
    names = [
        {
            "name": row.name,
            "uses": len(row.uses),
            "forms": dict(Counter(use.form for use in row.uses)),
            "set_by_engine": row.own,
            "sites": [
                {"path": use.path, "line": use.line, "form": use.form, "guarded": bool(use.guard)} for use in row.uses
            ],
            "torches": [
                {"path": c.path, "torch": c.torch, "answer": a.answer, "found": a.found, "parameters": a.parameters}
                for c, a in zip(columns, row.answers)
            ],
            "differences": [
                {
                    "from": {"path": columns[one.before].path, "torch": columns[one.before].torch},
                    "to": {"path": columns[one.after].path, "torch": columns[one.after].torch},
                    "what": one.words,
                    "breaks": one.breaks,
                }
                for one in differences[row.name]
            ],
        }
        for row in rows
    ]
    torches = [{"path": column.path, "torch": column.torch} for column in columns]
    return json.dumps({"engine": folder, "torches": torches, "names": names, "unreadable": unreadable}, indent=2)
