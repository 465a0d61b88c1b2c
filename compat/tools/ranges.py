"""Ranges of torch versions: from a specifier, or from the file of an engine that pins its torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

# Every form in which torch versions occur: development and nightly builds, vendor containers, candidates, releases,
# and releases with a local part, which equal no plain version.
_FORMS = (".dev0", ".dev99999999", "a0+x", "rc1", "", "+cu130")
_MINORS = [f"1.{n}" for n in range(14)] + [f"2.{n}" for n in range(60)] + ["3.0", "3.1"]
_GRID = [f"{minor}.{micro}{form}" for minor in _MINORS for micro in range(4) for form in _FORMS]

_VERSION = re.compile(r"\d+(?:\.\d+)+(?:\.?(?:dev|a|b|rc|post)\d*)*(?:\+[\w.]+)?")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"|\'([^\'\n]*)\'')


class Range(NamedTuple):
    """Any version that one of the specifiers accepts. Pre-releases are in it where the specifier has room for them."""

    text: str
    specifiers: tuple[SpecifierSet, ...]

    def __contains__(self, torch: object) -> bool:
        return any(specifier.contains(str(torch), prereleases=True) for specifier in self.specifiers)

    def samples(self, named: Iterable[str] = ()) -> tuple[str, ...]:
        """Versions in the range, so many that a comparison with one of the versions `named` which has one outcome for
        all of them has it on the whole range."""
        extra = {f"{_three(name)}{form}" for name in named for form in ("", "+cu130")}
        return (*_on_grid(self), *(text for text in sorted(extra) if _is_torch(text) and text in self))


@lru_cache(maxsize=None)
def _on_grid(torches: Range) -> tuple[str, ...]:
    """Raises ValueError for a range that no version is in."""
    edges = map(_three, _VERSION.findall(torches.text))
    found = tuple(text for text in (*_GRID, *edges) if _is_torch(text) and text in torches)
    if not found:
        raise ValueError(f"there is no torch version in {torches.text!r}")
    return found


def _three(text: str) -> str:
    """A version as torch would spell it: `2.9.0` for `2.9`, which compares alike, and is not the same release tuple."""
    return re.sub(r"^(\d+\.\d+)(?!\.?\d)", r"\1.0", text)


def _is_torch(text: str) -> bool:
    try:
        return len(Version(text).release) == 3
    except InvalidVersion:
        return False


def torch_range(spec: str) -> Range:
    """spec: `>=2.12,<2.16`, or the path of a pyproject.toml or requirements file. Raises ValueError in one sentence."""
    path = Path(spec)
    if not os.path.isfile(path):  # which may be no name of a file at all
        try:
            return Range(spec, (SpecifierSet(spec),))
        except InvalidSpecifier as error:
            raise ValueError(f"--torch is {spec!r}: no version specifier as in '>=2.12,<2.16', and no file") from error
    try:
        lines = list(_toml(path) if path.suffix == ".toml" else _requirements(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    found = [torch for torch in map(_torch, lines) if torch is not None]
    if not found:
        raise ValueError(f"{path} has no requirement on torch")
    # A bare `torch` beside one with versions adds nothing; and it may be a keyword.
    found = [torch for torch in found if str(torch)] or found
    return Range(" or ".join(dict.fromkeys(str(one) or "any" for one in found)), tuple(found))


def _torch(line: str) -> SpecifierSet | None:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    return requirement.specifier if requirement.name.lower() == "torch" else None


def _toml(path: Path) -> Iterable[str]:
    """The requirements in a pyproject.toml; what only the build needs counts where nothing else names torch.

    By line, for Python 3.10 has no TOML parser: a requirement is a quoted string in one of these tables.
    """
    tables: dict[str, list[str]] = {"project": [], "project.optional-dependencies": [], "dependency-groups": []}
    build = tables["build-system"] = []
    inside: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if head := re.match(r"\s*\[([\w.-]+)\]", line):
            inside = tables.get(head.group(1), [])
        elif not line.lstrip().startswith("#"):
            inside += [a.replace('\\"', '"') or b for a, b in _QUOTED.findall(line.split(" #")[0])]
    others = [line for table in tables.values() if table is not build for line in table]
    return others if any(_torch(line) is not None for line in others) else build


def _requirements(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[str]:
    """The requirements in a requirements file and in those that it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = re.sub(r"(^|\s)#.*|\s--hash=\S+|\\$", "", line).strip()
        include = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]*(.+)", text)
        if include and path not in seen:
            yield from _requirements(path.parent / include.group(1), (*seen, path))
        elif text:
            yield text
