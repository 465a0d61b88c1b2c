"""Attributes of values that are made of torch's version."""

from __future__ import annotations

from typing import Any

from packaging.version import Version

from . import text
from .operations import World
from .regex import Found
from .specifiers import is_prerelease
from .values import (
    BUILD_HOLE,
    HOLES,
    LOCAL_HOLE,
    STAGE_HOLE,
    List,
    Method,
    Number,
    Parsed,
    Parts,
    Raised,
    Specifiers,
    Text,
    Unknown,
    unknown,
)
from .versions import ALPHA, BETA, CANDIDATE, DEV, LOCAL, POST, SERIAL, STAGE

_SERIAL = Number(((SERIAL, 1),))


def attribute(value: Any, name: str, world: World) -> Any:
    if isinstance(value, Parsed):
        return _of_parsed(value, name, world)
    if isinstance(value, Version):
        found = getattr(value, name, None) if not name.startswith("_") else None
        return found if found is not None or name in ("local", "pre", "post", "dev") else _missing(name, value)
    if isinstance(value, (Text, str, Parts, List, dict, Specifiers, Found)):
        return Method(value, name)
    if isinstance(value, Unknown):
        world.risky += 1
        return unknown(value.reason, value)
    if value is None or isinstance(value, (bool, int, float, Number, tuple)):
        raise Raised("AttributeError")
    return _missing(name, value)


def _missing(name: str, value: Any) -> Unknown:
    return unknown(f"`.{name}` is not followed", value)


def _of_parsed(value: Parsed, name: str, world: World) -> Any:
    region = world.region
    if name == "release":
        return value.release
    if name in ("major", "minor", "micro"):
        at = ("major", "minor", "micro").index(name)
        return value.release[at] if at < len(value.release) else 0
    base = ".".join(_digits(part) for part in value.release)
    stage = region.spell(STAGE) if name in ("pre", "dev", "post") and value.staged else None
    if name in ("base_version", "public", "__str__"):
        code = base + STAGE_HOLE * (value.staged and name != "base_version")
        return text.text(code + LOCAL_HOLE * (value.local and name == "__str__"))
    if name == "local":
        return Text(BUILD_HOLE) if value.local and region.spell(LOCAL) else None
    if name == "is_prerelease":
        return value.staged and is_prerelease(region)
    if name == "is_devrelease":
        return value.staged and region.order(STAGE, DEV) == 0
    if name == "is_postrelease":
        return value.staged and region.order(STAGE, POST) == 0
    if name == "pre":
        letter = {ALPHA: "a", BETA: "b", CANDIDATE: "rc"}.get(stage if stage is not None else -1)
        return (letter, _SERIAL) if letter else None
    if name in ("dev", "post"):
        return _SERIAL if stage == (DEV if name == "dev" else POST) else None
    return 0 if name == "epoch" else _missing(name, value)


def _digits(part: int | Number) -> str:
    if isinstance(part, Number):
        return HOLES[part.terms[0][0]]
    return str(part)
