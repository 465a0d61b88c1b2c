"""Ranges of torch versions: from a specifier, or from the file of an engine that pins its torch."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ...errors import UNPARSABLE
from .specifiers import regions_of
from .tree import walk
from .versions import Region, Unclear

_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"|\'([^\'\n]*)\'')
_FORMS = "no version specifier as in '>=2.12,<2.16', and no file"


@dataclass(frozen=True)
class Range:
    """Every version that one of the specifiers accepts, pre-releases included where it has room for them."""

    specifiers: tuple[SpecifierSet, ...]
    regions: tuple[Region, ...]

    @property
    def texts(self) -> list[str]:
        return [str(specifier) or "any" for specifier in self.specifiers]

    @property
    def text(self) -> str:
        return " or ".join(self.texts)

    def __contains__(self, torch: object) -> bool:
        return any(one.contains(str(torch), prereleases=True) for one in self.specifiers)


def torch_range(*specs: str) -> Range:
    """The range of all specs together.

    Args:
        specs: Each a specifier (`>=2.12,<2.16`), a version (`2.10`), a requirement (`torch>=2.10`), or the path of a
            pyproject.toml, setup.py, METADATA or requirements file.

    Raises:
        ValueError: A spec cannot be read, or no torch version is in the range. One sentence.
    """
    found = tuple(dict.fromkeys(one for spec in specs for one in _specifiers(spec)))
    regions: dict[Region, None] = {}
    for specifier in found:
        try:
            inside = regions_of(specifier)
        except Unclear as error:
            if "+" not in str(specifier):
                raise ValueError(f"--torch is {str(specifier)!r}, which {error}") from error
            inside = regions_of(_public(specifier))  # a build of one release: all builds of it stand for it
        regions.update(dict.fromkeys(inside))
    if not regions:
        raise ValueError(f"there is no torch version in {' or '.join(map(str, found))!r}")
    return Range(found, tuple(regions))


def _public(specifier: SpecifierSet) -> SpecifierSet:
    return SpecifierSet(re.sub(r"\+[\w.]+", "", str(specifier)))


def _specifiers(spec: str) -> list[SpecifierSet]:
    path = Path(spec)
    if not os.path.isfile(path):  # which may be no name of a file at all
        return [_typed(spec)]
    try:
        found = [torch for torch in map(_torch, _lines(path)) if torch is not None]
    except (OSError, UnicodeDecodeError, *UNPARSABLE) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not found:
        raise ValueError(f"{path} has no requirement on torch")
    # A bare `torch` beside one with versions adds nothing; and it may be a keyword.
    return [torch for torch in found if str(torch)] or found


def _typed(spec: str) -> SpecifierSet:
    """A specifier as a person types it: also `2.10`, which is any 2.10, and `torch>=2.10`."""
    text = spec.strip()
    try:
        version = Version(text)
    except InvalidVersion:
        pass
    else:
        return SpecifierSet(f"=={text}.*" if len(version.release) < 3 and not version.is_prerelease else f"=={text}")
    try:
        requirement = Requirement(text) if text[:1].isalpha() else None
        if requirement is not None and requirement.name.lower() != "torch" and requirement.specifier:
            raise ValueError(f"--torch is {spec!r}: a requirement on {requirement.name}, not on torch")
        is_torch = requirement is not None and requirement.name.lower() == "torch"
        return requirement.specifier if requirement is not None and is_torch else SpecifierSet(text)
    except (InvalidSpecifier, InvalidRequirement) as error:
        raise ValueError(f"--torch is {spec!r}: {_FORMS}") from error


def _torch(line: str) -> SpecifierSet | None:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    return requirement.specifier if requirement.name.lower() == "torch" else None


def _lines(path: Path) -> Iterable[str]:
    """Texts of which some are requirements."""
    if path.suffix == ".toml":
        return _toml(path)
    if path.suffix == ".py":
        nodes = walk(ast.parse(path.read_bytes()))
        return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if path.name in ("METADATA", "PKG-INFO"):
        return re.findall(r"^Requires-Dist: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return _requirements(path)


def _toml(path: Path) -> Iterable[str]:
    """The requirements in a pyproject.toml; the build's own count if no other table names torch.

    By line, for Python 3.10 has no TOML parser: a requirement is a quoted string in one of these tables.
    """
    tables: dict[str, list[str]] = {"project": [], "project.optional-dependencies": [], "dependency-groups": []}
    build = tables["build-system"] = []
    poetry: list[str] = []
    table, inside = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if head := re.match(r"\s*\[([\w.-]+)\]", line):
            table = head.group(1)
            inside = tables.get(table, [])
        elif line.lstrip().startswith("#"):
            continue
        elif re.fullmatch(r"tool\.poetry\.(group\.[\w-]+\.)?(dev-)?dependencies", table):
            poetry += _poetry(line.split(" #")[0])
        else:
            inside += [a.replace('\\"', '"') or b for a, b in _QUOTED.findall(line.split(" #")[0])]
    others = [line for name in tables.values() if name is not build for line in name] + poetry
    return others if any(_torch(line) is not None for line in others) else build


def _poetry(line: str) -> Iterator[str]:
    """The requirements of a line such as `torch = "^2.4"` or `torch = {version = "~2.4"}`."""
    given = re.match(r"\s*torch\s*=\s*(.+)", line)
    if not given:
        return
    strings = re.findall(r'version\s*=\s*["\']([^"\']+)', line) or re.findall(r'^["\']([^"\']+)', given.group(1))
    for text in strings:
        for either in text.split("||"):
            yield "torch" + ",".join(_pep440(part.strip()) for part in either.split(",") if part.strip() != "*")


def _pep440(part: str) -> str:
    """A Poetry constraint in the words of PEP 440: `^2.4` is `>=2.4,<3`, `~2.4` is `>=2.4,<2.5`."""
    sign, version = part[:1], part[1:].strip()
    if sign not in "^~" or part.startswith("~="):
        return part if sign in "<>=!~" else f"=={part}"
    numbers = [int(number) for number in version.split(".")]
    kept = next((at for at, number in enumerate(numbers) if number), 0) if sign == "^" else min(1, len(numbers) - 1)
    above = [*numbers[:kept], numbers[kept] + 1]
    return f">={version},<{'.'.join(map(str, above))}"


def _requirements(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[str]:
    """The requirements in a requirements file and in those that it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = re.sub(r"(^|\s)#.*|\s--hash=\S+|\\$", "", line).strip()
        include = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]*(.+)", text)
        if include and path not in seen:
            yield from _requirements(path.parent / include.group(1), (*seen, path))
        elif text:
            yield text
