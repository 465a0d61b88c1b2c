"""Version gates: expressions that depend on torch's version, and what they come to on every torch in a range."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import prior
from .evaluator import Frame
from .index import Index
from .interest import Interest
from .interpreter import Interpreter
from .operations import Budget, World
from .pins import Range
from .scopes import Module, last_name
from .tree import COMPREHENSIONS, FUNCTIONS, children, walk
from .values import OneOf, Raised, Unknown, is_of_torch, options, same
from .versions import BUILD, Region, Split, Unclear, refine

TRUE, FALSE, DEPENDS, UNKNOWN = "always true", "always false", "depends", "not understood"
_ASKED = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Call, ast.Name, ast.Attribute)
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MOST_INTERPRETERS = 400
_MOST_EVALUATED = {True: 2_500, False: 800}  # expressions for one gate: tested, and passed on
_MOST_PARTS, _MOST_UNKNOWN = 600, 24  # of a region: as many are looked at until an expression is given up


@dataclass
class Gate:
    """One expression, and what is known of it."""

    module: Module
    node: ast.expr | ast.stmt  # a statement: the import that is tried
    outcome: str
    reason: str
    dead: list[tuple[int, int]] = field(default_factory=list)
    whole_lines: bool = True  # the dead lines have nothing else on them
    loses_yield: bool = False  # without its statement the function around is no generator

    @property
    def line(self) -> int:
        return self.node.lineno

    @property
    def text(self) -> str:
        return ast.unparse(self.node)

    @property
    def constant(self) -> bool | None:
        return {TRUE: True, FALSE: False}.get(self.outcome)


@dataclass
class Seen:
    """The values of one expression in the parts of the range."""

    parts: list[tuple[Region, Any, bool | None]] = field(default_factory=list)  # the value or Raised, and its truth
    touched: bool = False
    warnings: set[str] = field(default_factory=set)
    undecided: str = ""  # the last condition that is not known, and that matters

    @property
    def truths(self) -> set[bool]:
        return {outcome for _, _, outcome in self.parts if outcome is not None}


class Finder:
    """Finds the gates of a file."""

    def __init__(self, index: Index, torches: Range) -> None:
        self.index, self.torches = index, torches
        self._interpreters: dict[tuple[Region, bool], Interpreter] = {}
        self.followed: set[ast.AST] = set()
        self._budget = Budget()

    def gates(self, interest: Interest) -> Iterator[Gate]:
        self.module, self.readers = interest.module, interest.readers
        self.marked = interest.marked(self.index.torches is not None)
        for statement in self.module.tree.body:
            yield from self._below(statement, False)
        if "torch.__version__" in self.module.source:
            for node in self.module.nodes:
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from self._in_text(node, node.value)

    def _in_text(self, node: ast.Constant, code: str) -> Iterator[Gate]:
        """The comparisons in code that is held as a text, such as a template for `exec`."""
        if "torch.__version__" not in code or ("\n" not in code and ";" not in code):
            return
        try:
            inside = walk(ast.parse(textwrap.dedent(code)))
        except (SyntaxError, ValueError):
            return
        for each in inside:
            if isinstance(each, ast.Compare) and "torch.__version__" in ast.unparse(each):
                yield Gate(self.module, ast.increment_lineno(each, node.lineno - 1), UNKNOWN, "is code in a text")

    def _below(self, node: ast.AST, tested: bool) -> Iterator[Gate]:
        """The gates in a node, the largest expressions first. tested: only the truth of the node matters."""
        if node not in self.marked:
            return
        gate = None
        if isinstance(node, _ASKED) and isinstance(getattr(node, "ctx", None), (ast.Load, type(None))):
            gate = self._gate(node, tested)
            if gate is not None and gate.constant is not None:
                yield gate
                return
        inside = list(self._children(node, tested))
        yield from inside
        if gate is not None and not inside:
            yield gate

    def _children(self, node: ast.AST, tested: bool) -> Iterator[Gate]:
        for child in children(node):
            yield from self._below(child, _is_tested(node, child, tested))

    # One expression.

    def _gate(self, node: ast.expr, tested: bool) -> Gate | None:
        if isinstance(self.module.parents.get(node), ast.Compare) and prior.flag(last_name(node)):
            return None  # what is compared is no flag, whatever its name tells
        seen = self.seen(node, tested)
        told = tested and isinstance(node, (ast.Name, ast.Attribute, ast.Call)) and prior.tells(last_name(node))
        if not seen.touched and not told:
            return self._unevaluated(node, seen)
        truths = seen.truths
        unknown = [value for _, value, outcome in seen.parts if outcome is None]
        if len(truths) == 1 and not unknown:
            return self._constant(node, truths.pop(), seen, tested)
        if len(truths) == 2:
            return Gate(self.module, node, DEPENDS, _with(seen, self._witnesses(node, seen)))
        return self._not_understood(node, tested, seen, unknown, truths)

    def _unevaluated(self, node: ast.expr, seen: Seen) -> Gate | None:
        """Tell of a comparison that names the version, and whose evaluation never came to it."""
        if not isinstance(node, ast.Compare) or not any(inside in self.readers for inside in walk(node)):
            return None
        reasons = [value.reason for _, value, _ in seen.parts if isinstance(value, Unknown)]
        return Gate(self.module, node, UNKNOWN, reasons[0] if reasons else "could not be evaluated")

    def seen(self, node: ast.expr, tested: bool) -> Seen:
        """Evaluate an expression in the parts of the range; not in all of them if it is no constant."""
        found, unknown, frame = Seen(), 0, self._frame(node)
        self._budget.left = _MOST_EVALUATED[tested]
        for region in self.torches.regions:
            try:
                for part, value in refine(region, lambda part: self._value(node, frame, part, found), _MOST_PARTS):
                    outcome = self._outcome(part, value, tested)
                    found.parts.append((part, value, outcome))
                    unknown += outcome is None
                    hopeless = unknown > 2 and not found.truths and not is_of_torch(value)
                    if len(found.truths) > 1 or unknown > _MOST_UNKNOWN or hopeless:
                        return found
            except Unclear as error:
                found.parts.append((region, Unknown(str(error), True), None))
        return found

    def _value(self, node: ast.expr, frame: Frame, region: Region, found: Seen, present: bool = True) -> Any:
        interpreter = self._interpreter(region, present)
        world = interpreter.world
        world.touched, interpreter.steps, interpreter.depth = False, 0, 0
        world.warnings.clear()
        world.undecided = ""
        try:
            value = interpreter.value(node, frame)
        except Raised as error:
            value = error
        except Split:
            found.touched = True
            raise
        except Exception as error:  # noqa: BLE001  whatever code is out there: one gate is not understood, no more
            value = Unknown(f"could not be evaluated ({type(error).__name__}: {error})"[:150], True)
        finally:
            self.followed |= interpreter.followed
        found.touched |= world.touched
        found.undecided = world.undecided or found.undecided
        found.warnings |= world.warnings
        return value

    def _interpreter(self, region: Region, present: bool) -> Interpreter:
        key = (region, present)
        if key not in self._interpreters:
            if len(self._interpreters) >= _MOST_INTERPRETERS:
                self._interpreters.clear()
            self._interpreters[key] = Interpreter(self.index, World(region, present, budget=self._budget))
        return self._interpreters[key]

    def _frame(self, node: ast.AST) -> Frame:
        """The scope and place of an expression, and for comprehensions those around it."""
        parents, inner = self.module.parents, node
        while inner in parents:
            parent = parents[inner]
            scope = self.module.scope_of.get(parent)
            if scope is not None and _is_inside(parent, inner):
                around = self._frame(parent) if isinstance(parent, COMPREHENSIONS) else None
                return Frame(scope, node, None, around)
            inner = parent
        return Frame(self.module.scope, node)

    def _outcome(self, region: Region, value: Any, tested: bool) -> bool | None:
        if isinstance(value, Raised):
            return None
        if not tested:
            return value if isinstance(value, bool) else None
        truths = self._interpreter(region, True).truths_of_part(value)
        return truths.pop() if len(truths) == 1 else None

    def _constant(self, node: ast.expr, outcome: bool, seen: Seen, tested: bool) -> Gate | None:
        why = f"on every torch in {self.torches.text}"
        if not self._needs_torch(node) and not self._same_without_torch(node, outcome, seen, tested):
            if isinstance(node, (ast.BoolOp, ast.UnaryOp)):
                return None  # a part of it may be a gate; all of it also tells whether torch is installed
            if prior.presence(last_name(node)):
                return None
            if not self._tells_version(node):
                return Gate(self.module, node, DEPENDS, f"{outcome} {why}, and different if torch is not installed")
        return Gate(self.module, node, TRUE if outcome else FALSE, _with(seen, why))

    def _same_without_torch(self, node: ast.expr, outcome: bool, seen: Seen, tested: bool) -> bool:
        region = seen.parts[0][0]
        try:
            value = self._value(node, self._frame(node), region, Seen(), present=False)
        except Split:
            return False
        if isinstance(value, Raised):
            return True
        truths = self._interpreter(region, False).truths_of_part(value)
        return truths == {outcome}

    def _needs_torch(self, node: ast.AST) -> bool:
        """Whether the code around the expression imports torch before, so that it never runs without torch."""
        place, in_function, imports = node, False, []
        while node in self.module.parents:
            node = self.module.parents[node]
            if isinstance(node, FUNCTIONS):
                imports += [each for each in node.body if _imports_torch(each) and each.lineno < place.lineno]  # type: ignore[attr-defined]
                in_function = True
        of_module = [each for each in self.module.tree.body if _imports_torch(each)]
        return bool(imports) or any(in_function or each.lineno <= place.lineno for each in of_module)  # type: ignore[attr-defined]

    def _tells_version(self, node: ast.expr) -> bool:
        name = last_name(node)
        if prior.flag(name) or prior.helper(name) or prior.tells(name):
            return True
        constants = [n.value for n in walk(node) if isinstance(n, ast.Constant)]
        orders = isinstance(node, ast.Compare) and any(isinstance(sign, _ORDERS) for sign in node.ops)
        numbers = isinstance(node, ast.Compare) and any(type(c) in (int, float) for c in constants)
        return orders or numbers or any(isinstance(c, str) and prior.version_of([c]) for c in constants)

    def _witnesses(self, node: ast.expr, seen: Seen) -> str:
        """One version of each outcome."""
        parent = self.module.parents.get(node)
        is_test = isinstance(parent, (ast.If, ast.IfExp)) and parent.test is node
        words = (
            {True: "takes the if", False: "takes the else"} if is_test else {True: "gives True", False: "gives False"}
        )
        examples = []
        for outcome in (False, True):
            found = [region for region, _, found_outcome in seen.parts if found_outcome is outcome]
            found.sort(key=lambda region: "+" in region.example() or not region.example().replace(".", "").isdigit())
            examples.append(f"{found[0].example()} {words[outcome]}")
        return ", ".join(examples)

    def _not_understood(
        self, node: ast.expr, tested: bool, seen: Seen, unknown: list[Any], truths: set[bool]
    ) -> Gate | None:
        values = [option for value in unknown for option in (options(value) if not isinstance(value, Raised) else ())]
        raised = next((value for value in unknown if isinstance(value, Raised)), None)
        parameter = next((v.argument for v in values if isinstance(v, Unknown) and v.argument), "")
        if parameter and (not tested or self._is_followed(node)):
            return None  # the outcome is found where the function is called
        of_torch = any(isinstance(v, Unknown) and v.of_torch for v in values) or raised is not None
        mixed = any(isinstance(v, OneOf) and any(isinstance(o, bool) for o in v.options) for v in unknown)
        told = prior.tells(last_name(node)) and isinstance(node, (ast.Name, ast.Attribute, ast.Call))
        differs = any(not same(value, unknown[0]) for value in unknown)
        if not (truths or of_torch or (mixed and (differs or told)) or (told and tested)):
            return None
        compares = isinstance(node, (ast.Compare, ast.UnaryOp)) or prior.helper(last_name(node))
        if not (tested or truths or mixed or compares):
            return None  # it may well return the version
        also = f"also depends on `{seen.undecided}`" if seen.undecided else "several outcomes are possible"
        reasons = [v.reason for v in values if isinstance(v, Unknown)] or [also]
        reason = f"raises {raised.name} on some versions" if raised is not None else reasons[0]
        outcome = DEPENDS if reason == BUILD else UNKNOWN
        return Gate(self.module, node, outcome, _with(seen, reason))

    def _is_followed(self, node: ast.AST) -> bool:
        while node in self.module.parents:
            node = self.module.parents[node]
            if isinstance(node, FUNCTIONS):
                return node in self.followed
        return False


def _with(seen: Seen, reason: str) -> str:
    return "; ".join([reason, *sorted(seen.warnings)])


def _is_tested(node: ast.AST, child: ast.AST, tested: bool) -> bool:
    if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
        return child is node.test or (isinstance(node, ast.IfExp) and tested)
    if isinstance(node, ast.BoolOp):
        return tested
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.comprehension):
        return child in node.ifs
    return isinstance(node, ast.match_case) and child is node.guard


def _is_inside(parent: ast.AST, child: ast.AST) -> bool:
    """Whether a child is evaluated in the scope that its parent opens."""
    if isinstance(parent, (*FUNCTIONS, ast.ClassDef)):
        return child in parent.body
    if isinstance(parent, ast.Lambda):
        return child is parent.body
    return True


def _imports_torch(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return any(alias.name.partition(".")[0] == "torch" for alias in statement.names)
    return (
        isinstance(statement, ast.ImportFrom)
        and not statement.level
        and (statement.module or "").partition(".")[0] == "torch"
    )
