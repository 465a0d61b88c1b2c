"""Read one source file of an engine: which names it uses, and what they stand for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...errors import UNPARSABLE

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
# Functions that take an object and the name of one of its attributes.
_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr", "object"})  # the last one is mock.patch.object


class Use(NamedTuple):
    """One place where the engine uses a name."""

    name: str
    path: str  # relative to the engine's folder
    line: int
    form: str  # "import", "attribute", "set", "target" (named by a string, as in mock.patch.object) or "string"


class _Scope:
    """The names that one module, class or function binds. A value is a dotted path or an expression."""

    def __init__(self, node: ast.AST, parent: _Scope | None) -> None:
        self.parent = parent
        self.is_class = isinstance(node, ast.ClassDef)
        self.values: dict[str, list[str | ast.expr | None]] = {}
        self.paths: dict[str, set[str]] = {}  # what has been resolved so far
        self.outer: set[str] = set()  # declared global or nonlocal

    def bind(self, name: str, value: str | ast.expr | None) -> None:
        scope = self
        while name in scope.outer and scope.parent is not None:
            scope = scope.parent
        scope.values.setdefault(name, []).append(value)

    def owner(self, name: str) -> _Scope | None:
        """Return the scope in which this scope sees the name. Functions do not see the names of a class around them."""
        scope: _Scope | None = self
        while scope is not None and (name not in scope.values or (scope.is_class and scope is not self)):
            scope = scope.parent
        return scope


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what may bind a name in a scope: its statements, also nested ones, and assignment expressions."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            for field in ("body", "orelse", "finalbody", "handlers", "cases", "generators"):
                inner = getattr(node, field, [])
                todo += inner if isinstance(inner, list) else [inner]  # a list, or the body of an expression
            tests = [getattr(node, field, None) for field in ("test", "value", "subject")]
            yield from (one for test in filter(None, tests) for one in _assignments(test))


def _assignments(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the assignment expressions in the condition or value of a statement."""
    if isinstance(node, ast.NamedExpr):
        yield node
    if isinstance(node, (ast.BoolOp, ast.Compare, ast.UnaryOp, ast.Call, ast.NamedExpr, ast.IfExp)):
        for child in ast.iter_child_nodes(node):
            yield from _assignments(child)


class Reader(ast.NodeVisitor):
    """Collects the uses in one file."""

    def __init__(self, path: str, package: str, tree: ast.Module) -> None:
        self.uses: list[Use] = []
        self._path, self._package = path, package
        self._scope = self._new_scope(tree, None, tree.body)
        for statement in tree.body:
            self.visit(statement)
        paths = {name: self._paths_of(self._scope, name) for name in self._scope.values}
        self.exports = {name: frozenset(found) for name, found in paths.items() if found}

    # --- bindings ---------------------------------------------------------------------------------------------------

    def _new_scope(self, node: ast.AST, parent: _Scope | None, body: Iterable[ast.AST]) -> _Scope:
        scope = _Scope(node, parent)
        inside = list(_statements(body))
        for one in inside:  # first, because these declarations decide where a binding goes
            if isinstance(one, (ast.Global, ast.Nonlocal)):
                scope.outer.update(one.names)
        for one in inside:
            self._bind(scope, one)
        return scope

    def _bind(self, scope: _Scope, node: ast.AST) -> None:
        targets: list[ast.AST | None] = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                scope.bind(alias.asname or top, alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                scope.bind(alias.asname or alias.name, f"{self._module(node)}.{alias.name}")
        elif isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension)):
            targets.append(node.target)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            targets += [item.optional_vars for item in node.items]
        elif isinstance(node, ast.match_case):
            patterns = (inner for inner in ast.walk(node.pattern) if not isinstance(inner, ast.expr))
            targets += [ast.arg(name) for inner in patterns if (name := getattr(inner, "name", None))]
        elif name := getattr(node, "arg", None) or getattr(node, "name", None):
            scope.bind(name, None)  # a parameter, def, class, except ... as
        value = getattr(node, "value", None)
        for target in filter(None, targets):
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    scope.bind(inner.id, value if inner is target else None)
                elif isinstance(inner, ast.arg):
                    scope.bind(inner.arg, None)

    def _module(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self._package.split(".")
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *filter(None, [node.module])])

    # --- what an expression stands for ------------------------------------------------------------------------------

    def _paths_of(self, scope: _Scope, name: str) -> set[str]:
        if name not in scope.paths:
            found = scope.paths[name] = set()  # also for x = x.y, which asks for itself
            before, self._scope = self._scope, scope
            for value in scope.values[name]:
                found |= {value} if isinstance(value, str) else self._paths(value)
            self._scope = before
        return scope.paths[name]

    def _paths(self, node: ast.AST | None) -> set[str]:
        """Return the dotted paths that an expression may stand for; none if it is something else."""
        if isinstance(node, ast.Name):
            scope = self._scope.owner(node.id)
            return self._paths_of(scope, node.id) if scope else set()
        if isinstance(node, ast.Attribute):
            return {f"{path}.{node.attr}" for path in self._paths(node.value)}
        if isinstance(node, (ast.IfExp, ast.BoolOp)):
            parts = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return set().union(*map(self._paths, parts))
        if isinstance(node, ast.Call) and node.args:
            first, name = node.args[0], _last_name(node.func)
            if name == "getattr" and len(node.args) > 1 and (attribute := _text(node.args[1])):
                return {f"{path}.{attribute}" for path in self._paths(first)}
            if name == "import_module" and (module := _text(first)) and not module.startswith("."):
                return {module}
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "modules":
            return {module} if (module := _text(node.slice)) else set()  # sys.modules["torch._inductor.ir"]
        return set()

    # --- uses -------------------------------------------------------------------------------------------------------

    def _record(self, paths: Iterable[str], node: ast.AST, form: str) -> None:
        self.uses += [Use(path, self._path, getattr(node, "lineno", 0), form) for path in paths if "." in path]

    def visit_Import(self, node: ast.Import) -> None:
        self._record([alias.name for alias in node.names], node, "import")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._module(node)
        names = [module if alias.name == "*" else f"{module}.{alias.name}" for alias in node.names]
        self._record(names, node, "import")

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Store):
            self._record(self._paths(node), node, "attribute")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        paths = self._paths(node)
        self._record(paths, node, "set" if isinstance(node.ctx, ast.Store) else "attribute")
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        if not paths or not isinstance(inner, ast.Name):
            self.visit(inner)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            self._record([node.value], node, "string")

    def visit_Call(self, node: ast.Call) -> None:
        name, rest = _last_name(node.func), node.args
        if len(rest) > 1 and name in _BY_NAME and (attribute := _text(rest[1])) and attribute.isidentifier():
            if paths := self._paths(rest[0]):
                form = "set" if name == "setattr" else "target"
                self._record([f"{path}.{attribute}" for path in paths], node, form)
                rest = rest[2:]  # the object itself is no use of its own
        elif name == "patch" and isinstance(node.func, ast.Attribute):
            self._record(self._config_names(node), node, "target")
        self.visit(node.func)
        for child in [*rest, *node.keywords]:
            self.visit(child)

    def _config_names(self, node: ast.Call) -> Iterator[str]:
        """Find the options in `torch._inductor.config.patch(...)`: as keywords, as a first string, as keys."""
        assert isinstance(node.func, ast.Attribute)
        configs = [path for path in self._paths(node.func.value) if path.endswith("config")]
        options = [keyword.arg for keyword in node.keywords]
        for argument in [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg is None)]:
            options += map(_text, argument.keys) if isinstance(argument, ast.Dict) else [_text(argument)]
        yield from (f"{config}.{option}" for config in configs for option in options if option)

    def _visit_scope(self, node: ast.AST, body: list[ast.AST]) -> None:
        outer = self._scope
        self._scope = self._new_scope(node, outer, body)
        for child in body:
            self.visit(child)
        self._scope = outer

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for child in [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(child)
        parameters = [n for n in ast.walk(node.args) if isinstance(n, ast.arg)]
        for annotation in [*(parameter.annotation for parameter in parameters), node.returns]:
            self._visit_annotation(annotation)
        self._visit_scope(node, [*(ast.arg(p.arg) for p in parameters), *node.body])

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        parameters = [ast.arg(n.arg) for n in ast.walk(node.args) if isinstance(n, ast.arg)]
        self._visit_scope(node, [*parameters, node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(child)
        self._visit_scope(node, list(node.body))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_annotation(node.annotation)
        for child in filter(None, [node.target, node.value]):
            self.visit(child)

    def _visit_annotation(self, node: ast.expr | None) -> None:
        """Visit an annotation, also one that is quoted."""
        text = _text(node)
        if node is not None and text is not None:
            try:
                quoted = ast.parse(text.strip(), mode="eval").body
            except UNPARSABLE:
                return
            for inner in ast.walk(quoted):
                ast.copy_location(inner, node)
            node = quoted
        if node is not None:
            self.visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            self._visit_scope(node, list(ast.iter_child_nodes(node)))
        else:
            super().generic_visit(node)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
