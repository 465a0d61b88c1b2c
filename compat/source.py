"""Answering requirements about torch source text. Nothing of it is executed, and what it cannot tell is left undecided.

Only what a module or a class binds outright is taken at its word: a `def` or `class` with decorators whose effect is
known, a literal, an import of a module. A name that is bound under a condition, by a call or from elsewhere is not.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from types import CodeType
from typing import NamedTuple

from .errors import UNPARSABLE
from .probe import parameters_of, text_of
from .requirements import Absent, Found, Undecided, nested

_Scope = ast.Module | ast.ClassDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef

# Decorators that hand back what they got, and decorators behind which `Live` sees the function inside.
_TRANSPARENT = frozenset(
    {"compatibility", "dataclass", "ir_dataclass", "staticmethod", "classmethod", "override", "abstractmethod"}
)
_WRAPPING = frozenset({"contextmanager", "lru_cache", "cache", "wraps"})
# Expressions whose value is neither a function nor a class, whatever their parts are.
_LITERALS = (ast.Constant, ast.JoinedStr, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Compare, ast.BinOp, ast.UnaryOp)


class Source:
    """Reads torch source text. `read` takes a path below torch's parent folder, as in `torch/fx/graph.py`, and returns
    the text, or None where there is no such file."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self._read = read
        self._modules: dict[str, tuple[ast.Module, _Elsewhere]] = {}

    @classmethod
    def installed(cls, root: str) -> Source:
        """The torch whose package folder is `root`."""

        folder = os.path.dirname(root)
        return cls(lambda path: text_of(folder, path))

    def find(self, target: str) -> Found:
        """What stands under `module:qualified.name` or `module:folder/file`; raises Absent or Undecided."""
        name, _, path = target.partition(":")
        if "/" in path:
            return Found("file", text=self._read(f"{name.partition('.')[0]}/{path}"))
        module, elsewhere = self._module(name)
        scope: _Scope = module
        node: ast.AST = module
        for part in path.split("."):
            if not isinstance(node, _Scope):
                raise Undecided(f"{target} is set on a value, not defined")
            scope = node
            node = _bound(target, elsewhere, scope, part)
        return _describe(target, module, scope, node)

    def _module(self, name: str) -> tuple[ast.Module, _Elsewhere]:
        if name not in self._modules:
            path = name.replace(".", "/")
            text = next((t for p in (f"{path}.py", f"{path}/__init__.py") if (t := self._read(p)) is not None), None)
            if text is None:
                raise Absent(f"{name} does not exist")
            try:
                module = ast.parse(text)
            except UNPARSABLE as error:
                raise Undecided(f"{name} cannot be parsed by this Python ({error})") from error
            self._modules[name] = module, _elsewhere(module)
        return self._modules[name]


class _Elsewhere(NamedTuple):
    """The names that a module's text sets elsewhere than where they belong: attributes, and `global` ones."""

    attributes: frozenset[str]
    globals: frozenset[str]


def _elsewhere(module: ast.Module) -> _Elsewhere:
    # Once a module, not once a name: Inductor's modules are large, and the walk was most of the time `status` took.
    nodes = [node for node in ast.walk(module) if isinstance(node, (ast.Attribute, ast.Global))]
    attributes = {n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    declared = {name for n in nodes if isinstance(n, ast.Global) for name in n.names}
    return _Elsewhere(frozenset(attributes), frozenset(declared))


def _bound(target: str, elsewhere: _Elsewhere, scope: _Scope, name: str) -> ast.AST:
    """The last statement in `scope` that binds `name`."""
    binding = [statement for statement in scope.body if name in _binds(statement)]
    if isinstance(scope, ast.ClassDef) and name in elsewhere.attributes:
        raise Undecided(f"{target} may be set from outside the class")
    if not binding and name in elsewhere.globals:
        raise Undecided(f"{target} may be set by a function")
    if binding:
        return binding[-1]
    if isinstance(scope, ast.ClassDef) and (scope.bases or scope.keywords or scope.decorator_list):
        raise Undecided(f"{target} may be inherited")
    if any("*" in _binds(statement) for statement in scope.body):
        raise Undecided(f"{target} may come from a star import")
    raise Absent(f"{target} does not exist")


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement binds or deletes in its own scope; "*" for a star import."""
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return set()
    names: set[str] = set()
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(name := getattr(node, "name", None), str):  # def, class, except ... as, case ... as
            names.add(name)
        if not isinstance(node, (_Function, ast.ClassDef, ast.Lambda, ast.Import, ast.ImportFrom)):
            todo += ast.iter_child_nodes(node)
    return names


def _describe(target: str, module: ast.Module, scope: _Scope, node: ast.AST) -> Found:
    if isinstance(node, ast.Import) or (
        isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, _LITERALS)
    ):
        return Found("value")
    if not isinstance(node, (_Function, ast.ClassDef)) or getattr(node, "type_params", None):
        raise Undecided(f"{target} is bound in a way ({type(node).__name__}) that does not tell to what")
    heads = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    wrapping = {h.attr if isinstance(h, ast.Attribute) else getattr(h, "id", "") for h in heads} - _TRANSPARENT
    if wrapping - _WRAPPING or (wrapping and isinstance(node, ast.ClassDef)):
        raise Undecided(f"{target} is decorated by {', '.join(sorted(wrapping - _WRAPPING))}")
    if isinstance(node, ast.ClassDef):
        return Found("class")
    code = _compiled(module, scope, node)
    keyword_only = code.co_varnames[code.co_argcount :]  # as the class that they stand in mangles them
    optional = [name for name, default in zip(keyword_only, node.args.kw_defaults) if default is not None]
    kind = "wrapper" if wrapping or code.co_freevars else "function"
    return Found(kind, parameters_of(code, len(node.args.defaults), optional), code)


def _compiled(module: ast.Module, scope: _Scope, node: _Function) -> CodeType:
    """The function's code object as Python would make it: compiled alone, without decorators, never run."""
    bare: ast.stmt = type(node)(**{**{f: getattr(node, f) for f in node._fields}, "decorator_list": []})
    ast.copy_location(bare, node)
    if isinstance(scope, ast.ClassDef):  # for private names, and for super()
        (around,) = ast.parse(f"class {scope.name}: pass").body
        around.body = [bare]  # type: ignore[attr-defined]
        bare = around
    futures = [s for s in module.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    code = compile(ast.Module([*futures, bare], []), "<torch source>", "exec", dont_inherit=True)
    return next(c for c in nested(code) if c.co_name == node.name and c.co_firstlineno == node.lineno)
