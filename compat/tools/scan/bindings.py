"""Read which names a module or a class of torch binds, from its source text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Scope = ast.Module | ast.ClassDef


class Module:
    """The bindings in the text of one module, without function bodies, because torch's modules are large."""

    def __init__(self, tree: ast.Module, is_stub: bool) -> None:
        self.tree, self.is_stub = tree, is_stub
        nodes = list(ast.walk(tree))
        self.globals = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        stored = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
        # Attributes that are set on a name, as in `self.x = ...` and `Class.x = ...`.
        self.stored = {(n.value.id, n.attr) for n in stored if isinstance(n.value, ast.Name)}
        calls = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        self.is_config = "install_config_module" in calls
        for node in nodes:
            if isinstance(node, Function):
                node.body = []
        self.bound, self.weak, self.stars = bindings(tree)
        # sys.modules[...] = ...: another module or an object takes the place of this module, or of one below it.
        targets = [target for node in ast.walk(tree) for target in getattr(node, "targets", ())]
        replaced = [ast.unparse(target.value) for target in targets if isinstance(target, ast.Subscript)]
        self.replaces_modules = "sys.modules" in replaced
        self.is_dynamic = "__getattr__" in self.bound or "globals" in calls or self.replaces_modules


def signature(arguments: ast.arguments, skip: int = 0) -> str:
    """Format parameters without annotations. A default is written as `...`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    words = [a.arg + ("=..." if i >= required else "") for i, a in enumerate(positional)]
    if arguments.posonlyargs:
        words.insert(len(arguments.posonlyargs), "/")
    words = words[skip:]
    words = words[1:] if words[:1] == ["/"] else words
    if arguments.vararg or arguments.kwonlyargs:
        words.append(f"*{arguments.vararg.arg}" if arguments.vararg else "*")
    words += [a.arg + ("=..." if d else "") for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    words += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return f"({', '.join(words)})"


def fields(node: ast.ClassDef, decorator: ast.expr) -> str | None:
    """Format the parameters of a dataclass that has no bases. None if its bases may have fields, too."""
    of_class = _keywords(decorator)
    if node.bases or of_class.get("init") == "False":
        return None
    positional: list[str] = []
    keyword: list[str] = []
    rest = keyword if of_class.get("kw_only") == "True" else positional
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
            continue
        if ast.unparse(statement.annotation).endswith("KW_ONLY"):
            rest = keyword
            continue
        value = statement.value
        options = {"default": ast.unparse(value)} if value else {}
        if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
            options = _keywords(value)
        if options.get("init") != "False":
            has_default = not options.keys().isdisjoint(("default", "default_factory"))
            into = keyword if options.get("kw_only") == "True" else rest
            into.append(ast.unparse(statement.target) + ("=..." if has_default else ""))
    return f"({', '.join([*positional, *(['*'] if keyword else []), *keyword])})"


def _keywords(node: ast.expr) -> dict[str, str]:
    return {one.arg: ast.unparse(one.value) for one in getattr(node, "keywords", ()) if one.arg}


def absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    """Return the absolute name of the module that an import in the module `name` imports from."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *filter(None, [node.module])])


def bindings(scope: Scope) -> tuple[dict[str, list[ast.AST]], set[str], list[ast.ImportFrom]]:
    """Return what a module or class binds, what it may bind, and its star imports.

    Names under `if TYPE_CHECKING:` and annotations without a value are in the second result.
    """
    bound: dict[str, list[ast.AST]] = {}
    weak: set[str] = set()
    stars = []
    for statement, checking in _statements(scope.body, False):
        names = list(_names(statement))
        if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
            stars += [] if checking else [statement]
        elif checking or (isinstance(statement, ast.AnnAssign) and statement.value is None):
            weak.update(names)
        else:
            for name in names:
                bound.setdefault(name, []).append(statement)
        if isinstance(statement, ast.Delete):
            for name in names:
                bound.pop(name, None)
                weak.add(name)
    for name, nodes in bound.items():
        plain = [n for n in nodes if not any("overload" in ast.unparse(d) for d in getattr(n, "decorator_list", ()))]
        bound[name] = plain or nodes
    return bound, weak, stars


def _statements(body: list[ast.stmt], checking: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements of a scope, also nested ones, each with whether it is for type checkers alone."""
    for statement in body:
        yield statement, checking
        if isinstance(statement, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            only = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
            yield from _statements(statement.body, checking or only)
            for handler in getattr(statement, "handlers", []):
                yield from _statements(handler.body, checking)
            for field in ("orelse", "finalbody"):
                yield from _statements(getattr(statement, field, []), checking)


def _names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that one statement binds, without those of nested statements."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names if alias.name != "*")
    elif isinstance(statement, DEFINITIONS):
        yield statement.name
    else:
        targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
        targets += [item.optional_vars for item in getattr(statement, "items", [])]
        for node in (inner for target in filter(None, targets) for inner in ast.walk(target)):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id
