"""Walks over syntax trees, faster than those of `ast`: large packages are mostly a matter of these."""

from __future__ import annotations

import ast
from collections.abc import Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Fields that never hold a node which code here asks for: texts, numbers, and operators.
_PLAIN = frozenset(
    (
        "ctx", "op", "ops", "id", "attr", "kind", "type_comment", "asname", "module", "level", "conversion", "simple",
        "is_async", "type_ignores",
    )
)  # fmt: skip
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


# The fields that are looked into, by the kind of node.
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: ()}


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(field for field in kind._fields if field not in _PLAIN)
    return _FIELDS[kind]


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes right below a node, in the order of the source. Contexts and operators are left out."""
    found: list[ast.AST] = []
    for field in _fields(type(node)):
        value = getattr(node, field, None)
        if isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """Return the node and all nodes below it, each before those below it."""
    found = [node]
    for each in found:  # grows on the way
        found += children(each)
    return found


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements below a node, those in nested blocks and functions as well."""
    for field in _BLOCKS:
        block = getattr(node, field, None)
        for each in block if isinstance(block, list) else ():
            if isinstance(each, ast.stmt):
                yield each
            yield from statements(each)


def span(node: ast.AST) -> tuple[int, int]:
    """Return the first and the last line of a node."""
    return node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
