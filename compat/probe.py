"""The two ways to answer requirements: about the torch of this process (`Live`), and about torch source text that is
never executed (`Source`).

Both reduce what they read to the same record, `Found`, and the requirement judges that record: so they cannot disagree
about anything but what they read.
"""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple, Protocol

from .patch import unpatched
from .requirements import Found, Parameter, Requirement


class Absent(Exception):
    """The name is not there, with the reason in words."""


class Undecided(Exception):
    """This way of reading cannot tell; the other one may."""


class Answer(NamedTuple):
    requirement: str
    holds: bool | None  # None: undecided
    found: str


class Reader(Protocol):
    def find(self, target: str) -> Found:
        """What stands under `module:qualified.name`; raises Absent or Undecided."""


def answer(requirement: Requirement, reader: Reader) -> Answer:
    """Whether `requirement` holds for what `reader` reads. Never raises for anything torch may look like."""
    try:
        objection = requirement.objection(reader.find(requirement.target))
    except Absent as absent:
        return Answer(str(requirement), False, str(absent))
    except Undecided as undecided:
        return Answer(str(requirement), None, str(undecided))
    return Answer(str(requirement), objection is None, objection or "it does")


class Live:
    """Reads the torch of this process. Imports the modules that it is asked about."""

    def find(self, target: str) -> Found:
        found, _ = self.resolve(target)
        return found

    def resolve(self, target: str) -> tuple[Found, Any]:
        """As `find`, with the object itself."""
        name, _, path = target.partition(":")
        try:
            here: Any = importlib.import_module(name)
        except Exception as error:
            raise Absent(f"{name} cannot be imported ({type(error).__name__}: {error})") from error
        for part in path.split("."):
            # Through the dictionaries, not getattr: a property or a module-level __getattr__ must not run here.
            spaces = here.__mro__ if isinstance(here, type) else (here,)
            owner = next((space for space in spaces if part in getattr(space, "__dict__", ())), None)
            if owner is None:
                raise Absent(f"{target} does not exist")
            here = owner.__dict__[part]
        return self._describe(here), here

    @staticmethod
    def _describe(thing: Any) -> Found:
        if isinstance(thing, type):
            return Found("class")
        inside = thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
        while isinstance(wrapped := getattr(inside, "__dict__", {}).get("__wrapped__"), FunctionType):
            inside = wrapped
        if not isinstance(inside, FunctionType):
            return Found("value")
        kind = "function" if inside is thing and not inside.__closure__ else "wrapper"
        code, defaults = unpatched(inside), inside.__defaults__ or ()
        split, keyword = code.co_argcount, inside.__kwdefaults__ or {}
        names = code.co_varnames[: split + code.co_kwonlyargcount]
        positional = [Parameter(n, "positional", i < split - len(defaults)) for i, n in enumerate(names[:split])]
        named = [Parameter(n, "keyword", n not in keyword) for n in names[split:]]
        rest = bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)  # CO_VARARGS, CO_VARKEYWORDS
        extra = [Parameter(n, "rest", False) for n in code.co_varnames[len(names) : len(names) + rest]]
        return Found(kind, (*positional, *named, *extra), code)


class Source:
    """Reads torch source text; nothing of it is executed. `read` takes a path below torch's parent folder, as in
    `torch/fx/graph.py`, and returns the text, or None where there is no such file."""

    # Decorators that hand back the function they got, so that the name still holds a plain function.
    _TRANSPARENT = frozenset({"compatibility"})

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self._read = read
        self._modules: dict[str, ast.Module] = {}

    @classmethod
    def installed(cls, root: str) -> Source:
        """The torch whose package folder is `root`."""

        def read(path: str) -> str | None:
            try:
                with open(os.path.join(os.path.dirname(root), *path.split("/")), encoding="utf-8") as file:
                    return file.read()
            except (OSError, UnicodeDecodeError):
                return None

        return cls(read)

    def find(self, target: str) -> Found:
        name, _, path = target.partition(":")
        scope: ast.AST = self._module(name)
        for part in path.split("."):
            definitions = list(_definitions(scope, part))
            if not definitions:
                if isinstance(scope, ast.ClassDef) and scope.bases:
                    raise Undecided(f"{target} may be inherited; source text does not tell")
                raise Absent(f"{target} does not exist")
            scope = definitions[-1]  # the last one wins, as it does when the module runs
        return self._describe(target, scope)

    def _module(self, name: str) -> ast.Module:
        if name not in self._modules:
            path = name.replace(".", "/")
            text = next((t for p in (f"{path}.py", f"{path}/__init__.py") if (t := self._read(p)) is not None), None)
            if text is None:
                raise Absent(f"{name} does not exist")
            try:
                self._modules[name] = ast.parse(text)
            except (SyntaxError, ValueError) as error:
                raise Undecided(f"{name} cannot be parsed by this Python ({error})") from error
        return self._modules[name]

    def _describe(self, target: str, node: ast.AST) -> Found:
        if isinstance(node, ast.ClassDef):
            return Found("class")
        if isinstance(node, ast.ImportFrom):
            raise Undecided(f"{target} is imported from {node.module}")
        if not isinstance(node, ast.FunctionDef):
            return Found("value")
        outer = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
        plain = all(isinstance(d, ast.Name) and d.id in self._TRANSPARENT for d in outer)
        takes = node.args
        arguments = [*takes.posonlyargs, *takes.args]
        first_default = len(arguments) - len(takes.defaults)
        positional = [Parameter(a.arg, "positional", i < first_default) for i, a in enumerate(arguments)]
        named = [Parameter(a.arg, "keyword", d is None) for a, d in zip(takes.kwonlyargs, takes.kw_defaults)]
        extra = [Parameter(a.arg, "rest", False) for a in (takes.vararg, takes.kwarg) if a]
        return Found("function" if plain else "wrapper", (*positional, *named, *extra), _compiled(node))


def _definitions(scope: ast.AST, name: str) -> Iterator[ast.AST]:
    """Every statement in `scope` that binds `name`, in order, those under `if`, `try` and `with` included."""
    for node in getattr(scope, "body", []):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name == name:
                yield node
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for block in ("body", "handlers", "orelse", "finalbody"):
                yield from _definitions(ast.Module(getattr(node, block, []), []), name)
        elif isinstance(node, ast.ExceptHandler):
            yield from _definitions(node, name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((alias.asname or alias.name) == name for alias in node.names):
                yield node
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for target in targets for t in ast.walk(target)):
                yield node


def _compiled(node: ast.FunctionDef) -> CodeType:
    """The function's code object, as Python would make it: compiled alone, without its decorators, never run."""
    bare = ast.FunctionDef(**{**{f: getattr(node, f) for f in node._fields}, "decorator_list": []})
    module = ast.Module([ast.copy_location(bare, node)], [])
    code = compile(module, "<torch source>", "exec", dont_inherit=True)
    return next(const for const in code.co_consts if isinstance(const, CodeType) and const.co_name == node.name)
