"""Definitions that nothing uses any more once certain lines are gone."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .gates import Lines


class Definition(NamedTuple):
    path: Path
    first: int
    last: int
    name: str


def unused(trees: dict[Path, ast.Module], gone: dict[Path, Lines]) -> list[Definition]:
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


def count(lines: Iterable[tuple[Path, int, int]]) -> int:
    """How many lines these are, each counted once."""
    return len({(path, n) for path, first, last in lines for n in range(first, last + 1)})


def _definitions(path: Path, tree: ast.Module) -> Iterator[Definition]:
    for node in tree.body:
        # A decorator may pass the definition on.
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list:
            yield Definition(path, node.lineno, node.end_lineno or node.lineno, node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield Definition(path, node.lineno, node.end_lineno or node.lineno, node.targets[0].id)


def _names(tree: ast.Module, offers: bool) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.asname or offers)
