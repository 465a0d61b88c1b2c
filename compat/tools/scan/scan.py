"""Decide the mode of each shim for a torch that is read, not imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from packaging.version import InvalidVersion, Version

from ... import version
from ...adapters import modes_for
from ...probe.definition import Reader
from ...probe.requirements import Answer, answer
from ...selection import decide
from ...shims.base import Shim, all_shims
from .progress import progress
from .torches import Unreadable, opened, places

UNDECIDED = "undecided"


class Cell(NamedTuple):
    """The modes of one shim on one torch."""

    auto: str  # the mode under `auto`: "native", "backport", "noop" or "undecided"
    native: str  # whether mode="native" works: "yes", "no" or "undecided"
    backport: str  # the same for mode="backport"
    expected: str  # the mode that the adapter for this version proposes
    reason: str
    answers: tuple[Answer, ...]


class Column(NamedTuple):
    """The modes of all shims on one torch."""

    path: str
    torch: str
    cells: dict[str, Cell]


def judge(torch: str | None, reader: Reader) -> dict[str, Cell]:
    """Decide the mode of every shim.

    Args:
        torch: the version that this torch states.
        reader: reads this torch, from source or live.
    """
    return {shim.name: _cell(shim, torch, reader) for shim in all_shims()}


def _cell(shim: Shim, torch: str | None, reader: Reader) -> Cell:
    answers = {mode: tuple(answer(r, reader) for r in getattr(shim, mode)) for mode in ("native", "backport")}
    can = {mode: _all_hold(given) for mode, given in answers.items()}
    expected: str = modes_for(version.parse(torch))[shim.name]
    got = decide(shim, "auto", "", torch, reader)
    auto, reason = got.mode, got.reason
    # `decide` treats an undecided requirement as failed, because a process must choose. A scan must not guess.
    unsure = next((m for m in ("native", "backport") if can[m] == UNDECIDED and m in _weighed(auto, expected)), None)
    if unsure:
        undecided = next(a for a in answers[unsure] if a.holds is None)
        auto, reason = UNDECIDED, f"source does not tell whether {undecided.requirement}: {undecided.found}"
    every = tuple(dict.fromkeys((*answers["native"], *answers["backport"])))
    return Cell(auto, can["native"], can["backport"], expected, reason, every)


def _weighed(auto: str, expected: str) -> tuple[str, ...]:
    """Return the modes whose requirements were checked, and failed, before `auto` was chosen."""
    return {"native": (), "backport": ("native",)}.get(
        auto, ("native",) if expected == "noop" else ("native", "backport")
    )


def _all_hold(answers: Iterable[Answer]) -> str:
    given = {a.holds for a in answers}
    return "no" if False in given else UNDECIDED if None in given else "yes"


def read(paths: Iterable[str]) -> tuple[list[Column], list[str]]:
    """Read the torches at these paths, older ones first.

    An environment with several torches gives a column for each. The second result has a sentence for each path that
    cannot be read.
    """
    columns, sentences = [], []
    with progress() as show:
        for path in (place for given in paths for place in places(given)):
            show(f"reading {path}")
            try:
                with opened(path) as torch:
                    columns.append(Column(path, torch.version, judge(torch.version, torch.source)))
            except Unreadable as error:
                sentences.append(str(error))
    columns.sort(key=lambda column: rank(column.torch))
    return columns, sentences


def rank(torch: str) -> tuple[bool, Any]:
    """Return a sort key for versions. Texts that are no version come first."""
    try:
        return True, Version(torch)
    except InvalidVersion:
        return False, torch
