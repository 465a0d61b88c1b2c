"""Read one source file of an engine: which names it uses, and what they stand for."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ...errors import UNPARSABLE

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
# Functions that take an object and the name of one of its attributes.
_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr", "object"})  # the last one is mock.patch.object
# Parameters of mock.patch.multiple. All its other keywords are attributes.
_OF_PATCH = frozenset({"target", "spec", "create", "spec_set", "autospec", "new_callable"})
# Exceptions that an engine catches, or suppresses, if a name may be missing.
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException"})


class Use(NamedTuple):
    """One place where the engine uses a name."""

    name: str
    path: str  # relative to the engine's folder
    line: int
    form: str  # "import", "attribute", "set", "target" (named by a string, as in mock.patch.object) or "string"
    module: str = ""  # for an import: the part of the name that must be a module
    guard: str = ""  # the part of the name that may be missing, because the engine is ready for that


def guard(name: str, ready: Collection[str]) -> str:
    """Return the longest part of a name, or the whole of it, for whose absence the engine is ready, or ""."""
    parts = name.split(".")
    above = (".".join(parts[:end]) for end in range(len(parts), 1, -1))
    return next((one for one in above if one in ready), "")


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
        self._guarded = False
        self.stars: list[str] = []  # the modules of which the file imports every name
        self._scope = self._new_scope(tree, None, tree.body)
        for statement in tree.body:
            self.visit(statement)
        self._guard_tested_names()
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
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            self.stars.append(self._module(node))
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
                    scope.bind(inner.id, _item(target, value, inner))
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
            if name == "torch" and not found:
                found.add("torch")  # a parameter, or the result of a helper that imports it
        return scope.paths[name]

    def _paths(self, node: ast.AST | None) -> set[str]:
        """Return the dotted paths that an expression may stand for; none if it is something else."""
        if isinstance(node, ast.Name):
            scope = self._scope.owner(node.id)
            return self._paths_of(scope, node.id) if scope else self._starred(node.id)
        if isinstance(node, ast.Attribute):
            return {f"{path}.{node.attr}" for path in self._paths(node.value)}
        if isinstance(node, (ast.IfExp, ast.BoolOp)):
            parts = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return set().union(*map(self._paths, parts))
        if isinstance(node, ast.Call):
            return self._result(_last_name(node.func), node)
        if isinstance(node, ast.Subscript) and _is_sys_modules(node.value):
            return {module} if (module := self._string(node.slice)) else set()  # sys.modules["torch._inductor.ir"]
        return set()

    def _starred(self, name: str) -> set[str]:
        """Return the paths of a name that no scope binds. The engine's own star imports may bring it."""
        if name == "torch":
            return {name}
        own = [star for star in self.stars if star.partition(".")[0] != "torch"]  # torch exports too many other names
        return set() if hasattr(builtins, name) else {f"{star}.{name}" for star in own}

    def _result(self, function: str, call: ast.Call) -> set[str]:
        """Return the paths of an attribute or module that a function returns whose name is given as a string."""
        first, second = _arguments(call, "name", "package")
        text = self._string(first)
        if function == "getattr" and (attribute := self._string(second)):
            return {f"{path}.{attribute}" for path in self._paths(first)}
        if function == "import_module" and text:
            dots = len(text) - len(text.lstrip("."))
            base = (self._string(second) or "").split(".") if dots else []
            parts = [*base[: len(base) - dots + 1], *filter(None, text[dots:].split("."))]
            return {".".join(parts)} if all(parts) else set()
        if function == "get" and text and _is_sys_modules(getattr(call.func, "value", None)):
            return {text}
        return set()

    def _string(self, node: ast.AST | None) -> str | None:
        """Return the text of a string, or of a name that is bound to one string only."""
        scope = self._scope.owner(node.id) if isinstance(node, ast.Name) else None
        if scope is not None and isinstance(node, ast.Name) and len(scope.values[node.id]) == 1:
            value = scope.values[node.id][0]
            return _text(value) if isinstance(value, ast.expr) else None
        return _text(node)

    # --- uses -------------------------------------------------------------------------------------------------------

    def _record(self, paths: Iterable[str], node: ast.AST, form: str, module: str = "", guarded: bool = False) -> None:
        ready, line = guarded or self._guarded, getattr(node, "lineno", 0)
        for path in paths:
            if "." in path:
                self.uses.append(Use(path, self._path, line, form, module, path if ready else ""))

    def _guard_tested_names(self) -> None:
        """Mark the uses of a name that the file tests, or imports only in places that are ready for its absence."""
        tests = [use for use in self.uses if use.form in ("import", "target")]
        ready = {use.name for use in tests if use.guard} - {use.name for use in tests if not use.guard}
        self.uses = [use._replace(guard=use.guard or guard(use.name, ready)) for use in self.uses]

    def visit_Try(self, node: ast.Try) -> None:
        handlers = [handler for handler in node.handlers if not isinstance(handler.body[-1], ast.Raise)]
        caught = [_last_name(name) for handler in handlers for name in _exceptions(handler.type)]
        self._visit_guarded(node.body, not _CAUGHT.isdisjoint(caught))
        for child in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(child)

    def visit_With(self, node: ast.With) -> None:
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        suppressed = [_last_name(name) for call in calls if _last_name(call.func) == "suppress" for name in call.args]
        for item in node.items:
            self.visit(item)
        self._visit_guarded(node.body, not _CAUGHT.isdisjoint(suppressed))

    def _visit_guarded(self, body: Iterable[ast.AST], guarded: bool) -> None:
        before, self._guarded = self._guarded, self._guarded or guarded
        for child in body:
            self.visit(child)
        self._guarded = before

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._record([alias.name], node, "import", alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._module(node)
        names = [module if alias.name == "*" else f"{module}.{alias.name}" for alias in node.names]
        self._record(names, node, "import", module)

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
        name, rest = _last_name(node.func), [*node.args, *node.keywords]
        first, second = _arguments(node, "target", "attribute")
        attribute = self._string(second) if name in _BY_NAME else None
        if attribute and attribute.isidentifier():
            if paths := self._paths(first):
                ready = name == "hasattr" or (name == "getattr" and len(node.args) > 2)
                form = "set" if name == "setattr" else "target"
                self._record([f"{path}.{attribute}" for path in paths], node, form, guarded=ready)
                named = (first, second)  # the object itself is no use of its own
                rest = [one for one in rest if getattr(one, "value", None) not in named and one not in named]
        elif name == "import_module" and (modules := self._paths(node)):
            for module in modules:
                self._record([module], node, "string", module)
            rest = []
        elif name == "multiple":
            options = [keyword.arg for keyword in node.keywords if keyword.arg not in _OF_PATCH]
            paths = {path} if (path := self._string(first)) else self._paths(first)
            self._record([f"{path}.{option}" for path in paths for option in options if option], node, "target")
        elif name == "patch" and isinstance(node.func, ast.Attribute):
            self._record(self._config_names(node), node, "target")
        self.visit(node.func)
        for child in rest:
            self.visit(child)

    def _config_names(self, node: ast.Call) -> Iterator[str]:
        """Find the options in `torch._inductor.config.patch(...)`: as keywords, as a first string, as keys."""
        assert isinstance(node.func, ast.Attribute)
        configs = [path for path in self._paths(node.func.value) if path.endswith("config")]
        options = [keyword.arg for keyword in node.keywords]
        for argument in [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg is None)]:
            if isinstance(argument, ast.Dict):
                options += map(self._string, argument.keys)
            elif isinstance(argument, ast.Call) and _last_name(argument.func) == "dict":
                options += [keyword.arg for keyword in argument.keywords]
            else:
                options.append(self._string(argument))
        yield from (f"{config}.{option}" for config in configs for option in options if option)

    def _visit_scope(self, node: ast.AST, body: list[ast.AST]) -> None:
        outer, guarded = self._scope, self._guarded
        self._scope = self._new_scope(node, outer, body)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            self._guarded = False  # it is called later
            for name, default in _defaults(node.args):
                self._scope.bind(name, default)
        for child in body:
            self.visit(child)
        self._scope, self._guarded = outer, guarded

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


def _arguments(call: ast.Call, *names: str) -> list[ast.expr | None]:
    """Return the first arguments of a call, given by position or with these names."""
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    return [call.args[i] if i < len(call.args) else by_name.get(name) for i, name in enumerate(names)]


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    yield from zip((a.arg for a in positional[len(positional) - len(arguments.defaults) :]), arguments.defaults)
    yield from ((a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None)


def _exceptions(node: ast.expr | None) -> list[ast.expr]:
    """Return the exceptions that a handler names. One without names catches every exception."""
    return node.elts if isinstance(node, ast.Tuple) else [node or ast.Name("BaseException")]


def _is_sys_modules(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "modules"


def _item(target: ast.AST, value: ast.expr | None, name: ast.Name) -> ast.expr | None:
    """Return the part of an assigned value that goes to a name in the target, None if it is not known."""
    if name is target:
        return value
    items, values = getattr(target, "elts", []), getattr(value, "elts", [])
    if len(items) != len(values) or any(isinstance(one, ast.Starred) for one in [*items, *values]):
        return None
    return next((one for item, one in zip(items, values) if item is name), None)


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
