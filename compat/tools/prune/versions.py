"""Regions of torch versions: boxes in the order of PEP 440 that are split where code asks for more.

A torch version has six axes: major, minor, micro, stage, serial (the number of a nightly, candidate or post-release)
and whether there is a local part (`+cu130`). A region holds an interval of each. An operation on the version is
answered for a whole region. If the answer differs within the region, the operation raises `Split` and the caller
repeats it for each part, so that an answer never rests on samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from packaging.version import Version

MAJOR, MINOR, MICRO, STAGE, SERIAL, LOCAL = range(6)
DEV, ALPHA, BETA, CANDIDATE, FINAL, POST = range(6)
STAGE_TEXTS = (".dev", "a", "b", "rc", "", ".post")

# Numbers are spelled out one by one up to here, where code reads the digits of the version as text.
_SPELLED = {MAJOR: 10, MINOR: 100, MICRO: 20}
_EXAMPLES = {DEV: 20260301, ALPHA: 0, BETA: 1, CANDIDATE: 1, POST: 1}

Interval = tuple[int, float]


class Split(Exception):
    """The answer differs within the region: cut this axis at these points."""

    def __init__(self, axis: int, *points: int) -> None:
        super().__init__(axis, points)
        self.axis, self.points = axis, points


class Unclear(Exception):
    """The answer depends on something that is not known. The message names it."""


class TooMuch(Unclear):
    """The code is too long to be followed, whether or not it is about torch's version."""


BUILD = "depends on the build (the part after '+')"


class Region(NamedTuple):
    """All torch versions whose six numbers lie in these intervals, bounds included."""

    axes: tuple[Interval, ...]

    def order(self, axis: int, number: float) -> int:
        """-1, 0 or 1 if the axis is below, at or above `number` in the whole region. Raises Split."""
        low, high = self.axes[axis]
        if high < number:
            return -1
        if low > number:
            return 1
        if low == high == number:
            return 0
        at = math.floor(number)
        raise Split(axis, at, at + 1)

    def spell(self, axis: int) -> int:
        """The one value of the axis. Raises Split, or Unclear beyond what is spelled out."""
        low, high = self.axes[axis]
        if low == high:
            return low
        limit = _SPELLED.get(axis, low + 10)
        if low >= limit or axis == SERIAL:
            raise Unclear("reads the digits of a number that has no upper bound")
        raise Split(axis, *range(low + 1, int(min(high, limit)) + 1))

    def parts(self, split: Split) -> list[Region]:
        low, high = self.axes[split.axis]
        starts = [low, *sorted({point for point in split.points if low < point <= high})]
        ends: list[float] = [*(start - 1 for start in starts[1:]), high]
        return [self._with(split.axis, interval) for interval in zip(starts, ends)]

    def _with(self, axis: int, interval: Interval) -> Region:
        axes = [*self.axes[:axis], interval, *self.axes[axis + 1 :]]
        if axes[STAGE] == (FINAL, FINAL):
            axes[SERIAL] = (0, 0)  # a release has no number of its own
        return Region(tuple(axes))

    def narrowed(self, axis: int, number: int) -> Region:
        """The region with one value on an axis, whatever it has there."""
        return self._with(axis, (number, number))

    def example(self) -> str:
        """One version of the region, a plain release if there is one."""
        low, high = self.axes[STAGE]
        stage = FINAL if low <= FINAL <= high else low
        serial = _EXAMPLES.get(stage, 0)
        first, last = self.axes[SERIAL]
        serial = int(min(max(serial, first), last))
        release = ".".join(str(interval[0]) for interval in self.axes[:STAGE])
        local = "+cu130" if self.axes[LOCAL][0] else ""
        return f"{release}{STAGE_TEXTS[stage]}{serial if stage != FINAL else ''}{local}"


EVERY = Region(((0, 9), (0, math.inf), (0, math.inf), (DEV, POST), (0, math.inf), (0, 1)))


def compare_release(region: Region, numbers: tuple[int, ...]) -> int:
    """The order of the region's three release numbers and these."""
    for axis in (MAJOR, MINOR, MICRO):
        order = region.order(axis, numbers[axis] if axis < len(numbers) else 0)
        if order:
            return order
    return -1 if any(numbers[3:]) else 0


def compare(region: Region, version: Version, local: bool = True) -> int:
    """The order of the region and a version as PEP 440 has it, with or without the region's local part."""
    order = compare_release(region, version.release)
    order = order or compare_stage(region, version)
    if order or version.epoch:
        return -1 if version.epoch else order
    if not local:
        return -1 if version.local else 0
    has_local = region.order(LOCAL, 1) == 0
    if has_local and version.local:
        raise Unclear(BUILD)
    return int(has_local) - bool(version.local)


def compare_stage(region: Region, version: Version) -> int:
    stage, serial, shift = stage_of(version)
    order = region.order(STAGE, stage)
    if order or stage == FINAL:
        return order
    return region.order(SERIAL, serial) or -shift


def stage_of(version: Version) -> tuple[int, int, int]:
    """Stage, serial and whether the version lies just before (-1) or after (1) that point, as `1.0rc1.dev2` does."""
    if version.pre is not None:
        stage = {"a": ALPHA, "b": BETA, "rc": CANDIDATE}[version.pre[0]]
        shift = 1 if version.post is not None else -1 if version.dev is not None else 0
        return stage, version.pre[1], shift
    if version.post is not None:
        return POST, version.post, -1 if version.dev is not None else 0
    if version.dev is not None:
        return DEV, version.dev, 0
    return FINAL, 0, 0


def refine(region: Region, question: object, limit: int = 4000) -> Iterator[tuple[Region, object]]:
    """The answers of `question(region)`, with the parts of the region that they hold for."""
    todo = [region]
    for _ in range(limit):
        if not todo:
            return
        part = todo.pop()
        try:
            yield part, question(part)  # type: ignore[operator]
        except Split as split:
            todo += reversed(part.parts(split))
    raise Unclear("has more cases than can be told apart")
