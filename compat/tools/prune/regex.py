"""Regular expressions on the text of torch's version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Any

from .text import axis_of, plain, spelled, text
from .values import BUILD_HOLE, HOLES, LOCAL_HOLE, STAGE_HOLE, Text
from .versions import BUILD, Region, Unclear

# The last one stands for every letter that a pattern may leave out.
_BUILDS = ("cpu", "cu130", "rocm7.2", "git1a2b3c4", "nv26.03", "xpu", "1.debian", "abcdefghijklmnopqrstuvwxyz")
_SAME_DIGITS = "(?P="  # a group that has to occur again: it matters which digits it holds
_UNLESS = re.compile(r"\(\?<?!")
# Forms in which a pattern treats all digits alike.
_ANY_DIGIT = re.compile(r"\\d|0-9|\{[\d,]*\}")


class Found:
    """A match: the text of each group, with holes."""

    def __init__(self, groups: tuple[str | Text | None, ...], names: dict[str, int]) -> None:
        self.groups, self.names = groups, names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Found) and self.groups == other.groups

    __hash__ = None  # type: ignore[assignment]

    def group(self, key: Any = 0) -> str | Text | None:
        return self.groups[self.names[key] if isinstance(key, str) else key]


def find(how: str, pattern: str, code: str, flags: int, region: Region) -> Found | None:
    """`re.match`, `re.search` or `re.fullmatch`, the same for every version of the region. Raises Unclear if not."""
    if how != "search" and _starts_otherwise(pattern, code):
        return None
    if re.search(r"\d", _ANY_DIGIT.sub("", pattern)) or _SAME_DIGITS in pattern:  # it names digits
        code = spelled(code, region)
    if _UNLESS.search(pattern) and (LOCAL_HOLE in code or BUILD_HOLE in code):
        raise Unclear(BUILD)
    results: list[Found | None] = []
    filled = code
    if code_is_open(code):
        try:
            results = _distinct(_find(how, pattern, flags, pieces) for pieces in _fillings(code, region))
        except Unclear:
            results = []
        if len(results) == 1 and results[0] is not None:
            return results[0]
        filled = plain(code, region)
    results = _distinct(_find(how, pattern, flags, pieces) for pieces in _fillings(filled, region))
    if len(results) > 1:
        raise Unclear(BUILD if BUILD_HOLE in filled else "depends on how many digits a number has")
    if results[0] is None and BUILD_HOLE in filled:
        raise Unclear(BUILD)
    return results[0]


def _starts_otherwise(pattern: str, code: str) -> bool:
    """Whether a pattern has to start with a character that is no digit, and the text starts with a number."""
    first = re.match(r"\^?(\[[^\]^\\]+\]|[A-Za-z])(?![*?{|])", pattern)
    if not first or "|" in pattern or code[:1] not in HOLES:
        return False
    return not any(re.match(first.group(1), digit) for digit in "0123456789")


def code_is_open(code: str) -> bool:
    return STAGE_HOLE in code or LOCAL_HOLE in code


def _distinct(results: Iterable[Found | None]) -> list[Found | None]:
    found: list[Found | None] = []
    for result in results:
        if result not in found:
            found.append(result)
            if len(found) > 1:
                break
    return found


def _fillings(code: str, region: Region) -> list[list[tuple[str, str]]]:
    """The text as pairs of hole and filling, for numbers of different lengths and different builds."""
    choices = []
    for c in code:
        if c in HOLES:
            low, high = region.axes[axis_of(c)]
            lengths = range(len(str(low)), min(len(str(low)) + 2, len(str(int(min(high, 10**9)))) + 1))
            numbers = [min(max(low, 10 ** (n - 1)), high) if n > 1 else low for n in lengths]
            choices.append([(c, str(int(n))) for n in dict.fromkeys(numbers)])
        elif c == STAGE_HOLE:
            choices.append([(c, stage) for stage in ("", ".dev20260301", "a0", "b1", "rc1", ".post1")])
        elif c == LOCAL_HOLE:
            choices.append([(c, local) for local in ("", *(f"+{build}" for build in _BUILDS))])
        elif c == BUILD_HOLE:
            choices.append([(c, build) for build in _BUILDS])
        else:
            choices.append([(c, c)])
    return [list(pieces) for pieces in product(*choices)]


def _find(how: str, pattern: str, flags: int, pieces: list[tuple[str, str]]) -> Found | None:
    match = getattr(re, how)(pattern, "".join(filling for _, filling in pieces), flags)
    if match is None:
        return None
    starts, ends, at = {0: 0}, {0: 0}, 0  # a hole with nothing in it belongs to no group
    for index, (_, filling) in enumerate(pieces, 1):
        at += len(filling)
        starts[at] = index
        ends.setdefault(at, index)
    code = "".join(hole for hole, _ in pieces)
    groups: list[str | Text | None] = []
    for start, end in match.regs:
        if start < 0:
            groups.append(None)
        elif start in starts and end in ends:
            groups.append(text(code[starts[start] : max(ends[end], starts[start])]))
        else:
            raise Unclear("cuts a number of the version in two")
    return Found(tuple(groups), dict(match.re.groupindex))
