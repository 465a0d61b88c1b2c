"""Evaluate an expression of an engine's source for a supposed torch version.

A small interpreter knows `torch.__version__` and what is usually made of it, and gives up on everything else. Nothing
of the engine is executed or imported.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from packaging.version import InvalidVersion, Version

from .scopes import Import, Scope, Scopes


class Unknown(Exception):
    """The value depends on something else than the torch version."""


class TorchVersion(str):
    """Compares as `torch.__version__` does: by version, also with plain strings and with tuples."""

    __slots__ = ()
    __hash__ = str.__hash__

    def _by(self, compare: Callable[[Any, Any], bool], other: Any) -> bool:
        try:
            if not isinstance(other, Version):  # torch knows its own copy of that class alone
                return compare(Version(self), Version(other if isinstance(other, str) else ".".join(map(str, other))))
        except InvalidVersion:
            pass
        return compare("".join(self), other)

    def __lt__(self, other: Any) -> bool:
        return self._by(operator.lt, other)

    def __le__(self, other: Any) -> bool:
        return self._by(operator.le, other)

    def __gt__(self, other: Any) -> bool:
        return self._by(operator.gt, other)

    def __ge__(self, other: Any) -> bool:
        return self._by(operator.ge, other)

    def __eq__(self, other: object) -> bool:
        return self._by(operator.eq, other)


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.USub: operator.neg,
}
_BY_SIGN = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}


def _compared(torch: str, sign: str, target: str) -> bool:
    """As engines' helpers compare. Some strip what follows the release number first: where that decides, unknown."""
    given, other = Version(str(torch)), Version(target)
    compare = _BY_SIGN[sign]
    outcomes = {compare(given, other), compare(Version(given.base_version), other)}
    if len(outcomes) > 1:
        raise Unknown
    return outcomes.pop()


def _equal(torch: str, target: str) -> bool:
    return Version(target) <= Version(str(torch)) < Version(f"{target}.1")


# Helpers that engines and libraries define under these names, with the version that is installed and their arguments.
HELPERS: dict[str, Callable[..., bool]] = {
    "is_torch_equal": _equal,
    "is_torch_equal_or_newer": lambda torch, target: _compared(torch, ">=", target),
    "is_torch_greater_or_equal": lambda torch, target: _compared(torch, ">=", target),
    "is_torch_less_or_equal": lambda torch, target: _compared(torch, "<=", target),
    "is_torch_version": lambda torch, sign, target: _compared(torch, sign, target),
    "torch_version_at_least": lambda torch, target: _compared(torch, ">=", target),
}
# Names that say by themselves what they hold or return, for where their definition is out of reach.
_TELLING = re.compile(
    r"_?(?:is_)?(?:torch|pytorch)(?:_version)?_(?:at_least|ge|gte|greater_or_equal(?:_than)?|equal_or_newer)"
    r"_v?(\d+)_(\d+)(?:_(\d+))?",
    re.IGNORECASE,
)
_BUILTINS: dict[str, Callable[..., Any]] = {
    "str": lambda value: "".join(value) if isinstance(value, str) else str(value),  # no TorchVersion any more
    "int": int,
    "float": float,
    "tuple": tuple,
    "list": list,
    "bool": bool,
    "len": len,
    "map": lambda f, values: [f(value) for value in values],
}
_MAKERS: dict[str, Callable[[str], Any]] = {
    "Version": lambda text: Version(str(text)),
    "parse": lambda text: Version(str(text)),
    "parse_version": lambda text: Version(str(text)),
    "TorchVersion": TorchVersion,
}
_METHODS = {"split", "rsplit", "partition", "startswith", "strip", "replace"}
_FIELDS = {"release", "major", "minor", "micro", "base_version", "public", "local", "is_prerelease", "is_devrelease"}


class Evaluator:
    """Evaluates expressions for one supposed torch version. None: for a torch of unknown version."""

    def __init__(self, torch: str | None, scopes: Scopes) -> None:
        self._torch, self._scopes, self._depth = torch, scopes, 0

    def value(self, node: ast.AST, scope: Scope) -> Any:
        """The value of an expression. Raises Unknown."""
        evaluate: Callable[[ast.AST, Scope], Any] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if evaluate is None or self._depth > 50:  # the depth: of names that stand for one another
            raise Unknown
        self._depth += 1
        try:
            return evaluate(node, scope)
        except Unknown:
            raise
        except Exception as error:  # it would fail, on this version or as it is understood here
            raise Unknown from error
        finally:
            self._depth -= 1

    def _constant(self, node: ast.Constant, scope: Scope) -> Any:
        return node.value

    def _tuple(self, node: ast.Tuple | ast.List, scope: Scope) -> Any:
        return tuple(self.value(item, scope) for item in node.elts)

    def _list(self, node: ast.List, scope: Scope) -> Any:
        return list(self._tuple(node, scope))

    def _slice(self, node: ast.Slice, scope: Scope) -> slice:
        return slice(*(part and self.value(part, scope) for part in (node.lower, node.upper, node.step)))

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        return self.value(node.value, scope)[self.value(node.slice, scope)]

    def _generatorexp(self, node: ast.GeneratorExp | ast.ListComp, scope: Scope) -> Any:
        (loop,) = node.generators
        if loop.ifs or not isinstance(loop.target, ast.Name):
            raise Unknown
        name, items = loop.target.id, self.value(loop.iter, scope)
        return [self.value(node.elt, scope.inside({name: item})) for item in items]

    _listcomp = _generatorexp

    def _unaryop(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self.value(node.operand, scope)
        return not value if isinstance(node.op, ast.Not) else _OPERATORS[type(node.op)](value)

    def _compare(self, node: ast.Compare, scope: Scope) -> bool:
        left = self.value(node.left, scope)
        for sign, right_node in zip(node.ops, node.comparators):
            right = self.value(right_node, scope)
            if not _OPERATORS[type(sign)](left, right):
                return False
            left = right
        return True

    def _boolop(self, node: ast.BoolOp, scope: Scope) -> bool:
        """One operand that is known can decide, whatever the others are."""
        deciding, unknown = isinstance(node.op, ast.Or), False
        for operand in node.values:
            try:
                if bool(self.value(operand, scope)) is deciding:
                    return deciding
            except Unknown:
                unknown = True
        if unknown:
            raise Unknown
        return not deciding

    def _name(self, node: ast.Name, scope: Scope) -> Any:
        at, bound = scope.find(node.id)
        if node.id in at.values:
            return at.values[node.id]
        if not bound and node.id in _BUILTINS:
            return _BUILTINS[node.id]
        if len(bound) == 1 and isinstance(bound[0], ast.expr):
            return self.value(bound[0], at)
        return self._outside(node, scope)

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        try:
            return self._outside(node, scope)
        except Unknown:
            if node.attr not in _FIELDS:
                raise
            return getattr(self.value(node.value, scope), node.attr)

    def _outside(self, node: ast.expr, scope: Scope) -> Any:
        """The value of a name that stands for something in another module."""
        name = scope.imported(node)
        if name is None:
            raise Unknown
        if name.dotted in ("torch.__version__", "torch.torch_version.__version__"):
            return TorchVersion(self._installed())
        if name.dotted == "torch.version.__version__":
            return self._installed()
        at, bound = self._scopes.definition(name)
        if at is not None:
            if len(bound) == 1 and isinstance(bound[0], (ast.expr, Import)):
                return self.value(ast.Name(name.last, ast.Load()), at)
            raise Unknown
        return self._told(name.last)

    def _installed(self) -> str:
        if self._torch is None:
            raise Unknown
        return self._torch

    def _told(self, name: str) -> bool:
        told = _TELLING.fullmatch(name)
        if not told:
            raise Unknown
        return _compared(self._installed(), ">=", ".".join(filter(None, told.groups())))

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in _METHODS:
            arguments = [self.value(argument, scope) for argument in node.args]
            return getattr(self.value(function.value, scope), function.attr)(*arguments)
        name = scope.imported(function)
        definition = self._scopes.function(function, scope)
        if definition is not None:
            returned, takes, at = definition
            given = {argument: self.value(value, scope) for argument, value in zip(takes, node.args)}
            if len(takes) == len(node.args) and not node.keywords:
                return self.value(returned, at.inside(given))
        last = name.last if name else getattr(function, "id", "")
        arguments = [self.value(argument, scope) for argument in node.args]
        if last == "version" and arguments == ["torch"]:  # importlib.metadata's
            return self._installed()
        if last in _MAKERS or last in _BUILTINS:
            return (_MAKERS.get(last) or _BUILTINS[last])(*arguments)
        if helper := HELPERS.get(last.lstrip("_")):
            return helper(self._installed(), *arguments)
        return self._told(last)
