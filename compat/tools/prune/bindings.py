"""Names that statements and expressions bind and change, and which of these run before a place in the code."""

from __future__ import annotations

import ast
from functools import lru_cache

from .scopes import CHANGES, KEEPS_CONTENT, Scope, last_name
from .tree import COMPREHENSIONS, FUNCTIONS, children, walk


@lru_cache(maxsize=20_000)
def bound_in(node: ast.AST) -> set[str]:
    """The names that a statement binds, in its own scope."""
    names: set[str] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            names.add(each.id)
        elif isinstance(each, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in each.names}
        elif not isinstance(each, ast.alias) and isinstance(name := getattr(each, "name", None), str):
            names.add(name)
        elif isinstance(each, ast.Subscript) and not isinstance(each.ctx, ast.Load):
            names.add(_holder(each.value))
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in CHANGES:
            names.add(_holder(each.func.value))
        elif isinstance(each, ast.MatchMapping):
            names.add(each.rest or "")
        if isinstance(each, COMPREHENSIONS):
            names |= {inner.target.id for inner in walk(each) if isinstance(inner, ast.NamedExpr)}
        elif not isinstance(each, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            todo += children(each)
    return names


def _holder(node: ast.expr) -> str:
    """`a` of `a["b"]["c"]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return getattr(node, "id", "")


def changed_by_target(target: ast.AST) -> set[str]:
    """The names whose content an assignment to a target changes; `*` if it changes what is in that content."""
    stored = [each for each in walk(target) if isinstance(each, ast.Subscript) and not isinstance(each.ctx, ast.Load)]
    return {each.value.id if isinstance(each.value, ast.Name) else "*" for each in stored}


@lru_cache(maxsize=20_000)
def changed_by_expression(node: ast.AST) -> tuple[frozenset[str], frozenset[str]]:
    """The names whose content an expression may change: before the rest of it is evaluated, and after that."""
    before: set[str] = set()
    after: set[str] = set()
    inside = walk(node)
    for call in inside:
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Attribute) and call.func.attr in CHANGES:
            before.add(call.func.value.id if isinstance(call.func.value, ast.Name) else "*")
        if last_name(call) not in KEEPS_CONTENT:
            after |= {each.id for each in call.args if isinstance(each, ast.Name)}
    read = [each.id for each in inside if isinstance(each, ast.Name)]
    before |= {name for name in after if read.count(name) > 1}
    return frozenset(before), frozenset(after)


def needed_for(name: str, statements: list[ast.stmt]) -> frozenset[str]:
    """The names that decide what `name` holds after these statements."""
    needed = {name}.union(*(_tested(statement) for statement in statements))
    assigned = [each for statement in statements for each in _assigned(statement)]
    grown = True
    while grown:
        grown = False
        for bound, read in assigned:
            if bound & needed and not read <= needed:
                needed |= read
                grown = True
    return frozenset(needed)


@lru_cache(maxsize=20_000)
def _tested(statement: ast.stmt) -> frozenset[str]:
    """The names that conditions in a statement read."""
    tests = [node.test for node in walk(statement) if isinstance(node, (ast.If, ast.While))]
    return frozenset(n.id for test in tests for n in walk(test) if isinstance(n, ast.Name))


@lru_cache(maxsize=20_000)
def _assigned(statement: ast.stmt) -> list[tuple[set[str], set[str]]]:
    """List the names that each assignment in a statement binds and reads."""
    kinds = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For)
    return [
        (bound_in(node), {n.id for n in walk(node) if isinstance(n, ast.Name)})
        for node in walk(statement)
        if isinstance(node, kinds)
    ]


def binders_before(scope: Scope, name: str, site: ast.AST | None) -> list[tuple[ast.stmt, str]]:
    """The statements before a place that bind a name, and whether each is "sure" or "maybe" run, or is a "loop"."""
    steps = scope.module.path_to(scope.module.statement(site), scope) if site is not None else []
    if not steps:
        return [(s, "sure") for s in scope.body if name in bound_in(s)]
    found: list[tuple[ast.stmt, str]] = []
    for parent, child in steps:
        for block in _blocks_before(parent, child):
            found += [(s, block[1]) for s in block[0] if name in bound_in(s)]
        inside = child is not steps[-1][1]
        is_loop = isinstance(child, ast.While) or (inside and isinstance(child, (ast.For, ast.AsyncFor)))
        if (
            (is_loop and name in bound_in(child))
            or (inside and name in _bound_by_header(child))
            or name in _bound_on_the_way(child)
        ):
            found.append((child, "loop"))  # type: ignore[arg-type]
    return found


@lru_cache(maxsize=20_000)
def _bound_on_the_way(node: ast.AST) -> frozenset[str]:
    """The names that the expressions of a statement bind, not those of the blocks in it."""
    found: set[str] = set()
    todo = [child for child in children(node) if isinstance(child, (ast.expr, ast.withitem, ast.keyword))]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.NamedExpr):
            found.add(each.target.id)
        if not isinstance(each, ast.Lambda):
            todo += children(each)  # type: ignore[arg-type]
    return frozenset(found)


def _bound_by_header(node: ast.AST) -> set[str]:
    """The names that `with ... as`, `except ... as` or `case` bind for the block below."""
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return {name for item in node.items for name in bound_in(item)}
    if isinstance(node, ast.match_case):
        return bound_in(node.pattern)
    return {node.name or ""} if isinstance(node, ast.ExceptHandler) else set()


def _blocks_before(parent: ast.AST, child: ast.AST) -> list[tuple[list[ast.stmt], str]]:
    """The statements that are run in a node before its child, and how sure that is."""
    before: list[tuple[list[ast.stmt], str]] = []
    if isinstance(parent, ast.Try):
        in_handler = child in parent.handlers
        if in_handler or child in parent.finalbody:
            before.append((parent.body, "maybe"))
        elif child in parent.orelse:
            before.append((parent.body, "sure"))
        if child in parent.finalbody:
            before += [(parent.orelse, "maybe"), *((h.body, "maybe") for h in parent.handlers)]
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and child in block:
            before.append((block[: block.index(child)], "sure"))
    return before
