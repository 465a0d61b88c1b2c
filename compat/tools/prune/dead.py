"""The lines that a gate with one outcome leaves without use."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Any

from .gates import Gate
from .scopes import last_name
from .tree import FUNCTIONS, children, span, walk

# Functions whose names say that they do something, and not only tell.
_ACTION = re.compile(
    r"(?i)_*(set|init|register|setup|run|start|load|import|patch|enable|disable|warn|log|print|configure|install)(_|$)"
)


def mark_dead(gate: Gate) -> None:
    """Set the dead lines of a gate, and tell if a generator has its only `yield` in them."""
    if gate.constant is None:
        return
    _mark_lines(gate)
    function = _function_around(gate)
    yields = [node.lineno for node in _yields(function)] if function and gate.dead and gate.whole_lines else []
    if yields and all(any(first <= line <= last for first, last in gate.dead) for line in yields):
        gate.reason += f"; `{function.name}` would lose its only `yield`"
        first, last = span(gate.module.statement(gate.node))
        gate.loses_yield = any(first <= line <= last for line in yields)


def _function_around(gate: Gate) -> Any:
    node = gate.module.parents.get(gate.node)
    while node is not None and not isinstance(node, FUNCTIONS):
        node = gate.module.parents.get(node)
    return node


def _yields(function: ast.AST) -> Iterator[ast.expr]:
    """The yields of a function, without those of functions in it."""
    for child in children(function):
        if isinstance(child, (ast.Yield, ast.YieldFrom)):
            yield child
        if not isinstance(child, (*FUNCTIONS, ast.Lambda)):
            yield from _yields(child)


def has_effect(node: ast.AST, actions: Collection[str] = ()) -> bool:
    """Whether evaluating an expression does something that would be lost: it binds, waits, or calls an action.

    Args:
        actions: names of functions that change something.
    """
    kinds = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
    inside = walk(node)
    called = [last_name(each) for each in inside if isinstance(each, ast.Call)]
    return any(isinstance(each, kinds) for each in inside) or any(n in actions or _ACTION.match(n) for n in called)


def actions_in(tree: ast.AST) -> set[str]:
    """The names of the functions in a tree that change more than their own variables."""
    return {node.name for node in walk(tree) if isinstance(node, FUNCTIONS) and any(map(_changes, walk(node)))}


def _changes(node: ast.AST) -> bool:
    if isinstance(node, (ast.Attribute, ast.Subscript)):
        return not isinstance(node.ctx, ast.Load)
    return isinstance(node, (ast.Global, ast.Nonlocal)) or (isinstance(node, ast.Call) and last_name(node) == "setattr")


def generators(tree: ast.AST) -> set[str]:
    """The names of the functions in a tree that are generators."""
    return {node.name for node in walk(tree) if isinstance(node, FUNCTIONS) and any(_yields(node))}


def functions(tree: ast.AST) -> set[str]:
    """The names of the functions in a tree that are no generators."""
    return {node.name for node in walk(tree) if isinstance(node, FUNCTIONS) and not any(_yields(node))}


def _mark_lines(gate: Gate) -> None:
    node, outcome = _with_negations(gate)
    parent = gate.module.parents.get(node)
    lines = gate.module.lines
    if isinstance(parent, ast.If) and parent.test is node:
        gate.dead = _of_if(gate, parent, outcome, lines)
    elif isinstance(parent, ast.While) and parent.test is node and not outcome:
        gate.dead = [_span(parent.lineno, parent, lines)] if not parent.orelse else [_block(parent.body, lines)]
    elif isinstance(parent, ast.IfExp) and parent.test is node:
        part = parent.orelse if outcome else parent.body
        gate.dead, gate.whole_lines = [(part.lineno, part.end_lineno or part.lineno)], False
    elif isinstance(parent, ast.Assert) and parent.test is node:
        gate.dead = [(parent.lineno, parent.end_lineno or parent.lineno)] if outcome else _rest(gate, parent)
    elif isinstance(parent, ast.match_case) and parent.guard is node and not outcome:
        gate.dead = [_span(parent.pattern.lineno, parent.body[-1], lines)]
    elif isinstance(parent, ast.Call):
        gate.dead = _of_decorator(gate, parent, outcome)
    elif isinstance(parent, FUNCTIONS) and not outcome:
        gate.dead = [_decorated(parent)]  # `@implement_for("torch", None, "2.4")`


def _with_negations(gate: Gate) -> tuple[ast.AST, bool]:
    """The gate with the `not`s around it that it decides."""
    node: ast.AST = gate.node
    outcome = bool(gate.constant)
    parent = gate.module.parents.get(node)
    while isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
        node, outcome = parent, not outcome
        parent = gate.module.parents.get(node)
    return node, outcome


def _of_if(gate: Gate, node: ast.If, outcome: bool, lines: list[str]) -> list[tuple[int, int]]:
    dead: list[tuple[int, int]] = []
    gone = node.orelse if outcome else node.body
    stays = node.body if outcome else node.orelse
    if outcome and gone:
        dead.append(_span(_else_line(node, lines), gone[-1], lines))
    elif not outcome:
        dead.append(_block(gone, lines) if node.orelse else _span(node.lineno, node, lines))
        gate.whole_lines = gone[0].lineno != node.lineno or not node.orelse
    if stays and leaves(stays):
        dead += _rest(gate, node)
    return dead


def _else_line(node: ast.If, lines: list[str]) -> int:
    first = node.orelse[0]
    if isinstance(first, ast.If) and lines[first.lineno - 1][first.col_offset :].startswith("elif"):
        return first.lineno
    for line in range(first.lineno, (node.body[-1].end_lineno or node.lineno), -1):
        if re.match(r"\s*else\s*:", lines[line - 1]):
            return line
    return first.lineno


def _block(body: list[ast.stmt], lines: list[str]) -> tuple[int, int]:
    first, last = _span(body[0].lineno, body[-1], lines)
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return first, last


def _span(first: int, last: ast.AST, lines: list[str]) -> tuple[int, int]:
    """From a line to the end of a node, with the comments that follow it at its depth."""
    end: int = last.end_lineno or last.lineno  # type: ignore[attr-defined]
    depth: int = last.col_offset  # type: ignore[attr-defined]
    if depth == 0:
        return first, end
    for line in range(end, len(lines)):
        text = lines[line]
        comment = text.lstrip().startswith("#") and len(text) - len(text.lstrip()) >= depth
        if not comment and text.strip():
            break
        end = line + 1 if comment else end
    return first, end


def _rest(gate: Gate, node: ast.AST) -> list[tuple[int, int]]:
    """Return the lines after a statement in its block."""
    parent = gate.module.parents.get(node)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and node in block:
            rest = block[block.index(node) + 1 :]
            return [(rest[0].lineno, rest[-1].end_lineno or rest[-1].lineno)] if rest else []
    return []


def leaves(block: list[ast.stmt]) -> bool:
    """Whether a block never goes on to what follows it."""
    if not block:
        return False
    last = block[-1]
    if isinstance(last, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
        return True
    if isinstance(last, ast.If):
        return leaves(last.body) and leaves(last.orelse)
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        function = last.value.func
        module = getattr(getattr(function, "value", None), "id", "")
        name = getattr(function, "attr", getattr(function, "id", ""))
        return (name in ("exit", "_exit") and module in ("sys", "os")) or (name in ("quit", "exit") and not module)
    return False


def _of_decorator(gate: Gate, call: ast.Call, outcome: bool) -> list[tuple[int, int]]:
    """The function under `skipIf(gate, ...)` if it is always skipped."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    function = gate.module.parents.get(call)
    skipped = (name in ("skipIf", "skipif") and outcome) or (name == "skipUnless" and not outcome)
    if not isinstance(function, (*FUNCTIONS, ast.ClassDef)) or call not in function.decorator_list:
        return []
    return [_decorated(function)] if skipped and gate.node in call.args else []


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[int, int]:
    return min(decorator.lineno for decorator in node.decorator_list), node.end_lineno or node.lineno
