"""Find the local variables that only removed code used: their assignments can go, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .dead import has_effect
from .known_functions import FUNCTIONS as KNOWN
from .scopes import last_name
from .tree import FUNCTIONS, children, walk

_READS_ALL = frozenset({"locals", "vars", "exec", "eval", "dir"})
_PURE = frozenset(
    {*KNOWN, "split", "strip", "lower", "startswith", "join", "group"}
)  # calls whose loss changes nothing
_Assignment = (ast.Assign, ast.AnnAssign)


def unused_locals(old: ast.AST, new: ast.AST) -> Iterator[ast.stmt]:
    """Yield the assignments in the new tree to variables that the old tree reads and the new one does not."""
    before = {name: _read(function) for name, function in _functions(old)}
    for name, function in _functions(new):
        read = _read(function)
        if any(last_name(node) in _READS_ALL for node in walk(function) if isinstance(node, ast.Call)):
            continue
        for statement in _own_statements(function):
            target = _target(statement)
            if target in before.get(name, ()) and target not in read and _is_pure(statement.value):  # type: ignore[attr-defined]
                yield statement


def _functions(tree: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions of a tree with their dotted names."""
    for child in children(tree):
        name = f"{outer}.{getattr(child, 'name', '')}" if isinstance(child, (*FUNCTIONS, ast.ClassDef)) else outer
        if isinstance(child, FUNCTIONS):
            yield name, child
        yield from _functions(child, name)


def _read(function: ast.AST) -> set[str]:
    """The names that a function reads, or that are not its own."""
    found: set[str] = set()
    for node in walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def _own_statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the assignments of a function, without those of functions and classes in it."""
    for child in children(node):
        if isinstance(child, _Assignment) and child.value is not None:
            yield child
        elif not isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            yield from _own_statements(child)


def _target(statement: ast.stmt) -> str:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]  # type: ignore[attr-defined]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _is_pure(value: ast.AST) -> bool:
    calls = [node for node in walk(value) if isinstance(node, ast.Call)]
    return not has_effect(value) and all(last_name(call) in _PURE for call in calls)
