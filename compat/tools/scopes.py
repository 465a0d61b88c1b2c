"""Find the values of names in Python source, in their own module and in the modules that it imports from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UNPARSABLE

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    """Something in another module: `dotted` begins with dots where the import is relative."""

    dotted: str
    folder: Path  # of the importing file

    @property
    def module(self) -> str:
        stem, dot, _ = self.dotted.rpartition(".")
        return stem if stem.strip(".") else stem + dot

    @property
    def last(self) -> str:
        return self.dotted.rpartition(".")[2]


Bound = ast.AST | Import


class Scope:
    """The names of a module, class or function. A name that is bound in more than one place has no single value."""

    def __init__(self, node: ast.AST, folder: Path, outer: Scope | None = None) -> None:
        self.folder, self.of_class = folder, isinstance(node, ast.ClassDef)
        # The names of a class are not seen in its methods.
        self.outer: Scope | None = outer.outer if outer and outer.of_class and isinstance(node, _FUNCTIONS) else outer
        self._sure = True
        self.values: dict[str, Any] = {}  # of names that stand for a value by now: arguments of a call looked into
        self.bound: dict[str, list[Bound]] = {}
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            self._collect(node.args)
        body = getattr(node, "body", [])
        for statement in body if isinstance(body, list) else [body]:
            # In a module, what is bound under an `if` may come from elsewhere: `if TYPE_CHECKING:` and a `__getattr__`.
            self._sure = isinstance(node, _FUNCTIONS) or not isinstance(statement, ast.If)
            self._collect(statement)

    def inside(self, values: dict[str, Any]) -> Scope:
        """A scope within this one where these names have these values."""
        inner = Scope(ast.Module([], []), self.folder, self)
        inner.values = values
        return inner

    def find(self, name: str) -> tuple[Scope, list[Bound]]:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values or name in scope.bound:
                return scope, scope.bound.get(name, [])
            scope = scope.outer
        return self, []

    def imported(self, node: ast.AST) -> Import | None:
        """Return the meaning of a (dotted) name, if it is something in another module."""
        if isinstance(node, ast.Attribute):
            base = self.imported(node.value)
            return base and Import(f"{base.dotted}.{node.attr}", base.folder)
        if not isinstance(node, ast.Name):
            return None
        _, bound = self.find(node.id)
        found = [binding for binding in bound if isinstance(binding, Import)]
        # Alternatives as in `try: from importlib.metadata import version` are one thing if they end in one name.
        if len(found) == len(bound) and len({binding.last for binding in found}) == 1:
            return found[0]
        return None

    def _bind(self, name: str, to: Bound) -> None:
        self.bound.setdefault(name, []).append(to)

    def _collect(self, node: ast.AST) -> None:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self._bind(node.name, node)
            for within in ast.walk(node) if self.outer is None else ():
                if isinstance(within, ast.Global):  # a function that assigns to a global binds it once more
                    self._collect(within)
            return
        inside = list(ast.iter_child_nodes(node))
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target for target in targets if isinstance(target, ast.Name)]
            for name in names:
                self._bind(name.id, node.value if self._sure else ast.Pass())
            inside = [child for child in inside if child not in names]
        for bound, to in self._bindings(node):
            self._bind(bound, to)
        for child in inside:
            self._collect(child)

    def _bindings(self, node: ast.AST) -> Iterator[tuple[str, Bound]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or name, Import(name, self.folder)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                dotted = f"{module}{alias.name}" if module.endswith(".") else f"{module}.{alias.name}"
                yield alias.asname or alias.name, Import(dotted, self.folder)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, ast.Pass()  # bound, to no expression that we know
        elif isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, node
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from ((name, node) for name in node.names for _ in range(2))


class Scopes:
    """The module scopes of an engine's files, read as they are asked for."""

    def __init__(self) -> None:
        self._read: dict[Path, Scope | None] = {}

    def of(self, path: Path, tree: ast.Module) -> Scope:
        return self._read.setdefault(path, Scope(tree, path.resolve().parent)) or Scope(tree, path.resolve().parent)

    def definition(self, name: Import) -> tuple[Scope | None, list[Bound]]:
        """Find the module that `name` is imported from, and its bindings there; None: out of reach."""
        path = _located(name.module, name.folder)
        if path is None:
            return None, []
        if path not in self._read:
            try:
                self._read[path] = Scope(ast.parse(path.read_bytes()), path.parent)
            except (OSError, *UNPARSABLE):
                self._read[path] = None
        scope = self._read[path]
        return scope, scope.bound.get(name.last, []) if scope else []

    def function(self, node: ast.AST, scope: Scope) -> tuple[ast.expr, list[str], Scope] | None:
        """If `node` names a function that only returns an expression: that, its parameters and its module."""
        at, bound = scope.find(node.id) if isinstance(node, ast.Name) else (scope, [])
        name = scope.imported(node)
        for _ in range(5):  # through modules that hand a name on
            if name is None:
                break
            found, bound = self.definition(name)
            at, name = found or at, bound[0] if len(bound) == 1 and isinstance(bound[0], Import) else None
        function = bound[0] if len(bound) == 1 else None
        if not isinstance(function, ast.FunctionDef) or not all(map(_caches, function.decorator_list)):
            return None
        documented = isinstance(function.body[0], ast.Expr) and isinstance(function.body[0].value, ast.Constant)
        body = function.body[1:] if documented else function.body
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            return None
        return body[0].value, [argument.arg for argument in function.args.args], at


def _caches(decorator: ast.expr) -> bool:
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(name, "attr", getattr(name, "id", "")) in ("cache", "lru_cache")


@lru_cache(maxsize=None)
def _located(module: str, folder: Path) -> Path | None:
    """The file of a module, if it is in the tree of the file in `folder` that imports it."""
    relative = len(module) - len(module.lstrip("."))
    parents = (folder, *folder.parents)
    if relative:
        places, module = parents[relative - 1 : relative], module.lstrip(".")
    else:
        # Its package is among the folders above, or it stands beside the file.
        places = (*(p.parent for p in parents if p.name == module.partition(".")[0]), folder)
    for place in places:
        base = place.joinpath(*module.split(".")) if module else place
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None
