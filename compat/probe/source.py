"""Reads torch source text. Nothing is executed; the rest is left undecided.

Only plain bindings of a module or class are taken at their word: a `def` or `class`
with decorators of known effect, a literal, an import of a module. A name that is bound
under a condition, by a call or from elsewhere is undecided.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from types import CodeType
from typing import NamedTuple

from ..errors import UNPARSABLE
from .definition import (
    Definition,
    Missing,
    Undecided,
    is_blocked,
    nested,
    parameters_of,
    text_of,
)

_Scope = ast.Module | ast.ClassDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef

# Decorators that return what they got, and decorators that `LiveReader` looks through.
_TRANSPARENT = {
    "compatibility",
    "dataclass",
    "ir_dataclass",
    "staticmethod",
    "classmethod",
    "override",
    "abstractmethod",
    "forbid_in_graph",
}
_WRAPPING = {"contextmanager", "lru_cache", "cache", "wraps", "init_once_fakemode"}
# Expressions whose value is neither a function nor a class, whatever their parts are.
_LITERALS = (
    ast.Constant,
    ast.JoinedStr,
    ast.Tuple,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.Compare,
    ast.BinOp,
    ast.UnaryOp,
)


class _Elsewhere(NamedTuple):
    """Names that a module's text sets outside the scope that they belong to."""

    attributes: frozenset[str]
    globals: frozenset[str]


class SourceReader:
    """Reads torch source text.

    Args:
        read: takes a path below torch's parent folder, such as `torch/fx/graph.py`.
            Returns the text, or None if there is no such file.
        importable: takes the same paths without `.py`. Returns whether Python can
            import the module although it has no source: compiled, or frozen.

    """

    def __init__(
        self,
        read: Callable[[str], str | None],
        importable: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._read, self._importable = read, importable
        self._modules: dict[str, tuple[ast.Module, _Elsewhere]] = {}

    @classmethod
    def installed(cls, root: str) -> SourceReader:
        """Return a reader of the torch whose package folder is `root`."""
        parent = os.path.dirname(root)
        # A frozen program keeps all modules in an archive: no file says anything.
        frozen = not os.path.isfile(os.path.join(root, "__init__.py"))
        return cls(
            lambda path: None if is_blocked(path) else text_of(parent, path),
            lambda path: not is_blocked(path) and (frozen or _importable(parent, path)),
        )

    def find(self, target: str) -> Definition:
        """Return what stands under the target. Raises Missing or Undecided."""
        name, _, path = target.partition(":")
        if "/" in path:
            self._module(name)  # must be there: `LiveReader` imports it
            package = name.partition(".")[0]
            return Definition("file", text=self._read(f"{package}/{path}"))
        module, elsewhere = self._module(name)
        scope: _Scope = module
        node: ast.AST = module
        for part in path.split("."):
            if not isinstance(node, _Scope):
                raise Undecided(f"{target} is set on a value, not defined")
            scope = node
            node = _binding(target, elsewhere, scope, part)
        return _describe(target, module, scope, node)

    def _module(self, name: str) -> tuple[ast.Module, _Elsewhere]:
        if name not in self._modules:
            path = name.replace(".", "/")
            text = self._read(f"{path}.py")
            if text is None:
                text = self._read(f"{path}/__init__.py")
            if text is None and self._importable(path):
                raise Undecided(f"{name} has no readable source")
            if text is None:
                raise Missing(f"{name} does not exist")
            try:
                module = ast.parse(text)
            except UNPARSABLE as error:
                found = f"{name} cannot be parsed by this Python ({error})"
                raise Undecided(found) from error
            self._modules[name] = module, _elsewhere(module)
        return self._modules[name]


def _importable(parent: str, path: str) -> bool:
    """Whether there is a module without source: compiled, unreadable, a namespace."""
    folder, name = os.path.split(os.path.join(parent, *path.split("/")))
    try:
        files = os.listdir(folder)
    except OSError:
        # Not the folder's own fault if a parent is missing; unreadable ones are.
        return os.path.isdir(folder)
    # `name.py` is here as well if it exists but cannot be read.
    return any(file == name or file.startswith(f"{name}.") for file in files)


def _elsewhere(module: ast.Module) -> _Elsewhere:
    # Once a module, not once a name: Inductor's modules are large, and this walk was
    # most of the time of `status`.
    attributes, declared = set[str](), set[str]()
    for node in ast.walk(module):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()):
                attributes.add(name)
            case ast.Global(names=names):
                declared.update(names)
            case ast.Subscript(ast.Call(ast.Name("globals")), ctx=ast.Store()):
                declared.add("*")  # globals()[name] = ...
    return _Elsewhere(frozenset(attributes), frozenset(declared))


def _binding(target: str, elsewhere: _Elsewhere, scope: _Scope, name: str) -> ast.AST:
    """Return the last statement in the scope that binds the name."""
    binding = [statement for statement in scope.body if name in _bound(statement)]
    if isinstance(scope, ast.ClassDef) and name in elsewhere.attributes:
        raise Undecided(f"{target} may be set from outside the class")
    if not binding and elsewhere.globals & {name, "*"}:
        raise Undecided(f"{target} may be set by a function")
    if binding:
        return binding[-1]
    if isinstance(scope, ast.ClassDef) and (
        scope.bases or scope.keywords or scope.decorator_list
    ):
        raise Undecided(f"{target} may be inherited")
    if any("*" in _bound(statement) for statement in scope.body):
        raise Undecided(f"{target} may come from a star import")
    raise Missing(f"{target} does not exist")


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds or deletes in its own scope.

    "*" stands for a star import.
    """
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return set()
    names: set[str] = set()
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            aliases = [alias.asname or alias.name for alias in node.names]
            names |= {name.partition(".")[0] for name in aliases}
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(name := getattr(node, "name", None), str):
            names.add(name)  # def, class, except ... as, case ... as
        if not isinstance(node, (_Function, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return names


def _describe(
    target: str, module: ast.Module, scope: _Scope, node: ast.AST
) -> Definition:
    assigned = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if isinstance(node, ast.Import) or isinstance(assigned, _LITERALS):
        return Definition("value")
    is_definition = isinstance(node, (_Function, ast.ClassDef))
    if not is_definition or getattr(node, "type_params", None):
        found = f"bound in a way ({type(node).__name__}) that does not tell to what"
        raise Undecided(f"{target} is {found}")
    wrapping = _decorators(node) - _TRANSPARENT
    if wrapping - _WRAPPING or (wrapping and isinstance(node, ast.ClassDef)):
        names = ", ".join(sorted(wrapping - _WRAPPING))
        raise Undecided(f"{target} is decorated by {names}")
    if not isinstance(node, _Function):
        return Definition("class")
    code = _compiled(module, scope, node)
    # The code's own names: a class mangles private ones.
    keyword_only = code.co_varnames[code.co_argcount :]
    defaults = zip(keyword_only, node.args.kw_defaults)
    optional = [name for name, default in defaults if default is not None]
    kind = "wrapper" if wrapping or code.co_freevars else "function"
    parameters = parameters_of(code, len(node.args.defaults), optional)
    return Definition(kind, parameters, code)


def _decorators(node: ast.AST) -> set[str]:
    decorators = getattr(node, "decorator_list", [])
    heads = [d.func if isinstance(d, ast.Call) else d for d in decorators]
    return {
        head.attr if isinstance(head, ast.Attribute) else getattr(head, "id", "")
        for head in heads
    }


def _compiled(module: ast.Module, scope: _Scope, node: _Function) -> CodeType:
    """Return the code object as Python would make it, without decorators."""
    fields = {field: getattr(node, field) for field in node._fields}
    bare: ast.stmt = type(node)(**{**fields, "decorator_list": []})
    ast.copy_location(bare, node)
    if isinstance(scope, ast.ClassDef):  # for private names, and for super()
        (around,) = ast.parse(f"class {scope.name}: pass").body
        around.body = [bare]  # type: ignore[attr-defined]
        bare = around
    imports = [s for s in module.body if isinstance(s, ast.ImportFrom)]
    futures = [s for s in imports if s.module == "__future__"]
    tree = ast.Module([*futures, bare], [])
    code = compile(tree, "<torch source>", "exec", dont_inherit=True)
    return next(
        inner
        for inner in nested(code)
        if inner.co_name == node.name and inner.co_firstlineno == node.lineno
    )
