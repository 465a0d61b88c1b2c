"""Operations on text that holds parts of torch's version."""

from __future__ import annotations

import re
from typing import Any

from packaging.version import InvalidVersion, Version

from .values import (
    BUILD_HOLE,
    HOLES,
    LOCAL_HOLE,
    STAGE_HOLE,
    TORCH,
    List,
    Number,
    Parsed,
    Parts,
    Raised,
    Text,
)
from .versions import BUILD, FINAL, LOCAL, SERIAL, STAGE, STAGE_TEXTS, Region, Split, Unclear

_STAGE_LETTERS = set("".join(STAGE_TEXTS))
_GLUED = re.compile(rf"[{HOLES}][{HOLES}\d]|\d[{HOLES}]")
_MARKERS = ("900001", "900002", "900003", "900004", "900005")


def plain(value: str | Text, region: Region) -> str:
    """The text with its stage and local part filled in; numbers stay holes."""
    code = value.code if isinstance(value, Text) else value
    if STAGE_HOLE in code:
        stage = region.spell(STAGE)
        number = HOLES[SERIAL - 1] if stage != FINAL else ""
        code = code.replace(STAGE_HOLE, f"{STAGE_TEXTS[stage]}{number}")
    if LOCAL_HOLE in code:
        code = code.replace(LOCAL_HOLE, f"+{BUILD_HOLE}" if region.spell(LOCAL) else "")
    return code


def axis_of(hole: str) -> int:
    """The axis whose number fills a hole."""
    at = HOLES.index(hole)
    return at if at < 3 else SERIAL


def hole_of(axis: int) -> str:
    return HOLES[min(axis, 3)]


def spelled(code: str, region: Region) -> str:
    """The text without holes. Raises Split for each number that is not one value, and Unclear for a build."""
    code = plain(code, region)
    if BUILD_HOLE in code:
        raise Unclear(BUILD)
    return "".join(str(region.spell(axis_of(c))) if c in HOLES else c for c in code)


def text(code: str) -> str | Text:
    return Text(code) if any("\ue000" <= c <= "\ue012" for c in code) else code


def starts_with(code: str, prefix: str, region: Region, whole: bool = False) -> bool:
    """Whether the text starts with `prefix`, or is it."""
    at, rest = 0, list(_unglued(code, region))
    while rest:
        c = rest.pop(0)
        if c in (STAGE_HOLE, LOCAL_HOLE):
            rest[:0] = plain(c, region)
        elif at == len(prefix):
            return not whole
        elif c == BUILD_HOLE:
            raise Unclear(BUILD)
        elif c not in HOLES:
            if prefix[at] != c:
                return False
            at += 1
        else:
            digits = re.match(r"\d*", prefix[at:]).group()  # type: ignore[union-attr]
            open_end = at + len(digits) == len(prefix) and not whole
            if not digits or not _number_is(axis_of(c), digits, open_end, region):
                return False
            at += len(digits)
    return at == len(prefix)


def _unglued(code: str, region: Region) -> str:
    """The text; without holes if a number stands right beside another digit, so that both look like one number."""
    bare = code.replace(STAGE_HOLE, "").replace(LOCAL_HOLE, "")
    return spelled(code, region) if _GLUED.search(bare) else code


def _number_is(axis: int, digits: str, open_end: bool, region: Region) -> bool:
    """Whether the number on this axis is spelled `digits`, or with an open end starts with them."""
    if digits != str(int(digits)):
        return False
    low, high = region.axes[axis]
    number = int(digits)
    for power in range(10 if open_end and number else 1):
        first, last = number * 10**power, (number + 1) * 10**power - 1
        if first <= low and high <= last:
            return True
        if low <= last and high >= first:
            raise Split(axis, first, last + 1)
    return False


def contains(code: str, part: str, region: Region) -> bool:
    code = _unglued(plain(code, region), region)
    if part[:1].isdigit() or (part and BUILD_HOLE in part):
        return part in spelled(code, region)
    unclear = BUILD_HOLE in code and "+" not in part
    for at in range(len(code)):
        try:
            if code[at] == part[:1] and starts_with(code[at:], part, region):
                return True
        except Unclear:
            unclear = True
    if unclear:
        raise Unclear(BUILD)
    return not part


def order(code: str, other: str, region: Region) -> int:
    """The order of two strings as strings."""
    built, rest = "", list(code)
    while rest:
        c = rest.pop(0)
        if c in (STAGE_HOLE, LOCAL_HOLE):
            rest[:0] = plain(c, region)
            continue
        if c == BUILD_HOLE:
            if built < other[: len(built)] or built >= other + "+":
                break
            raise Unclear(BUILD)
        built += str(region.spell(axis_of(c))) if c in HOLES else c
        if built != other[: len(built)]:
            break
    return (built > other) - (built < other)


def split(code: str, separator: str, region: Region, most: int = -1) -> list[str]:
    """As `str.split`. A separator with digits in it is looked for in the text without holes."""
    code = _ready(code, separator, region)
    if BUILD_HOLE in code and separator != "+" and most != 0:
        before, _, _ = code.partition(BUILD_HOLE)
        if most < 0 or before.count(separator) < most:
            raise Unclear(BUILD)
    return code.split(separator, most)


def head(parts: Parts, count: int) -> list[str] | None:
    """The first `count` parts, if they are known without the stage and the local part."""
    if parts.separator == "+" and count == 1 and BUILD_HOLE not in parts.code.partition("+")[0]:
        return [parts.code.partition(LOCAL_HOLE)[0].partition("+")[0]]
    known = parts.code.partition(STAGE_HOLE)[0].partition(LOCAL_HOLE)[0].partition(BUILD_HOLE)[0]
    pieces = known.split(parts.separator) if not _has_digit(parts.separator) else []
    sure = len(pieces) - (known != parts.code)
    return pieces[:count] if sure >= count else None


def _has_digit(separator: str) -> bool:
    return any(c.isdigit() for c in separator)


def _ready(code: str, separator: str, region: Region) -> str:
    """The text with every hole filled in that could hold the separator, or a part of it."""
    if _has_digit(separator):
        return spelled(code, region)
    if STAGE_HOLE in code and set(separator) & _STAGE_LETTERS:
        code = code.replace(STAGE_HOLE, plain(STAGE_HOLE, region))
    return code.replace(LOCAL_HOLE, plain(LOCAL_HOLE, region)) if LOCAL_HOLE in code else code


def method(name: str, code: str, arguments: list[Any], region: Region) -> Any:
    """The result of a method of `str`."""
    if name == "split" and not arguments:
        return List(map(text, code.split()))
    if name == "split":
        separator = arguments[0]
        if len(arguments) < 2 and isinstance(separator, str) and separator:
            return Parts(code, separator)
        return List(text(part) for part in split(code, separator, region, arguments[1]))
    if name in ("startswith", "endswith") and isinstance(arguments[0], tuple):
        return any(method(name, code, [each, *arguments[1:]], region) for each in arguments[0])
    if name == "startswith" and len(arguments) == 1:
        return starts_with(code, arguments[0], region)
    if name in ("partition", "rpartition", "rsplit") and not _has_digit(arguments[0]):
        return _pieces(name, code, arguments, region)
    if name in ("isdigit", "isnumeric", "isdecimal"):
        code = plain(code, region)
        if BUILD_HOLE in code and all(c.isdigit() or c in HOLES + BUILD_HOLE for c in code):
            raise Unclear(BUILD)
        return bool(code) and all(c.isdigit() or c in HOLES for c in code)
    if name in ("strip", "lower", "casefold") and not arguments:
        return text(getattr(code, name)())
    if name in ("strip", "rstrip", "lstrip", "removesuffix", "removeprefix", "replace", "upper"):
        code = plain(code, region)
        if BUILD_HOLE not in code and not any(map(_has_digit, arguments[:1])):
            return text(getattr(code, name)(*arguments))
    found = getattr(spelled(code, region), name)(*arguments)
    return List(found) if isinstance(found, list) else found


def _pieces(name: str, code: str, arguments: list[Any], region: Region) -> Any:
    """Partitions. The text of a build is not searched from the right."""
    if name == "partition" and arguments[0] == "+" and LOCAL_HOLE in code:
        code = code.replace(LOCAL_HOLE, plain(LOCAL_HOLE, region))
    else:
        code = _ready(code, arguments[0], region)
    before = code.partition(BUILD_HOLE)[0]
    if BUILD_HOLE in code and arguments[0] != "+" and (name != "partition" or arguments[0] not in before):
        raise Unclear(BUILD)
    found = getattr(code, name)(*arguments)
    return tuple(map(text, found)) if isinstance(found, tuple) else List(map(text, found))


def characters(code: str, region: Region) -> list[str | Text]:
    """The characters, with a number as one of them: only for loops that treat all digits alike."""
    code = plain(code, region)
    if BUILD_HOLE in code:
        raise Unclear(BUILD)
    return [text(c) for c in code]


def cut(code: str, start: int | None, stop: int | None, region: Region) -> str:
    """`text[start:stop]`: only as many numbers are spelled out as are needed."""
    if (start is not None and start < 0) or stop is None or stop < 0:
        if start is None and stop is None:
            return code
        return spelled(code, region)[start:stop]
    built, rest = "", list(code)
    while rest and len(built) < stop:
        c = rest.pop(0)
        if c in (STAGE_HOLE, LOCAL_HOLE):
            rest[:0] = plain(c, region)
        else:
            built += spelled(c, region)
    return built[start:stop]


def number(code: str, region: Region) -> int | Number:
    """`int(text)`. Raises Raised if that is a ValueError."""
    code = plain(code, region)
    if len(code) == 1 and code in HOLES:
        return Number(((axis_of(code), 1),))
    if any(not c.isdigit() and c not in HOLES and c != BUILD_HOLE for c in code) or not code:
        raise Raised("ValueError")
    return int(spelled(code, region))


def parsed(value: str | Text, region: Region) -> Version | Parsed:
    """`packaging.version.Version(text)`. Raises Raised for a text that is no version."""
    code = value.code if isinstance(value, Text) else value
    if BUILD_HOLE in code and f"+{BUILD_HOLE}" not in code:
        raise Unclear(BUILD)
    code = _unglued(code, region)
    if code == TORCH:
        return Parsed(tuple(Number(((axis, 1),)) for axis in range(3)), True, True)
    staged, local = STAGE_HOLE in code, LOCAL_HOLE in code
    bare = code.replace(STAGE_HOLE, "").replace(LOCAL_HOLE, "")
    marked = "".join(_MARKERS[HOLES.index(c)] if c in HOLES else c for c in bare)
    try:
        version = Version(marked.replace(BUILD_HOLE, "build"))
    except InvalidVersion as error:
        raise Raised("InvalidVersion") from error
    if not any("\ue000" <= c <= "\ue012" for c in code):
        return version
    release = tuple(_unmarked(number) for number in version.release)
    if (staged and marked[-6:] != _MARKERS[2]) or (local and not code.endswith(LOCAL_HOLE)):
        raise Unclear("puts the stage of the version elsewhere")
    if version.pre or version.dev is not None or version.post is not None:
        staged = True  # spelled out: the region has one stage
        if not any(marker in marked for marker in _MARKERS[3:4]):
            raise Unclear("makes a stage of its own")
    return Parsed(release, staged, local or (version.local == "build" and BUILD_HOLE in code))


def _unmarked(part: int) -> int | Number:
    marker = str(part)
    return Number(((_MARKERS.index(marker), 1),)) if marker in _MARKERS else part
