"""The LibCST transformer that takes dead branches, definitions and imports out of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import libcst as cst
from libcst.metadata import CodeRange, PositionProvider

Place = tuple[int, int, int, int]
_TRUE, _FALSE, _END = "__compat_always_true__", "__compat_always_false__", "__compat_end__"


def _truth(node: cst.CSTNode | None) -> bool | None:
    """The outcome of a gate that was replaced by its marker."""
    return {_TRUE: True, _FALSE: False}.get(node.value) if isinstance(node, cst.Name) else None


def _marker(truth: bool) -> cst.Name:
    return cst.Name(_TRUE if truth else _FALSE)


class Simplifier(cst.CSTTransformer):
    """Replaces gates by what they come to, and then removes what that makes superfluous."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, gates: dict[Place, bool], statements: set[Place], imports: dict[Place, set[str]]) -> None:
        super().__init__()
        self.gates, self.statements, self.imports = gates, statements, imports
        self._elifs: set[cst.If] = set()

    def _place(self, node: cst.CSTNode) -> Place:
        found = cast(CodeRange, self.get_metadata(PositionProvider, node))
        return found.start.line, found.start.column, found.end.line, found.end.column

    # Expressions.

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        updated = super().on_leave(original_node, updated_node)
        if isinstance(original_node, cst.BaseExpression):
            truth = self.gates.get(self._place(original_node))
            if truth is not None:
                return _marker(truth)
        return updated

    def leave_UnaryOperation(self, original_node: cst.UnaryOperation, updated_node: cst.UnaryOperation) -> Any:
        truth = _truth(updated_node.expression)
        if isinstance(updated_node.operator, cst.Not) and truth is not None:
            return _marker(not truth)
        return updated_node

    def leave_BooleanOperation(self, original_node: cst.BooleanOperation, updated_node: cst.BooleanOperation) -> Any:
        truth = _truth(updated_node.left)
        if truth is not None:
            passes = truth is isinstance(updated_node.operator, cst.And)
            return _inside(updated_node.right, updated_node) if passes else updated_node.left
        return updated_node

    def leave_IfExp(self, original_node: cst.IfExp, updated_node: cst.IfExp) -> Any:
        truth = _truth(_tested(updated_node.test))
        if truth is None:
            return updated_node.with_changes(test=_tested(updated_node.test))
        return _inside(updated_node.body if truth else updated_node.orelse, updated_node)

    def leave_CompIf(self, original_node: cst.CompIf, updated_node: cst.CompIf) -> Any:
        return cst.RemoveFromParent() if _truth(updated_node.test) is True else updated_node

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        module = updated_node.with_changes(body=_without_unreachable(updated_node.body))
        return cast(cst.Module, module.visit(_Names()))

    # Statements.

    def visit_If(self, node: cst.If) -> None:
        if isinstance(node.orelse, cst.If):
            self._elifs.add(node.orelse)

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> Any:
        test = _tested(updated_node.test)
        truth = _truth(test)
        orelse = updated_node.orelse
        if truth is None:
            return updated_node.with_changes(test=test)
        if original_node in self._elifs:
            if truth:
                return cst.Else(updated_node.body, updated_node.leading_lines)
            return cst.RemoveFromParent() if orelse is None else orelse
        if truth or not isinstance(orelse, cst.If):
            block = updated_node.body if truth else orelse and orelse.body
            return _in_place_of(updated_node, block)
        return orelse.with_changes(leading_lines=[*updated_node.leading_lines, *orelse.leading_lines])

    def leave_Try(self, original_node: cst.Try, updated_node: cst.Try) -> Any:
        truth = self.gates.get(self._place(original_node))
        if truth is None or updated_node.finalbody is not None:
            return updated_node
        if not truth:
            return _in_place_of(updated_node, updated_node.handlers[0].body)
        if updated_node.orelse is None:
            return _in_place_of(updated_node, updated_node.body)
        both = [*updated_node.body.body, *updated_node.orelse.body.body]
        return _in_place_of(updated_node, updated_node.body.with_changes(body=both))

    def leave_While(self, original_node: cst.While, updated_node: cst.While) -> Any:
        test = _tested(updated_node.test)
        if _truth(test) is False:
            return _in_place_of(updated_node, updated_node.orelse.body if updated_node.orelse else None)
        return updated_node.with_changes(test=test)

    def leave_Assert(self, original_node: cst.Assert, updated_node: cst.Assert) -> Any:
        test = _tested(updated_node.test)
        return cst.RemoveFromParent() if _truth(test) is True else updated_node.with_changes(test=test)

    def leave_MatchCase(self, original_node: cst.MatchCase, updated_node: cst.MatchCase) -> Any:
        truth = _truth(updated_node.guard)
        if truth is False:
            return cst.RemoveFromParent()
        if truth is True:
            return updated_node.with_changes(
                guard=None, whitespace_before_if=cst.SimpleWhitespace(""), whitespace_after_if=cst.SimpleWhitespace("")
            )
        return updated_node

    def leave_Match(self, original_node: cst.Match, updated_node: cst.Match) -> Any:
        if updated_node.cases:
            return updated_node
        return cst.SimpleStatementLine([cst.Expr(updated_node.subject)], leading_lines=updated_node.leading_lines)

    def leave_Decorator(self, original_node: cst.Decorator, updated_node: cst.Decorator) -> Any:
        if _skips(updated_node) is False or _truth(updated_node.decorator) is True:
            return cst.RemoveFromParent()
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> Any:
        if self._place(original_node) in self.statements or _is_skipped(updated_node):
            return cst.RemoveFromParent()
        return updated_node

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> Any:
        return self.leave_FunctionDef(original_node, updated_node)

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> Any:
        return cst.RemoveFromParent() if self._place(original_node) in self.statements else updated_node

    def leave_AnnAssign(self, original_node: cst.AnnAssign, updated_node: cst.AnnAssign) -> Any:
        return cst.RemoveFromParent() if self._place(original_node) in self.statements else updated_node

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> Any:
        return _without_names(updated_node, self.imports.get(self._place(original_node)))

    def leave_ImportFrom(self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom) -> Any:
        return _without_names(updated_node, self.imports.get(self._place(original_node)))

    def leave_IndentedBlock(self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock) -> Any:
        body = _without_unreachable(updated_node.body)
        if not body or all(isinstance(each, cst.EmptyLine) for each in body):
            body = [cst.SimpleStatementLine([cst.Pass()])]
        return updated_node.with_changes(body=body)


class _Names(cst.CSTTransformer):
    """Spells the markers that are left as `True` and `False`, which stand where a value is wanted."""

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        truth = _truth(updated_node)
        return updated_node if truth is None else updated_node.with_changes(value=str(truth))


def _in_place_of(around: Any, block: Any) -> Any:
    """The statements of a block in place of the statement around it, whose comments told of all of it."""
    if block is None:
        return cst.RemoveFromParent()
    if isinstance(block, cst.SimpleStatementSuite):
        body: list[Any] = [cst.SimpleStatementLine(block.body, trailing_whitespace=block.trailing_whitespace)]
    else:
        body = list(block.body)
    if all(isinstance(each, cst.SimpleStatementLine) and _is_pass(each) for each in body):
        return cst.RemoveFromParent()
    body[0] = body[0].with_changes(leading_lines=[*around.leading_lines, *body[0].leading_lines])
    if _leaves(body):
        body.append(cst.SimpleStatementLine([cst.Expr(cst.Name(_END))]))
    return cst.FlattenSentinel(body)


def _is_pass(line: cst.SimpleStatementLine) -> bool:
    return all(isinstance(each, cst.Pass) for each in line.body)


def _leaves(body: Sequence[Any]) -> bool:
    """Whether a block never goes on to what follows it."""
    last = body[-1] if body else None
    if isinstance(last, cst.If):
        other = last.orelse
        return (
            _leaves(last.body.body)
            and other is not None
            and _leaves([other] if isinstance(other, cst.If) else other.body.body)
        )
    if not isinstance(last, cst.SimpleStatementLine):
        return False
    end = last.body[-1]
    if isinstance(end, cst.Expr) and isinstance(end.value, cst.Call):
        return cst.Module([]).code_for_node(end.value.func) in ("sys.exit", "os._exit", "exit", "quit")
    return isinstance(end, (cst.Return, cst.Raise, cst.Continue, cst.Break))


def _is_end(line: Any) -> bool:
    expression = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None
    return (
        isinstance(expression, cst.Expr) and isinstance(expression.value, cst.Name) and expression.value.value == _END
    )


def _without_unreachable(body: Sequence[Any]) -> list[Any]:
    """The statements up to where a branch that is always taken leaves the block. A generator keeps its `yield`."""
    for at, each in enumerate(body):
        if _is_end(each):
            rest = body[at + 1 :]
            return [*body[:at], *(_without_unreachable(rest) if _yields(rest) else [])]
    return list(body)


def _yields(body: Sequence[cst.CSTNode]) -> bool:
    finder = _YieldFinder()
    for each in body:
        each.visit(finder)
    return finder.found


class _YieldFinder(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found = False

    def visit_Yield(self, node: cst.Yield) -> None:
        self.found = True

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        return False

    def visit_Lambda(self, node: cst.Lambda) -> bool:
        return False


def _inside(part: Any, around: Any) -> Any:
    """A part of an expression in place of the whole, in the parentheses of the whole."""
    return part.with_changes(lpar=[*around.lpar, *part.lpar], rpar=[*part.rpar, *around.rpar])


def _tested(test: Any) -> Any:
    """A condition, without operands that do not matter for its truth: `x and True`, `x or False`."""
    if isinstance(test, cst.BooleanOperation):
        left, right = _tested(test.left), _tested(test.right)
        truth = _truth(right)
        if truth is not None and truth is isinstance(test.operator, cst.And):
            return _inside(left, test)
        return test.with_changes(left=left, right=right)
    return test


def _skips(decorator: cst.Decorator) -> bool | None:
    """Whether `skipIf(gate, ...)` always skips; None if it is no such decorator."""
    call = decorator.decorator
    if not isinstance(call, cst.Call) or not call.args:
        return None
    name = call.func.attr.value if isinstance(call.func, cst.Attribute) else getattr(call.func, "value", "")
    truth = _truth(call.args[0].value)
    if truth is None or name not in ("skipIf", "skipif", "skipUnless"):
        return None
    return truth if name != "skipUnless" else not truth


def _is_skipped(node: Any) -> bool:
    return any(_skips(each) is True or _truth(each.decorator) is False for each in node.decorators)


def _without_names(node: Any, names: set[str] | None) -> Any:
    if not names or isinstance(node.names, cst.ImportStar):
        return node
    kept = [alias for alias in node.names if _bound(alias) not in names]
    if not kept:
        return cst.RemoveFromParent()
    if len(kept) < len(node.names) and not getattr(node, "lpar", None):
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(names=kept)


def _bound(alias: cst.ImportAlias) -> str:
    if alias.asname is not None:
        return cast(str, alias.asname.name.value)
    return alias.evaluated_name.partition(".")[0]
