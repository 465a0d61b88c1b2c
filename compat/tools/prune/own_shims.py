"""List the parts of compat itself that no torch in a range needs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from ... import version
from ...adapters import NEWEST_FIRST, minor_of
from ...shims.base import Shim, all_shims
from ..scan.support import Modes, known, removal
from .pins import Range
from .tree import walk

_PACKAGE = Path(__file__).parents[2]
Lines = tuple[tuple[int, int], ...]


class Verdict(NamedTuple):
    what: str
    goes: bool
    torches: tuple[str, ...]  # the known versions that it is judged by
    evidence: str


class Definition(NamedTuple):
    path: Path
    first: int
    last: int
    name: str


def report(torches: Range) -> str:
    """The adapters and shims of compat, those that can go first, and the lines that go with them."""
    found = verdicts(torches)
    inside = [torch for torch in known() if torch in torches]
    parts = [f"torch {torches.text}; of the torches that have been scanned: {', '.join(inside) or 'none'}"]
    for title, goes in (("No torch in this range needs:", True), ("Still needed:", False)):
        lines = [f"  {v.what}: {v.evidence}{_for(v.torches)}" for v in found if v.goes is goes]
        if lines:
            parts.append("\n".join([title, *lines]))
    lines = [f"  {_at(d)} {d.name}".rstrip() for d in own_lines([v for v in found if v.goes])]
    if lines:
        parts.append("\n".join(["Lines that go with it, and what imports or lists their names:", *lines]))
    parts.append("\n".join(["When each shim can go:", *(f"  {s.name}: {removal(s)}" for s in all_shims())]))
    return "\n\n".join(parts)


def verdicts(torches: Range) -> list[Verdict]:
    """For every adapter and shim, whether any torch in the range needs it."""
    within = {torch: given["live"] for torch, given in known().items() if torch in torches}
    return [*_adapters(torches), *(_shim(shim, within) for shim in all_shims())]


def _adapters(torches: Range) -> Iterator[Verdict]:
    used = {adapter_for(text) for text in _examples(torches)}
    for adapter in NEWEST_FIRST:
        name = adapter.__name__.rpartition(".")[2]
        here = tuple(torch for torch in known() if torch in torches and adapter_for(torch) is adapter)
        goes = adapter not in used
        why = "no torch in this range is spoken for by it" if goes else "it speaks for torches in this range"
        yield Verdict(f"adapter {name}", goes, here, why)


def adapter_for(torch: str) -> ModuleType | None:
    """Return the newest adapter that is not newer than a version of torch, or None."""
    parsed = version.parse(torch)
    release = parsed.release if parsed else ()
    return next((adapter for adapter in NEWEST_FIRST if release >= minor_of(adapter)), None)


def _examples(torches: Range) -> Iterator[str]:
    """Versions in the range, at least one of each minor that an adapter could be for."""
    yield from (region.example() for region in torches.regions)
    numbers = [f"{major}.{minor}.{micro}" for major in (1, 2, 3) for minor in range(60) for micro in range(10)]
    yield from (text for text in numbers if text in torches)
    yield from (text for text in known() if text in torches)


def _shim(shim: Shim, within: dict[str, dict[str, Modes]]) -> Verdict:
    by_mode: dict[str, list[str]] = {}
    for torch, given in within.items():
        by_mode.setdefault(given.get(shim.name, {}).get("auto", "undecided"), []).append(torch)
    if not within:
        return Verdict(f"shim {shim.name}", False, (), "no torch in this range has been scanned yet")
    if set(by_mode) == {"native"}:
        # A fix that is native everywhere does nothing. Anything else is still what the engine calls.
        what = f"shim {shim.name}" if shim.kind == "fix" else f"backport of {shim.name}"
        return Verdict(what, True, tuple(within), within[by_mode["native"][0]][shim.name]["reason"])
    if set(by_mode) == {"noop"} and not any(given[shim.name]["backport"] == "yes" for given in within.values()):
        return Verdict(f"shim {shim.name}", True, tuple(within), within[by_mode["noop"][0]][shim.name]["reason"])
    deciding = next(mode for mode in ("backport", "undecided", "noop") if mode in by_mode)
    reason = within[by_mode[deciding][0]].get(shim.name, {}).get("reason", "not scanned")
    return Verdict(f"shim {shim.name}", False, tuple(by_mode[deciding]), reason)


def own_lines(going: list[Verdict]) -> list[Definition]:
    """The lines of compat that go with these: whole files, what only a backport runs, and what only those use."""
    names = {verdict.what for verdict in going}
    trees = {path: ast.parse(path.read_bytes()) for path in sorted(_PACKAGE.rglob("*.py")) if "tools" not in path.parts}
    whole = {_PACKAGE / "adapters" / f"{n[8:]}.py" for n in names if n.startswith("adapter ")}
    whole |= {_PACKAGE / "shims" / f"{n[5:]}.py" for n in names if n.startswith("shim ")}
    gone: dict[Path, Lines] = {path: ((1, len(path.read_text(encoding="utf-8").splitlines())),) for path in whole}
    for shim in all_shims():
        path = _PACKAGE / "shims" / f"{shim.name}.py"
        if f"backport of {shim.name}" in names:
            gone[path] = tuple(_of_backport(trees[path]))
    direct = [Definition(path, *lines, "") for path, ranges in gone.items() for lines in ranges]
    return direct + [one for one in only_used_in(trees, gone) if one.path not in whole]


def _of_backport(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield the lines that only the mode `backport` runs: its branches, and its requirements in the shim's data."""
    for node in walk(tree):
        test = node.test if isinstance(node, ast.If) else None
        if isinstance(test, ast.Compare) and ast.unparse(test) == "mode == 'backport'":
            assert isinstance(node, ast.If)
            yield (node if not node.orelse else node.body[0]).lineno, node.body[-1].end_lineno or node.lineno
        elif isinstance(node, ast.keyword) and node.arg in ("backport", "replacements"):
            yield node.value.lineno, node.value.end_lineno or node.value.lineno


def only_used_in(trees: dict[Path, ast.Module], gone: dict[Path, Lines]) -> list[Definition]:
    """The module-level definitions in `trees` that are used, but only in the lines that are gone or in one another.

    A name counts as used wherever it occurs, whatever it stands for there, and as a string: too much is kept, never too
    little. An import alone is no use, but in an `__init__.py`, where it is an offer to others.
    """
    uses: dict[str, list[tuple[Path, int]]] = {}
    for path, tree in trees.items():
        for name, line in _names(tree, offers=path.name == "__init__.py"):
            uses.setdefault(name, []).append((path, line))
    left = [one for path, tree in trees.items() for one in _definitions(path, tree)]
    gone, found = {path: gone.get(path, ()) for path in trees}, []
    changed = True
    while changed:
        changed = False
        for one in list(left):
            used_at = [(p, n) for p, n in uses.get(one.name, ()) if not (p == one.path and one.first <= n <= one.last)]
            if used_at and all(any(first <= n <= last for first, last in gone[p]) for p, n in used_at):
                left.remove(one)
                found.append(one)
                gone[one.path] += ((one.first, one.last),)
                changed = True
    return sorted(found)


def _definitions(path: Path, tree: ast.Module) -> Iterator[Definition]:
    for node in tree.body:
        # A decorator may register the definition elsewhere.
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            yield Definition(path, node.lineno, node.end_lineno or node.lineno, node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield Definition(path, node.lineno, node.end_lineno or node.lineno, node.targets[0].id)


def _names(tree: ast.Module, offers: bool) -> Iterable[tuple[str, int]]:
    for node in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.asname or offers)


def _for(torches: tuple[str, ...]) -> str:
    return f" [{', '.join(torches)}]" if torches else ""


def _at(definition: Definition) -> str:
    path = definition.path.relative_to(_PACKAGE.parent)
    return f"{path.as_posix()}:{definition.first}-{definition.last}"
