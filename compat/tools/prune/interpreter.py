"""Evaluate expressions for the torch versions of a region. None of the code is executed or imported."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from itertools import product
from typing import Any

from packaging.version import Version

from . import prior, text
from .attributes import attribute
from .calls import Calls
from .evaluator import Frame
from .names import Names
from .operations import World, add, compared, truth, value_of
from .scopes import Module, last_name
from .tree import COMPREHENSIONS, children
from .values import (
    Dotted,
    Function,
    Items,
    List,
    Number,
    OneOf,
    Parsed,
    Parts,
    Raised,
    Text,
    Unknown,
    is_of_torch,
    one_of,
    options,
    unknown,
)
from .versions import Split, TooMuch, Unclear

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_DEEPEST = 80


class Interpreter(Names, Calls):
    """Evaluates expressions for one region. Raises Split if the region has to be divided."""

    def __init__(self, index: Any, world: World) -> None:
        self.index, self.world, self.depth = index, world, 0
        self.cache: dict[Any, tuple[Any, bool]] = {}
        self.running: set[Any] = set()
        self.followed: set[ast.AST] = set()
        self.steps = 0

    def value(self, node: ast.AST, frame: Frame) -> Any:
        """The value of an expression; Unknown if it is not known. Raises Split, or Raised if the code raises."""
        evaluate = getattr(self, f"_{type(node).__name__.lower()}", None)
        if evaluate is None:
            return self.opaque(f"`{type(node).__name__}` is not followed", *self._parts(node, frame))
        if self.depth > _DEEPEST:
            return Unknown("is nested too deeply to be followed")
        self.world.budget.spend()
        self.depth += 1
        try:
            return evaluate(node, frame)
        except Unclear as error:
            self.world.risky += 1
            return Unknown(str(error), self.world.touched and not isinstance(error, TooMuch))
        finally:
            self.depth -= 1

    def opaque(self, reason: str, *made_of: Any) -> Unknown:
        """The result of something that is not known, and that may raise an exception."""
        self.world.risky += 1
        return unknown(reason, *made_of)

    def _parts(self, node: ast.AST, frame: Frame) -> list[Any]:
        if isinstance(node, COMPREHENSIONS):
            return []
        return [self.value(child, frame) for child in children(node) if isinstance(child, ast.expr)]

    def lift(self, operation: Callable[..., Any], *operands: Any) -> Any:
        """The operation on each combination of the operands' possible values. Combinations that raise drop out."""
        if not any(isinstance(operand, OneOf) for operand in operands):
            return operation(*operands)
        results, raised = [], None
        for combination in product(*map(options, operands)):
            try:
                results.append(operation(*combination))
            except Raised as error:
                raised = error
                self.world.risky += 1
            except Unclear as error:
                results.append(Unknown(str(error), any(map(is_of_torch, combination))))
        if not results and raised is not None:
            raise raised
        return one_of(results)

    def truths_of_part(self, value: Any) -> set[bool]:
        """As `truths`, for a value that was found in this region: nothing is left to be split."""
        try:
            return self.truths(value)
        except Split:
            return {True, False}

    def truths(self, value: Any) -> set[bool]:
        """Return the truths that a value may have."""
        found: set[bool] = set()
        for option in options(value):
            try:
                found.add(truth(option, self.world))
            except Unclear:
                return {True, False}
        return found

    def _constant(self, node: ast.Constant, frame: Frame) -> Any:
        return node.value

    def _tuple(self, node: ast.Tuple, frame: Frame) -> Any:
        items: list[Any] = []
        for item in node.elts:
            if isinstance(item, ast.Starred):
                inner = self.sequence(self.value(item.value, frame))
                if inner is None:
                    return self.opaque("unpacks something that is not known")
                items += inner
            else:
                items.append(self.value(item, frame))
        return tuple(items)

    def _list(self, node: ast.List, frame: Frame) -> Any:
        items = self._tuple(node, frame)  # type: ignore[arg-type]
        return List(items) if isinstance(items, tuple) else items

    def _set(self, node: ast.Set, frame: Frame) -> Any:
        items = self._tuple(node, frame)  # type: ignore[arg-type]
        return Items(items) if isinstance(items, tuple) else items

    def _dict(self, node: ast.Dict, frame: Frame) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values):
            name = self.value(key, frame) if key is not None else None
            if not isinstance(name, (str, int, float, bool, bytes)):
                return Unknown("is a mapping whose keys are not known")
            found[name] = self.value(value, frame)
        return found

    def _joinedstr(self, node: ast.JoinedStr, frame: Frame) -> Any:
        code = ""
        for part in node.values:
            value = self.value(part, frame)
            if not isinstance(value, (str, Text)):
                return unknown("is a text with parts that are not known", value)
            code += value.code if isinstance(value, Text) else value
        return text.text(code)

    def _formattedvalue(self, node: ast.FormattedValue, frame: Frame) -> Any:
        value = self.value(node.value, frame)
        if node.format_spec is not None or node.conversion not in (-1, ord("s")):
            return unknown("is formatted", value)
        return self.lift(self.string, value)

    def string(self, value: Any) -> Any:
        """`str(value)`."""
        if isinstance(value, Text):
            return Text(value.code)
        if isinstance(value, Number) and len(value.terms) == 1 and value.terms[0][1] == 1 and not value.constant:
            return Text(text.hole_of(value.terms[0][0]))
        if isinstance(value, Number):
            return str(value_of(value, self.world.region))
        if isinstance(value, (str, int, float, bool, Version)) or value is None:
            return str(value)
        if isinstance(value, Unknown):
            return unknown(value.reason, value)
        return (
            attribute(value, "__str__", self.world)
            if isinstance(value, Parsed)
            else self.opaque("is a text of something", value)
        )

    def _slice(self, node: ast.Slice, frame: Frame) -> Any:
        bounds = [part and self.value(part, frame) for part in (node.lower, node.upper, node.step)]
        if any(bound is not None and not isinstance(bound, int) for bound in bounds):
            return self.opaque("has a bound that is not known", *bounds)
        return slice(*bounds)

    def _subscript(self, node: ast.Subscript, frame: Frame) -> Any:
        return self.lift(self._item, self.value(node.value, frame), self.value(node.slice, frame))

    def _item(self, value: Any, key: Any) -> Any:
        if isinstance(value, Unknown) or isinstance(key, Unknown):
            return self.opaque("has an index that is not known", value, key)
        if isinstance(value, Parts):
            return self._part(value, key)
        if isinstance(value, Text) and isinstance(key, slice) and key.step not in (None, 1):
            return text.spelled(value.code, self.world.region)[key]
        if isinstance(value, Text) and isinstance(key, (int, slice)):
            start, stop = (key.start, key.stop) if isinstance(key, slice) else (key, key + 1 if key != -1 else None)
            return text.text(text.cut(value.code, start, stop, self.world.region))
        if isinstance(value, Dotted) or not isinstance(value, (str, tuple, dict)):
            return self.special_item(value, key)
        if isinstance(key, (Number, Text)):
            raise Unclear("looks the version up in a mapping")
        try:
            item = value[key]
        except (IndexError, KeyError, TypeError) as error:
            raise Raised(type(error).__name__) from error
        return List(item) if isinstance(value, List) and isinstance(key, slice) else item

    def _part(self, parts: Parts, key: Any) -> Any:
        first = key + 1 if isinstance(key, int) else key.stop
        if isinstance(first, int) and first > 0 and (isinstance(key, int) or (key.start or 0) >= 0):
            known = text.head(parts, first)
            if known is not None:
                return List(map(text.text, known))[key] if isinstance(key, int) else List(map(text.text, known[key]))
        return self._item(List(map(text.text, text.split(parts.code, parts.separator, self.world.region))), key)

    def sequence(self, value: Any, characters: bool = False) -> list[Any] | None:
        """The items of a value, or None if they are not known."""
        if isinstance(value, Parts):
            return [text.text(part) for part in text.split(value.code, value.separator, self.world.region)]
        if isinstance(value, (tuple, dict, str)):
            return list(value)
        if isinstance(value, Text) and characters:
            return list(text.characters(value.code, self.world.region))
        return None

    def _generatorexp(self, node: ast.GeneratorExp | ast.ListComp, frame: Frame) -> Any:
        return self.lift(lambda items: self._comprehend(node, items, frame), self.value(node.generators[0].iter, frame))

    _listcomp = _generatorexp

    def _comprehend(self, node: ast.GeneratorExp | ast.ListComp, iterable: Any, frame: Frame) -> Any:
        loop = node.generators[0]
        items = self.sequence(iterable, characters=True) if len(node.generators) == 1 else None
        if items is None:
            return self.opaque("loops over something that is not known", iterable)
        inner = Frame(frame.scope.module.scope_of[node], node, {}, frame, frame.running)
        found = []
        for item in items:
            inner.env = self.destructured(loop.target, item)
            truths = [self.truths(self.value(test, inner)) for test in loop.ifs]
            if any(len(each) > 1 for each in truths):
                return self.opaque("loops with a condition that is not known", iterable)
            if all(True in each for each in truths):
                found.append(self.value(node.elt, inner))
        return List(found)

    def destructured(self, target: ast.AST, value: Any) -> dict[str, Any]:
        """The names that an assignment to `target` binds, with their values."""
        if isinstance(target, ast.Name):
            return {target.id: value}
        if isinstance(target, ast.Starred):
            return self.destructured(target.value, value)
        if not isinstance(target, (ast.Tuple, ast.List)):
            return {}
        found: dict[str, Any] = {}
        for each, part in zip(target.elts, self._unpacked(target, value)):
            found.update(self.destructured(each, part))
        return found

    def _unpacked(self, target: ast.Tuple | ast.List, value: Any) -> list[Any]:
        count = len(target.elts)
        starred = [at for at, each in enumerate(target.elts) if isinstance(each, ast.Starred)]
        if isinstance(value, OneOf):
            rows = [self._unpacked(target, option) for option in value.options]
            return [one_of(column) for column in zip(*rows)]
        if starred == [count - 1] and isinstance(value, Parts):
            known = text.head(value, count - 1)
            if known is not None:
                return [*map(text.text, known), Unknown("the rest of the version")]
        items = self.sequence(value)
        if items is None or (not starred and isinstance(value, Unknown)):
            return [self.opaque("is unpacked from something that is not known", value)] * count
        if starred:
            at, after = starred[0], count - starred[0] - 1
            if len(items) < count - 1:
                raise Raised("ValueError")
            return [*items[:at], List(items[at : len(items) - after]), *items[len(items) - after :]]
        if len(items) != count:
            raise Raised("ValueError")
        return items

    def _unaryop(self, node: ast.UnaryOp, frame: Frame) -> Any:
        value = self.value(node.operand, frame)
        if isinstance(node.op, ast.Not):
            return self._not(value)
        if isinstance(value, (int, float)) and isinstance(node.op, ast.USub):
            return -value
        return self.opaque("is an operation that is not followed", value)

    def _not(self, value: Any) -> Any:
        found = self.truths(value)
        if isinstance(value, Unknown) and len(found) == 2:
            return Unknown(value.reason, value.of_torch, None, value.argument)
        return one_of(not each for each in found)

    def _boolop(self, node: ast.BoolOp, frame: Frame) -> Any:
        """The operand that decides; every operand that may decide, if some are not known."""
        deciding = isinstance(node.op, ast.Or)
        found: list[Any] = []
        for operand in node.values:
            try:
                value = self.value(operand, frame)
            except Raised:
                if not found:
                    raise
                self.world.risky += 1
                break
            truths = self.truths(value)
            if operand is node.values[-1] or truths == {deciding}:
                found.append(value)
                break
            if deciding in truths:
                found.append(self.decided(value, deciding))
        return one_of(found)

    def decided(self, value: Any, truth: bool) -> Any:
        """Return the possibilities of a value that have this truth."""
        kept = []
        for option in options(value):
            truths = self.truths(option)
            if len(truths) > 1:
                reason, argument = getattr(option, "reason", "is not known"), getattr(option, "argument", "")
                option = Unknown(reason, is_of_torch(option), truth, argument)
            if truth in truths:
                kept.append(option)
        return one_of(kept)

    def _compare(self, node: ast.Compare, frame: Frame) -> Any:
        left = self.value(node.left, frame)
        for at, (sign, right_node) in enumerate(zip(node.ops, node.comparators)):
            right = self.value(right_node, frame)
            if any(_is_flag(side) for side in (node.left, *node.comparators)):
                return self.opaque(
                    "compares something whose name tells of a version, but not of what it is", left, right
                )
            result = self.lift(lambda a, b, sign=sign: self.one_compared(sign, a, b), left, right)
            if at == len(node.ops) - 1 or self.truths(result) == {False}:
                return result
            if self.truths(result) != {True}:
                rest = self.value(ast.copy_location(_rest(node, at), node), frame)
                return False if self.truths(rest) == {False} else unknown("is a chain of comparisons", result, rest)
            left = right
        return True

    def one_compared(self, sign: ast.cmpop, left: Any, right: Any) -> Any:
        try:
            return compared(sign, left, right, self.world)
        except Unclear as error:
            return self.opaque(str(error), *(side for side in (left, right)))

    def _binop(self, node: ast.BinOp, frame: Frame) -> Any:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        return self.lift(lambda a, b: self.calculated(node.op, a, b), left, right)

    def calculated(self, sign: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, (int, Number)) and isinstance(right, (int, Number)):
            if isinstance(sign, (ast.Add, ast.Sub)):
                return add(left, right, 1 if isinstance(sign, ast.Add) else -1)
            for factor, number in ((left, right), (right, left)):
                if isinstance(sign, ast.Mult) and isinstance(number, Number) and not isinstance(factor, Number):
                    return add(0, number, factor)
        if isinstance(left, (str, Text)) and isinstance(right, (str, Text)) and isinstance(sign, ast.Add):
            return text.text("".join(side.code if isinstance(side, Text) else side for side in (left, right)))
        values = [value_of(v, self.world.region) if isinstance(v, Number) else v for v in (left, right)]
        if type(sign) not in _ARITHMETIC or not all(_is_plain(v, isinstance(sign, ast.Mod)) for v in values):
            return self.opaque("is an operation that is not followed", left, right)
        kinds = {type(v) for v in values if isinstance(v, tuple)}
        try:
            if len(kinds) > 1:
                raise TypeError
            found = _ARITHMETIC[type(sign)](*values)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Raised(type(error).__name__) from error
        return List(found) if kinds == {List} else found

    def _ifexp(self, node: ast.IfExp, frame: Frame) -> Any:
        found = self.truths(self.value(node.test, frame))
        branches = [node.body] * (True in found) + [node.orelse] * (False in found)
        if len(branches) == 1:
            return self.value(branches[0], frame)
        return self._either(branches, frame)

    def _either(self, branches: list[ast.expr], frame: Frame) -> Any:
        """The values of expressions of which one is evaluated, without the ones that raise an exception."""
        values, raised = [], None
        for branch in branches:
            try:
                values.append(self.value(branch, frame))
            except Raised as error:
                raised = error
                self.world.risky += 1
        if raised is not None and not values:
            raise raised
        return one_of(values)

    def _namedexpr(self, node: ast.NamedExpr, frame: Frame) -> Any:
        value = self.value(node.value, frame)
        if frame.env is not None:
            sure = _is_always_evaluated(node, frame.scope.module)
            frame.env[node.target.id] = value if sure else unknown("may be bound on the way", value)
        return value

    def _name(self, node: ast.Name, frame: Frame) -> Any:
        return self.lookup(node.id, frame)

    def _attribute(self, node: ast.Attribute, frame: Frame) -> Any:
        return self.lift(lambda value: self.attribute_of(value, node.attr), self.value(node.value, frame))

    def _lambda(self, node: ast.Lambda, frame: Frame) -> Any:
        closure = frame if frame.env is not None else None
        return Function(node, frame.scope.module.scope_of[node], (), None, closure)

    def _call(self, node: ast.Call, frame: Frame) -> Any:
        return self.called(node, frame)


def _is_plain(value: Any, formats: bool) -> bool:
    """Whether Python can calculate with a value as it is. formats: the items of a tuple may become text."""
    if isinstance(value, tuple):
        return type(value) in (tuple, List) and (not formats or all(_is_plain(item, True) for item in value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _is_always_evaluated(node: ast.AST, module: Module) -> bool:
    """Whether an expression is evaluated whenever its statement is run, and once."""
    while (parent := module.parents.get(node)) is not None and not isinstance(parent, ast.stmt):
        first = {ast.BoolOp: "values", ast.IfExp: "test", ast.Compare: "left"}.get(type(parent))
        at_first = getattr(parent, first or "", None)
        if first and node is not (at_first[0] if isinstance(at_first, list) else at_first):
            return False
        if isinstance(parent, (*COMPREHENSIONS, ast.Lambda)):
            return False
        node = parent
    return True


def _is_flag(node: ast.expr) -> bool:
    """Whether a name such as `TORCH_2_4` tells what it holds, if it is a flag: it may be a version as well."""
    return isinstance(node, (ast.Name, ast.Attribute)) and prior.flag(last_name(node)) is not None


def _rest(node: ast.Compare, at: int) -> ast.Compare:
    return ast.Compare(node.comparators[at], node.ops[at + 1 :], node.comparators[at + 1 :])
