"""Choose the shims and adapters that a vendored copy needs for a range of torches, and leave the others out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from .. import shims
from ..adapters import NAMES, NEWEST_FIRST, minor_of
from ..selfcheck import available
from ..shims.base import Shim, all_shims, named
from .scan.support import Modes, known

Minor = tuple[int, ...]


class Subset(NamedTuple):
    """The parts that a copy leaves out, and the request that decides it."""

    torch: str | None  # a specifier, as in ">=2.14"; None: every torch
    shims: tuple[str, ...] | None  # the names that were asked for; None: all
    left_out: dict[str, str]  # shims, each with the reason
    helpers: tuple[str, ...]  # left out, as in "_copies": modules that only left-out shims import
    adapters: tuple[str, ...]  # left out, as in "torch_2_9"
    api: bool = True  # whether it has a function of `compat.api`
    selfcheck: bool = True  # whether it has reproducers, and the command `check`

    def covers(self, torch: str) -> bool:
        """Return whether the copy is for this version of torch."""
        return self.torch is None or _specifier(self.torch).contains(torch, prereleases=True)

    def removes(self, path: str) -> bool:
        """Return whether a file of the runtime is left out."""
        folder, _, name = path.removesuffix(".py").rpartition("/")
        if path == "api.py":
            return not self.api
        if folder.startswith("selfcheck") and not self.selfcheck:
            return True
        if folder == "adapters":
            return name in self.adapters
        return folder in ("shims", "selfcheck/reproducers") and name in (*self.left_out, *self.helpers)

    def trim(self, path: str, source: bytes) -> bytes:
        """Remove the imports of modules that are left out, and the lines that list their names.

        An adapter loses the lines of left-out shims. `shims/__init__.py` gets these shims with their reasons, and
        `adapters/__init__.py` the range if adapters are left out, both for `status`.
        """
        if path in ("__init__.py", "api.py"):
            return _without(source, {f"shims.{name}" for name in self.left_out} | ({"api"} if not self.api else set()))
        if path.startswith("adapters/torch_"):
            return _without_settings(source, self.left_out)
        if path == "adapters/__init__.py":
            made_for = json.dumps(self.torch if self.adapters else "").encode()
            kept = _on_one_line(_without(source, set(self.adapters)))
            return kept.replace(b'VENDORED_FOR = ""', b"VENDORED_FOR = " + made_for, 1)
        if path == "shims/__init__.py":
            return _without(source, self.left_out).replace(b"] = {}\n", f"] = {_listed(self.left_out)}\n".encode(), 1)
        return source


def subset(torch: str | None, shims: Collection[str] | None, reproducers: bool = True) -> Subset:
    """Decide what a copy for these torches and shims leaves out.

    Args:
        torch: a version specifier.
        shims: the names of the shims that the engine uses. None: all that a torch in the range can use.
        reproducers: whether the copy keeps them, and the command `check`.

    Raises:
        ValueError: there is no such shim, `torch` is no specifier, no torch is in it, or no shim remains.
    """
    asked = None if shims is None else tuple(dict.fromkeys(shims))
    named(asked or ())
    unused: dict[str, str] = {}
    adapters: list[str] = []
    if torch is not None:
        minors = list(_minors(_specifier(torch)))
        torches = _recorded(_specifier(torch), sorted({*minors, *_before_prereleases(_specifier(torch))}))
        unused = {shim.name: reason for shim in all_shims() if (reason := _unused(shim, torches, torch))}
        adapters = _adapters_before(min(minors))
    needed = _needed({name for name in (NAMES if asked is None else asked) if name not in unused})
    if not needed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unused.items() if name in (asked or NAMES))
        raise ValueError(f"a copy with these --shims for torch {torch} would be empty; {reasons}")
    left_out = {name: unused.get(name, "not among --shims") for name in NAMES if name not in needed}
    helpers = tuple(sorted(name for name in _modules() if re.match("_[^_]", name) and name not in needed))
    api = any(shim.kind == "api" for shim in all_shims() if shim.name in needed)
    selfcheck = reproducers and not needed.isdisjoint(available())
    return Subset(torch, asked, left_out, helpers, tuple(adapters), api, selfcheck)


def _modules() -> dict[str, Path]:
    return {path.stem: path for path in Path(next(iter(shims.__path__))).glob("*.py")}


def _needed(names: set[str]) -> set[str]:
    """Return the modules of these shims, and the modules beside them that theirs import."""
    modules = _modules()
    todo, needed = list(names), set(names)
    while todo:
        imported = set(_imports(modules[todo.pop()])) & modules.keys()
        todo += imported - needed
        needed |= imported
    return needed


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else (alias.name for alias in node.names)


# --- torches -------------------------------------------------------------------------------------------------------


def _specifier(text: str) -> SpecifierSet:
    """Return the range that a text names: `>=2.14`, `torch>=2.14`, `2`, `2.14`, `2.14.*` or `2.14.1`."""
    plain = re.sub(r"^torch\b\s*", "", text.strip())
    if re.fullmatch(r"v?\d+(\.\d+)?", plain):
        plain += ".*"
    bare = re.match(r"v?\d", plain)
    try:
        if not plain:
            raise InvalidSpecifier  # to packaging it is every version
        return SpecifierSet(f"=={plain}" if bare else plain)
    except InvalidSpecifier:
        raise ValueError(f"--torch is {text!r}; it can be a version specifier such as '>=2.14'") from None


def _minors(torches: SpecifierSet) -> Iterator[Minor]:
    """Yield the minors of all releases in the range, up to some that do not exist yet.

    Raises:
        ValueError: no torch is in the range.
    """
    newest = minor_of(NEWEST_FIRST[0])
    grid = [f"2.{minor}.{micro}" for minor in range(newest[1] + 5) for micro in range(10)]
    grid += [f"{newest[0] + 1}.0.0"]
    grid += [edge.version for edge in torches if not edge.version.endswith("*")]  # as in ==2.14.0a0+git12
    inside = {Version(text).release[:2] for text in grid if torches.contains(text, prereleases=True)}
    if not inside:
        raise ValueError(f"--torch is {str(torches)!r}; there is no torch version in it")
    yield from sorted(inside)


def _before_prereleases(torches: SpecifierSet) -> Iterator[Minor]:
    """Yield the minor before each pre-release that the range starts with, such as 2.14 for `>=2.15.0.dev20260901`.

    Such a build may be older than a fix that came in its minor, so the release does not stand for it.
    """
    for edge in torches:
        if edge.operator not in ("<", "<=", "!=") and not edge.version.endswith("*"):
            version = Version(edge.version)
            if version.is_prerelease:
                yield version.major, version.minor - 1


def _recorded(torches: SpecifierSet, minors: Iterable[Minor]) -> list[str]:
    """Return the torches in `support.json` that stand for the range.

    They stand for their minor. A minor that has not been recorded is represented by its neighbours on both sides.
    """
    by_minor: dict[Minor, list[str]] = {}
    for torch in known():
        by_minor.setdefault(Version(torch).release[:2], []).append(torch)
    found: list[str] = []
    for minor in minors:
        if minor in by_minor:
            here = by_minor[minor]
            found += [torch for torch in here if torches.contains(torch, prereleases=True)] or here
        else:
            older, newer = [m for m in by_minor if m < minor], [m for m in by_minor if m > minor]
            found += [torch for m in (older[-1:] + newer[:1]) for torch in by_minor[m]]
    return list(dict.fromkeys(found))


def _unused(shim: Shim, torches: list[str], text: str) -> str:
    """Return why none of these torches can use the shim. "": at least one can, or it is not known."""
    modes: list[Modes | None] = [known()[torch]["live"].get(shim.name) for torch in torches]
    got = [(mode["auto"], mode["backport"]) if mode else ("undecided", "undecided") for mode in modes]
    if shim.kind == "fix" and all(auto == "native" for auto, _ in got):
        return f"vendored for torch {text}, which has it"  # a fix that is native does nothing
    if all((auto, backport) == ("noop", "no") for auto, backport in got):
        return f"vendored for torch {text}, where it cannot work"
    return ""


def _adapters_before(oldest: Minor) -> list[str]:
    """Return the adapters of minors that are older than all torches in the range.

    Newer ones stay: each adapter is a list of differences from the next newer one.
    """
    speaking = next((minor_of(a) for a in NEWEST_FIRST if minor_of(a) <= oldest), (0, 0))
    return [a.__name__.rpartition(".")[2] for a in NEWEST_FIRST if minor_of(a) < speaking]


# --- source text ---------------------------------------------------------------------------------------------------


def _listed(left_out: dict[str, str]) -> str:
    """Format the shims that are left out as a dict, as ruff formats it: name -> (kind, reason)."""
    lines = []
    for shim in all_shims():
        if shim.name in left_out:
            kind, reason = json.dumps(shim.kind), json.dumps(left_out[shim.name])
            line = f'    "{shim.name}": ({kind}, {reason}),'
            noqa = "" if len(reason) <= 79 else "  # noqa: E501"
            split = f'    "{shim.name}": (\n        {kind},\n        {reason},{noqa}\n    ),'
            lines.append(line if len(line) <= 88 else split)
    return "\n".join(["{", *lines, "}"]) if lines else "{}"


def _without(source: bytes, modules: Collection[str]) -> bytes:
    """Remove the relative imports of these modules, and the items of lists that name what the imports bound."""
    tree = ast.parse(source)
    lines = source.decode().splitlines(keepends=True)
    gone: set[str] = set()
    drop: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            whole = node.module in modules
            items = [alias for alias in node.names if whole or (node.module is None and alias.name in modules)]
            gone |= {alias.asname or alias.name for alias in items}
            drop |= (
                set(range(node.lineno, (node.end_lineno or node.lineno) + 1)) if whole else {a.lineno for a in items}
            )
    for listed in ast.walk(tree):
        for item in listed.elts if isinstance(listed, (ast.List, ast.Tuple)) else ():
            if (getattr(item, "id", None) or getattr(item, "value", None)) in gone:
                drop.add(item.lineno)
    return "".join(line for number, line in enumerate(lines, 1) if number not in drop).encode()


def _on_one_line(source: bytes) -> bytes:
    """Write imports and tuples of one item as ruff formats them."""
    source = re.sub(rb"import \(\n    (\w+),\n\)", rb"import \1", source)
    return re.sub(rb"\(\n    (\w+),\n\)", rb"(\1,)", source)


def _without_settings(source: bytes, names: Collection[str]) -> bytes:
    """Remove the assignments to these names, which stand on one line each."""
    drop = {
        node.lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in names
    }
    lines = source.decode().splitlines(keepends=True)
    kept = "".join(line for number, line in enumerate(lines, 1) if number not in drop)
    return f"{kept.rstrip()}\n".encode()
