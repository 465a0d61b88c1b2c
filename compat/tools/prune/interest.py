"""Mark the places of a file that may read torch's version, by the names in them: they are worth evaluating.

Too much is marked rather than too little. Whether a marked expression depends on the version is found by evaluating it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import islice

from . import prior
from .known_functions import FUNCTIONS as KNOWN
from .scopes import Module, Scope, last_name
from .tree import FUNCTIONS, children, statements, walk

_ASKERS = re.compile(r"(?i)version|distribution|require|compare|implement_for|import|spec|module|package|get")
_REQUIREMENT = re.compile(r"\s*torch\s*([<>=!~]|$)")
_COMPARERS = re.compile(r"(?i)version|compare|at_least|newer|older|check")
_LONGEST = 30  # statements of a function that may be a helper
_STATEMENTS = (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.AugAssign)

Key = tuple["Scope | None", str]  # a name and the scope that binds it; None for an attribute
Maker = tuple[set[Key], list[ast.expr]]  # names, and the expressions that they are made of


class Interest:
    """The names of one file that tell of torch's version, and the nodes in which one of them occurs."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.names: set[Key] = set()
        self._aliases = {"torch"}
        self.readers: set[ast.AST] = set()  # nodes that read the version themselves
        self._asks_source: set[ast.AST] = set()  # nodes that read attributes of torch
        self._keys: dict[ast.AST, Key] = {}
        self._seen: dict[Key, list[ast.AST]] = {}
        self._imported: list[tuple[str, Key]] = []  # names as other files offer them, and as they are bound here
        self._origins: dict[Key, str] = {}  # names that are imported under another one
        self._modules: set[str] = set()
        self._handed_on: set[str] = set()  # names that a star import may bring, for other files
        self._maker_of: dict[ast.AST, list[Maker]] = {}  # by the expressions that names are made of
        self._followed: set[Key] = set()
        self._collect(module.tree, module.scope)
        self.readers |= {
            node
            for key, nodes in self._seen.items()
            if key[1] == "__version__"
            for node in nodes
            if self._is_torch(node)
        }
        self._own_tokens = [*self.readers]
        # Modules that are imported here, and those named as `package.module.FLAG`.
        self._named = self._modules | {name for scope, name in self._seen if scope is None}
        self._telling = {key for key in self._seen if _tells(key[1])}
        self._telling |= {key for name, key in self._imported if _tells(name)}

    def _collect(self, tree: ast.AST, scope: Scope) -> None:
        todo: list[tuple[ast.AST, Scope]] = [(tree, scope)]
        while todo:
            node, scope = todo.pop()
            self._visit(node, scope)
            inner = self.module.scope_of.get(node)
            for child in children(node):
                outside = inner is None or (isinstance(node, FUNCTIONS) and child in node.decorator_list)
                todo.append((child, scope if outside or inner is None else inner))

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Name):
            self._key(node, (scope.find(node.id) or self.module.scope, node.id))
        elif isinstance(node, ast.Attribute):
            self._key(node, (None, node.attr))
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, scope)
        elif isinstance(node, FUNCTIONS):
            self._defaults(node)
            names: set[Key] = {(scope, node.name)} | ({(None, node.name)} if scope.is_class else set())
            self._made(names, list(_returned(node)))
        elif isinstance(node, ast.If):
            for each in (*node.body, *node.orelse):
                if isinstance(each, (ast.Assign, ast.AnnAssign)) and isinstance(each.value, ast.Constant):
                    self._made(self._targets(each, scope), [node.test])
        if isinstance(node, _STATEMENTS) and node.value is not None:
            self._made(self._targets(node, scope), [node.value])

    def _defaults(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Note parameters as made of their default values."""
        takes, inner = node.args, self.module.scope_of.get(node)
        positional = [*takes.posonlyargs, *takes.args]
        pairs = [*zip(positional[::-1], takes.defaults[::-1]), *zip(takes.kwonlyargs, takes.kw_defaults)]
        for parameter, default in pairs:
            if inner is not None and default is not None:
                self._made({(inner, parameter.arg)}, [default])

    def _made(self, names: set[Key], made_of: list[ast.expr]) -> None:
        for each in made_of:
            self._maker_of.setdefault(each, []).append((names, made_of))

    def _key(self, node: ast.AST, key: Key) -> None:
        self._keys[node] = key
        self._seen.setdefault(key, []).append(node)

    def _targets(self, node: ast.AST, scope: Scope) -> set[Key]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]
        inside = [each for target in targets for each in walk(target)]
        attributes: set[Key] = {(None, each.attr) for each in inside if isinstance(each, ast.Attribute)}
        names = {each.id for each in inside if isinstance(each, ast.Name)}
        if attributes:
            return attributes
        found: set[Key] = {(scope.find(name) or self.module.scope, name) for name in names}
        return found | {(None, name) for name in names if scope.is_class}

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._modules |= set(alias.name.split("."))
            if isinstance(node, ast.Import):
                self._aliases |= {name} if alias.name == "torch" else set()
                continue
            self._imported.append((alias.name, (scope, name)))
            self._origins[scope, name] = alias.name
            from_torch = not node.level and (node.module or "").partition(".")[0] == "torch"
            if from_torch and alias.name == "__version__":
                self.names.add((scope, name))
            elif from_torch and alias.name in ("version", "torch_version"):
                self._aliases.add(name)

    def _is_torch(self, node: ast.AST) -> bool:
        inside = walk(node)
        names = {each.id for each in inside if isinstance(each, ast.Name)}
        constants = {each.value for each in inside if isinstance(each, ast.Constant)}
        return bool(names & self._aliases or "torch" in constants or any(re.fullmatch("_*torch_?", n) for n in names))

    def _call(self, node: ast.Call) -> None:
        """`version("torch")`, `RequirementCache("torch>=2.4")`, `getattr(torch, "__version__")`."""
        name = last_name(node)
        given = (*node.args, *(keyword.value for keyword in node.keywords))
        texts = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if name in ("hasattr", "getattr") and node.args:
            roots = {each.id for each in walk(node.args[0]) if isinstance(each, ast.Name)}
            if roots & self._aliases or "torch" in roots:
                (self.readers if "__version__" in texts else self._asks_source).add(node)
        elif "torch" in texts or (any(map(_REQUIREMENT.match, texts)) and _ASKERS.search(name)):
            self.readers.add(node)

    def grow(self, offered: dict[str, set[str]]) -> bool:
        """Adds the names that other files offer, and those that are made of known ones. Whether there are new ones."""
        before = len(self.names)
        self.names |= self._telling
        self.names |= {key for name, key in self._imported if name in offered}
        self.names |= {(None, name) for name, places in offered.items() if places & self._named}
        if self.module.scope.stars:
            self._handed_on = set(offered)
            self.names |= {key for name in offered if (key := (self.module.scope, name)) in self._seen}
        self._follow()
        return len(self.names) > before

    def _follow(self) -> None:
        """Add the names that are made of known ones: only what new names and nodes occur in is looked at again."""
        tokens, self._own_tokens = self._own_tokens, []
        while (new := self.names - self._followed) or tokens:
            self._followed |= new
            tokens += [node for key in new for node in self._seen.get(key, ())]
            touched = {id(maker): maker for node in tokens for maker in self._makers_around(node)}
            for bound, made_of in touched.values():
                if not bound <= self.names and any(map(self._tells_version, made_of)):
                    self.names |= bound
            tokens = []

    def _makers_around(self, node: ast.AST) -> Iterator[Maker]:
        """Yield the makers that a node is a part of."""
        each: ast.AST | None = node
        while each is not None and not isinstance(each, ast.stmt):
            yield from self._maker_of.get(each, ())
            each = self.module.parents.get(each)

    @property
    def offers(self) -> set[str]:
        """The names that other files may import."""
        own = {name for scope, name in self.names if scope is self.module.scope and name in scope.bound}
        return own | self._handed_on

    def marked(self, asks_source: bool) -> set[ast.AST]:
        """The nodes that read the version or name something that tells of it, with all nodes around them."""
        found: set[ast.AST] = set()
        tokens = [*self.readers, *(node for key in self.names for node in self._seen.get(key, []))]
        for node in [*tokens, *(self._asks_source if asks_source else ())]:
            each: ast.AST | None = node
            while each is not None and each not in found:
                found.add(each)
                each = self.module.parents.get(each)
        return found

    def _tells_version(self, node: ast.AST | None) -> bool:
        """Whether the value of an expression may be the version, a part of it, or the outcome of a comparison."""
        tells = self._tells_version
        if node in self.readers:
            return True
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._keys[node] in self.names or (isinstance(node, ast.Attribute) and tells(node.value))
        if isinstance(node, ast.Call):
            return self._call_tells(node)
        if isinstance(node, ast.Compare):
            return tells(node.left) or any(map(tells, node.comparators))
        if isinstance(node, (ast.BoolOp, ast.JoinedStr)):
            return any(map(tells, node.values))
        if isinstance(node, (ast.Tuple, ast.List)):
            return any(map(tells, node.elts))
        if isinstance(node, ast.IfExp):
            plain = all(isinstance(each, ast.Constant) or tells(each) for each in (node.body, node.orelse))
            return plain and any(map(tells, (node.test, node.body, node.orelse)))
        if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
            return tells(node.generators[0].iter)
        if isinstance(node, ast.BinOp):
            return tells(node.left) or tells(node.right)
        if isinstance(node, ast.UnaryOp):
            return tells(node.operand)
        inner = (ast.Subscript, ast.NamedExpr, ast.Starred, ast.FormattedValue)
        return isinstance(node, inner) and tells(node.value)

    def _call_tells(self, node: ast.Call) -> bool:
        if self._keys.get(node.func) in self.names:
            return True
        if isinstance(node.func, ast.Attribute) and self._tells_version(node.func.value):
            return True
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        name = self._origins.get(self._keys[node.func], "") if isinstance(node.func, ast.Name) else ""
        name = name or last_name(node)
        if name in KNOWN or _COMPARERS.search(name):
            return any(map(self._tells_version, given))
        return any(each in self.readers or (_is_version(each) and self._tells_version(each)) for each in given)


def _is_version(node: ast.expr) -> bool:
    return "version" in last_name(node).lower()


def _tells(name: str) -> bool:
    return prior.tells(name) or prior.flag(name) is not None


def _returned(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the results of a function, and the conditions under which it returns a constant."""
    inside = list(islice(statements(node), _LONGEST + 1))
    if len(inside) > _LONGEST:
        return
    for each in inside:
        if isinstance(each, ast.Return) and each.value is not None:
            yield each.value
        elif isinstance(each, ast.If) and any(map(_returns_constant, (*each.body, *each.orelse))):
            yield each.test


def _returns_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and node.value.value is not None
