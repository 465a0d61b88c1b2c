"""Definitions and imports that nothing uses any more once the dead lines are gone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .dead import actions_in, has_effect
from .gates import Gate
from .index import Index
from .scopes import Module
from .sieve import words_of
from .tree import FUNCTIONS, children, span, walk

_MOST_FILES = 5  # a name that more files without dead lines have is used somewhere
_IMPORTS = rb"from\s+[\w.]*?\b(%b)\s+import\s+(\([^)]*\)|[^\n]*)"
Spans = dict[Path, list[tuple[int, int]]]


@dataclass(eq=False)
class Unused:
    """One definition or imported name that only dead lines use."""

    module: Module
    node: ast.stmt
    name: str
    kind: str  # "definition", "method" or "import"
    breaks: list[str] = field(default_factory=list)  # imports of it elsewhere, which would fail

    @property
    def span(self) -> tuple[int, int]:
        return self.node.lineno, self.node.end_lineno or self.node.lineno


def unused(index: Index, gates: list[Gate]) -> list[Unused]:
    """Find the definitions and imports that only dead lines use, or that are unused in turn.

    A name counts as used wherever it occurs, whatever it stands for there, and as a string: too much is kept, never
    too little. An import is a use where it offers the name to others: in an `__init__.py`.
    """
    constant = [gate for gate in gates if gate.constant is not None]
    if not constant:
        return []
    return _Search(index, constant).found()


class _Search:
    def __init__(self, index: Index, gates: list[Gate]) -> None:
        self.index, self.gates = index, gates
        self.dead: dict[Path, set[ast.AST]] = {}  # nodes that are gone
        for gate in gates:
            gone = self.dead.setdefault(gate.module.path, set())
            gone.update(walk(gate.node))
            gone.update(_dead_nodes(gate))
        names = {name for path in self.dead for node in self.dead[path] for name in _names(node)}
        self.files = self._files(_closed(names, [gate.module for gate in gates]))

    def found(self) -> list[Unused]:
        used: dict[str, list[tuple[Path, ast.AST]]] = {}
        for path, module in self.files.items():
            for name, node in uses(module.tree, path):
                used.setdefault(name, []).append((path, node))
        left = [one for module in self.files.values() for one in _definitions(module)]
        found: list[Unused] = []
        grown = True
        while grown:
            grown = False
            for one in list(left):
                if self._is_unused(one, used):
                    left.remove(one)
                    found.append(one)
                    self.dead.setdefault(one.module.path, set()).update(_part(one))
                    grown = True
        for one in found:
            one.breaks = [] if one.kind == "import" else self._breaks(one, found)
        return sorted(found, key=lambda one: (one.module.shown, one.span))

    def _files(self, names: set[str]) -> dict[Path, Module]:
        """The parsed files that may use or define one of the names; a name that many files have is used."""
        holders: dict[str, list[Path]] = {}
        wanted, stems = {name.encode() for name in names}, {_place(path).encode() for path in self.dead}
        imports = re.compile(_IMPORTS % b"|".join(map(re.escape, sorted(stems))))
        self.offered: set[tuple[str, str]] = set()  # names that some file imports from a module of this name
        for path in self.index.files:
            text = self.index.text(path)
            words = words_of(text)
            if words & stems and words & wanted:
                for place, imported in imports.findall(text):
                    self.offered |= {(place.decode(), name.decode()) for name in words_of(imported)}
            if path not in self.dead:
                for word in words & wanted:
                    holders.setdefault(word.decode(), []).append(path)
        self.busy = {name for name, paths in holders.items() if len(paths) > _MOST_FILES}
        files = {path for name, paths in holders.items() if name not in self.busy for path in paths} | set(self.dead)
        self.names = names
        return {path: module for path in sorted(files) if (module := self.index.module(path)) is not None}

    def _is_unused(self, one: Unused, used: dict[str, list[tuple[Path, ast.AST]]]) -> bool:
        if one.name not in self.names or (one.kind != "import" and one.name in self.busy):
            return False
        own = set(_part(one))
        here = [(path, node) for path, node in used.get(one.name, ()) if node not in own]
        if one.kind == "import":
            here = [(path, node) for path, node in here if path == one.module.path]
        if any(node not in self.dead.get(path, ()) for path, node in here):
            return False
        meant = any(self._may_mean(one, path, node) for path, node in here)
        return meant and (one.kind != "import" or not self._is_offered(one))

    def _may_mean(self, one: Unused, path: Path, node: ast.AST) -> bool:
        """Whether a use may be one of this definition, and not of another with its name."""
        if path == one.module.path:
            return True
        bound = self.files[path].scope.bound.get(one.name, [])
        return one.kind == "definition" and (
            isinstance(node, ast.Attribute) or any(how == "import" for how, _ in bound)
        )

    def _is_offered(self, one: Unused) -> bool:
        """Whether another file imports the name from this one."""
        return (_place(one.module.path), one.name) in self.offered

    def _imports(self, one: Unused) -> Iterator[tuple[Module, ast.ImportFrom]]:
        stem = _place(one.module.path)
        for module in self.files.values():
            for node in module.nodes if module is not one.module else ():
                if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in (stem, ""):
                    yield from ((module, node) for alias in node.names if alias.name == one.name)

    def _breaks(self, one: Unused, found: list[Unused]) -> list[str]:
        gone = {(each.module, each.node, each.name) for each in found if each.kind == "import"}
        return [
            f"{module.shown}:{node.lineno}"
            for module, node in self._imports(one)
            if not any((module, node, alias.asname or alias.name) in gone for alias in node.names)
        ]


def _place(path: Path) -> str:
    """The last part of a module's name."""
    return path.parent.name if path.stem == "__init__" else path.stem


def _closed(names: set[str], modules: Iterable[Module]) -> set[str]:
    """The names, with those that definitions of these names use in turn."""
    bodies = [
        (one.name, {name for node in walk(one.node) for name in _names(node)})
        for module in dict.fromkeys(modules)
        for one in _definitions(module)
        if one.kind != "import"
    ]
    grown = True
    while grown:
        grown = False
        for name, inside in bodies:
            if name in names and not inside <= names:
                names |= inside
                grown = True
    return names


def _part(one: Unused) -> list[ast.AST]:
    return walk(one.node)


def _dead_nodes(gate: Gate) -> Iterator[ast.AST]:
    """The nodes in the dead lines of a gate; of an expression, the part that is never evaluated."""
    if not gate.whole_lines:
        parent = gate.module.parents.get(gate.node)
        while parent is not None and not isinstance(parent, (ast.IfExp, ast.If)):
            parent = gate.module.parents.get(parent)
        if isinstance(parent, ast.IfExp):
            yield from walk(parent.orelse if gate.constant else parent.body)
        elif isinstance(parent, ast.If):
            for statement in parent.orelse if gate.constant else parent.body:
                yield from walk(statement)
        return
    for first, last in gate.dead:
        yield from _between(gate.module.tree, first, last)


def _between(node: ast.AST, first: int, last: int) -> Iterator[ast.AST]:
    """The nodes below a node that start in these lines."""
    for child in children(node):
        if hasattr(child, "lineno"):
            low, high = span(child)
            if low > last or high < first:
                continue
            if low >= first:
                yield child
        yield from _between(child, first, last)


def _definitions(module: Module) -> Iterator[Unused]:
    actions = actions_in(module.tree)
    for node in module.tree.body:
        yield from _defined(module, node, "definition", actions)
        if isinstance(node, ast.ClassDef) and not node.bases:
            for inner in node.body:
                yield from _defined(module, inner, "method", actions)
    lines = module.lines
    if module.path.name == "__init__.py":
        return
    for statement in module.nodes:
        if isinstance(statement, (ast.Import, ast.ImportFrom)) and not _is_guarded(module, statement):
            if "noqa" in lines[statement.lineno - 1] or getattr(statement, "module", "") == "__future__":
                continue
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                if name not in ("*", "torch"):
                    yield Unused(module, statement, name, "import")


def _defined(module: Module, node: ast.stmt, kind: str, actions: set[str]) -> Iterator[Unused]:
    # A decorator may register the definition elsewhere.
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.decorator_list:
        if not (node.name.startswith("__") and node.name.endswith("__")):
            yield Unused(module, node, node.name, kind)
    elif (
        isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and not has_effect(node.value, actions)
    ):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            yield Unused(module, node, targets[0].id, kind)


def _is_guarded(module: Module, node: ast.AST) -> bool:
    """Whether an import stands in a `try`: there it may be what is tried."""
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, ast.Try):
            return True
    return False


def _names(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return tuple(alias.name for alias in node.names)
    return ()


def uses(tree: ast.AST, path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The names that a file uses, with the node of each use."""
    offers = path.name == "__init__.py"
    for node in walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            yield node.id, node
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.Attribute):
            yield node.attr, node
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value, node
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname or offers:
                    yield alias.name, node
