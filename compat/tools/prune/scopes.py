"""Names in Python source: where each is bound, in the scopes of one file."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .tree import COMPREHENSIONS, FUNCTIONS, children, walk

SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda, *COMPREHENSIONS)
CHANGES = frozenset(
    (
        "append", "extend", "insert", "update", "setdefault", "pop", "popitem", "remove", "discard", "add", "clear",
        "sort", "reverse", "__setitem__", "__delitem__", "__ior__", "__iadd__",
    )
)  # fmt: skip

# Functions that change none of their arguments.
KEEPS_CONTENT = frozenset(
    (
        "print", "debug", "info", "warning", "warn", "error", "len", "int", "str", "float", "bool", "tuple", "list",
        "dict", "set", "frozenset", "sorted", "any", "all", "map", "zip", "filter", "sum", "max", "min", "range",
        "enumerate",
        "reversed", "isinstance", "repr", "join", "format", "Version", "parse", "cast", "append", "get", "hasattr",
        "getattr",
    )
)  # fmt: skip

CONTENT, CONTENT_BY_FUNCTION = "its content is changed", "a function changes its content"
_READS_NAMESPACE = frozenset(
    {"exec", "eval", "_LazyModule", "LazyLoader", "OptionalDependencyNotAvailable", "timeit", "FunctionType"}
)

Binding = tuple[str, Any]  # how the name is bound, and the node that binds it


class Store(NamedTuple):
    """A place that sets an attribute: the assignment if it is a plain one, its scope, and the object's name."""

    node: ast.AST | None
    scope: Scope
    owner: str


@dataclass(eq=False)
class Scope:
    """The names that a module, class, function or comprehension binds."""

    node: ast.AST
    module: Module
    outer: Scope | None
    bound: dict[str, list[Binding]] = field(default_factory=dict)
    inner: dict[ast.AST, Scope] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)  # names that are bound from outside, and how
    stars: list[ast.ImportFrom] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)  # by `global` and `nonlocal`
    aliases: dict[str, list[str]] = field(default_factory=dict)  # names that were assigned to a name

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @property
    def body(self) -> list[ast.stmt]:
        found = getattr(self.node, "body", [])
        return found if isinstance(found, list) else []

    def find(self, name: str) -> Scope | None:
        """The scope that a name is looked up in from here, or None for a builtin."""
        return self if name in self.bound else self.enclosing(name)

    def enclosing(self, name: str) -> Scope | None:
        """The scope around this one that binds a name. The names of a class are not seen from within."""
        scope = self.outer
        while scope is not None:
            if name in scope.bound and not scope.is_class:
                return scope
            scope = scope.outer
        return None


@dataclass(eq=False)
class Module:
    """One parsed file."""

    path: Path
    shown: str
    tree: ast.Module
    source: str
    scope: Scope = field(init=False)
    scope_of: dict[ast.AST, Scope] = field(default_factory=dict)
    stores: dict[str, list[Store]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)  # attributes whose content is changed

    def __post_init__(self) -> None:
        self.scope = Scope(self.tree, self, None)
        _Collector(self.scope).statements(self.tree.body)

    @cached_property
    def lines(self) -> list[str]:
        return re.split(r"\r\n|\r|\n", self.source)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return walk(self.tree)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: parent for parent in self.nodes for child in children(parent)}

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that a node is in."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def path_to(self, statement: ast.AST, scope: Scope) -> list[tuple[ast.AST, ast.AST]]:
        """The statements from a scope's body down to this one, each with the node whose block it is in."""
        steps: list[tuple[ast.AST, ast.AST]] = []
        while statement is not scope.node and statement in self.parents:
            parent = self.parents[statement]
            steps.append((parent, statement))
            statement = parent
        return steps[::-1]


class _Collector:
    """Collects what the statements of one scope bind. Each nested scope has a collector of its own."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is not None:
            handler(node)
        else:
            self._children(node)

    def _children(self, node: ast.AST) -> None:
        for child in children(node):
            self.visit(child)

    def bind(self, name: str, how: str, node: ast.AST) -> None:
        if name not in self.scope.declared:  # `global name`: it is bound elsewhere
            self.scope.bound.setdefault(name, []).append((how, node))

    def _nested(self, node: ast.AST) -> _Collector:
        scope = Scope(node, self.scope.module, self.scope)
        self.scope.inner[node] = self.scope.module.scope_of[node] = scope
        return _Collector(scope)

    def _functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.bind(node.name, "def", node)
        for outside in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(outside)
        inside = self._nested(node)
        inside.arguments(node.args)
        inside.statements(node.body)

    _asyncfunctiondef = _functiondef

    def _lambda(self, node: ast.Lambda) -> None:
        inside = self._nested(node)
        inside.arguments(node.args)
        inside.visit(node.body)

    def arguments(self, arguments: ast.arguments) -> None:
        for node in walk(arguments):
            if isinstance(node, ast.arg):
                self.bind(node.arg, "argument", node)

    def _classdef(self, node: ast.ClassDef) -> None:
        self.bind(node.name, "class", node)
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._nested(node).statements(node.body)

    def _listcomp(self, node: ast.ListComp) -> None:
        self.visit(node.generators[0].iter)
        inside = self._nested(node)
        for child in children(node):
            inside.visit(child)

    _setcomp = _dictcomp = _generatorexp = _listcomp

    def _comprehension(self, node: ast.comprehension) -> None:
        self._target(node.target, "for", node)
        for child in (node.iter, *node.ifs):
            self.visit(child)

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id, "other", node)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target, "other", node)

    def _target(self, target: ast.AST, how: str, node: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, how, node)
        elif isinstance(target, (ast.Tuple, ast.List, ast.Starred)):
            for item in children(target):
                self._target(item, how, node)
        else:
            self._changed(target, node if how == "assign" else None)
            self.visit(target)

    def _changed(self, target: ast.AST, node: ast.AST | None) -> None:
        """`NAMES[key] = value` changes what a name holds, `a.name = value` what an object or a module holds."""
        if isinstance(target, ast.Subscript):
            self._content(target.value)
        if isinstance(target, ast.Subscript) and self._is_namespace(target.value):
            key = target.slice.value if isinstance(target.slice, ast.Constant) else "*"
            if getattr(self.scope.node, "name", "") != "__getattr__":  # called for names that are not bound only
                self._set_by_name(str(key), target.value)
        if isinstance(target, ast.Attribute):
            plain = isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(target.value, ast.Name)
            self._store(target.attr, target.value, node if plain else None)

    def _content(self, node: ast.expr) -> None:
        """Note that the content of what an expression gives is changed."""
        while isinstance(node, ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name):
            self._elsewhere(node.id, CONTENT)
        elif isinstance(node, ast.Attribute):
            self.scope.module.changed.add(node.attr)

    def _store(self, name: str, owner: ast.expr, node: ast.AST | None = None) -> None:
        """Note that an attribute is set; an empty name stands for one that is not known."""
        self.scope.module.stores.setdefault(name, []).append(Store(node, self.scope, ast.unparse(owner)))

    def _is_namespace(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in ("__globals__", "f_globals")
        at_module = self.scope.outer is None
        return ast.unparse(node) in ("globals()", *(("vars()", "locals()") if at_module else ()))

    def _set_by_name(self, name: str, namespace: ast.expr) -> None:
        self.scope.module.scope.elsewhere.setdefault(name, f"it is set through `{ast.unparse(namespace)}`")

    def _elsewhere(self, name: str, how: str) -> None:
        scope = self.scope.find(name) or self.scope.module.scope
        if scope is not self.scope:
            how = CONTENT_BY_FUNCTION
        for each in (name, *scope.aliases.get(name, ())):
            if scope.elsewhere.setdefault(each, how) == CONTENT:
                scope.elsewhere[each] = how

    def _assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._alias(target, node.value)
        if self._is_namespace(node.value):
            self._set_by_name("*", node.value)
        for target in node.targets:
            self._target(target, "assign", node)

    def _alias(self, target: ast.expr, value: ast.expr) -> None:
        """Note two names of one object, or of what it contains: what changes the one changes the other."""
        values = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        values = list(value.values) if isinstance(value, ast.Dict) else values
        names = [each.id for each in values if isinstance(each, ast.Name)]
        if isinstance(target, ast.Name) and names:
            self.scope.aliases.setdefault(target.id, []).extend(names)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._target(node.target, "assign", node)

    def _augassign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self._target(node.target, "augmented", node)

    def _namedexpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        outside = self
        while isinstance(outside.scope.node, COMPREHENSIONS) and outside.scope.outer:
            outside = _Collector(outside.scope.outer)
        outside.bind(node.target.id, "walrus", node)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        self._target(node.target, "for", node)
        self._alias(node.target, node.iter)
        for child in (node.iter, *node.body, *node.orelse):
            self.visit(child)

    _asyncfor = _for

    def _withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._target(node.optional_vars, "other", node)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0], "import", node)

    def _importfrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.scope.stars.append(node)
            else:
                self.bind(alias.asname or alias.name, "import", node)

    def _excepthandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name, "other", node)
        self._children(node)

    def _matchas(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name, "other", node)
        self._children(node)

    _matchstar = _matchas

    def _global(self, node: ast.Global) -> None:
        self.scope.declared.update(node.names)
        for name in node.names:
            self.scope.module.scope.elsewhere[name] = "a function binds it again"

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.declared.update(node.names)
        for name in node.names:
            outer = self.scope.outer
            while outer is not None and name not in outer.bound and outer.outer is not None:
                outer = outer.outer
            if outer is not None:
                outer.elsewhere[name] = "an inner function binds it again"

    def _call(self, node: ast.Call) -> None:
        name = last_name(node)
        if name in ("setattr", "delattr", "__setattr__", "__delattr__") and len(node.args) > 1:
            key = node.args[1 if len(node.args) > 2 or name[0] == "d" else 0]
            owner = node.args[0] if key is not node.args[0] else ast.Name("self", ast.Load())
            self._store(str(key.value) if isinstance(key, ast.Constant) else "", owner)
        elif name == "exec" and (self.scope.outer is None or any(map(self._is_namespace, node.args))):
            self._executed(node)
        elif name == "vars" and node.args:
            self._store("", node.args[0])
        self._given(node)
        if isinstance(node.func, ast.Attribute) and name in CHANGES:
            self._content(node.func.value)
            if self._is_namespace(node.func.value):
                for each in [keyword.arg or "*" for keyword in node.keywords] or ["*"]:
                    self._set_by_name(each, node.func.value)
        self._children(node)

    def _given(self, node: ast.Call) -> None:
        """Note what a call may change: the arguments, and the names of the module if it gets all of them."""
        if last_name(node) in KEEPS_CONTENT:
            return
        for argument in node.args:
            if isinstance(argument, (ast.Name, ast.Attribute, ast.Subscript)):
                self._content(argument)
            if self._is_namespace(argument) and last_name(node) not in _READS_NAMESPACE:
                self._set_by_name("*", argument)

    def _executed(self, node: ast.Call) -> None:
        """`exec` in the namespace of the module: binds what its text binds, or anything if that is not known."""
        text = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        names = re.findall(r"[^\W\d]\w*", text) if isinstance(text, str) else ["*"]
        for name in names:
            self.scope.module.scope.elsewhere.setdefault(name, "`exec` may set it")

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr == "__dict__":
            self._store("", node.value)
        self._children(node)

    def _matchmapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.bind(node.rest, "other", node)
        self._children(node)


def last_name(node: ast.AST) -> str:
    """`c` of `a.b.c(...)`."""
    if isinstance(node, ast.Call):
        node = node.func
    return getattr(node, "attr", getattr(node, "id", ""))
