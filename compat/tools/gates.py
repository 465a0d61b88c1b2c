"""Version gates in an engine's source: which of them have one outcome on every torch in a range, and what that leaves
dead."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import UNPARSABLE
from .ranges import Range
from .scopes import Scope, Scopes
from .supposed import HELPERS, Evaluator, Unknown

_ASKED = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Call, ast.Name, ast.Attribute)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


class Gate(NamedTuple):
    """An expression that depends on the torch version alone, and is no part of a larger one with one outcome."""

    path: Path
    line: int
    text: str
    outcome: bool | None  # on every torch in the range; None: both occur, or it is not understood
    understood: bool
    dead: tuple[tuple[int, int], ...]  # the lines that its outcome leaves without use, as first and last


class File(NamedTuple):
    path: Path
    tree: ast.Module
    gates: list[Gate]


def search(paths: Iterable[str], torches: Range) -> tuple[list[File], list[str]]:
    """The gates of all Python files at or below `paths`, and a sentence for each path or file that cannot be read."""
    files, sentences = [], []
    scopes = Scopes()
    for path in paths:
        there = os.path.exists(path)
        if not there:
            sentences.append(f"{path}: there is no such file or folder")
        for file in _below(path, sentences) if os.path.isdir(path) else [Path(path)] if there else []:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # an invalid escape in a string of the engine is not reported here
                    tree = ast.parse(file.read_bytes())
                files.append(File(file, tree, list(_Finder(file, tree, scopes, torches).gates())))
            except (OSError, *UNPARSABLE) as error:
                sentences.append(f"{file}: cannot be read ({error})")
    return files, sentences


def _below(folder: str, sentences: list[str]) -> list[Path]:
    """The Python files in a folder; a sentence is added for each folder that cannot be read."""

    def unreadable(error: OSError) -> None:
        sentences.append(f"{error.filename}: cannot be read ({error.strerror})")

    walked = os.walk(folder, onerror=unreadable)
    return sorted(Path(place, name) for place, _, names in walked for name in names if name.endswith(".py"))


class _Finder:
    def __init__(self, path: Path, tree: ast.Module, scopes: Scopes, torches: Range) -> None:
        self._path, self._tree, self._scope = path, tree, scopes.of(path, tree)
        named = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        samples = torches.samples(name for name in named if name[:1].isdigit() and len(name) < 40)
        self._unknown = Evaluator(None, scopes)
        self._first, *self._others = (Evaluator(sample, scopes) for sample in samples)
        self._dead = dict(_dead_lines(tree))

    def gates(self) -> Iterator[Gate]:
        return self._below(self._tree, self._scope)

    def _below(self, node: ast.AST, scope: Scope) -> Iterator[Gate]:
        """The gates in a node, the largest expressions first."""
        outcome, understood = self._outcome(node, scope)
        if outcome is not None:
            yield self._gate(node, outcome, True)
            return
        inner = Scope(node, scope.folder, scope) if isinstance(node, _SCOPES) else scope
        within = False
        for child in ast.iter_child_nodes(node):
            for gate in self._below(child, inner):
                within = True
                yield gate
        if not within and understood is not None:
            yield self._gate(node, None, understood)

    def _outcome(self, node: ast.AST, scope: Scope) -> tuple[bool | None, bool | None]:
        """The one outcome of an expression, if it has one; and whether it is understood (None: it is no gate)."""
        if not isinstance(node, _ASKED) or not isinstance(getattr(node, "ctx", None), (ast.Load, type(None))):
            return None, None
        first = _value(self._first, node, scope)
        if first is Unknown and not self._asks_version(node, scope):
            return None, None
        if first is not Unknown and (not isinstance(first, bool) or _value(self._unknown, node, scope) is not Unknown):
            return None, None
        values = {first, *(_value(other, node, scope) for other in self._others)}
        if len(values) == 1 and isinstance(first, bool):
            return first, True
        return None, values != {Unknown}

    def _asks_version(self, node: ast.AST, scope: Scope) -> bool:
        """Whether an expression that cannot be evaluated is about the torch version."""
        asks = False
        if isinstance(node, ast.Call):
            asks = getattr(node.func, "attr", getattr(node.func, "id", "")).lstrip("_") in HELPERS
        elif isinstance(node, ast.Compare):
            asks = any(
                _value(self._first, operand, scope) is not Unknown and _value(self._unknown, operand, scope) is Unknown
                for operand in (node.left, *node.comparators)
            )
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)] if asks else []
        # Not in a helper's own body: where the helper is called, its arguments are known.
        return asks and not any(isinstance(bound, ast.arg) for name in names for bound in scope.find(name)[1])

    def _gate(self, node: ast.AST, outcome: bool | None, understood: bool) -> Gate:
        assert isinstance(node, ast.expr)
        dead = self._dead.get(node, {}).get(outcome, ())
        return Gate(self._path, node.lineno, ast.unparse(node), outcome, understood, dead)


def _value(evaluator: Evaluator, node: ast.AST, scope: Scope) -> object:
    try:
        return evaluator.value(node, scope)
    except Unknown:
        return Unknown


Lines = tuple[tuple[int, int], ...]


def _dead_lines(tree: ast.Module) -> Iterator[tuple[ast.expr, dict[bool | None, Lines]]]:
    """For the test of every `if`: the lines that are dead if it is always true, and if it is never true."""
    for node in ast.walk(tree):
        for block in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            statements: list[ast.stmt] = block if isinstance(block, list) else []
            for at, statement in enumerate(statements):
                if isinstance(statement, ast.If):
                    rest, no_else = statements[at + 1 :], not statement.orelse
                    never: list[list[ast.stmt]] = [
                        [statement] if no_else else statement.body,
                        rest if _leaves(statement.orelse) else [],
                    ]
                    always = [statement.orelse, rest if _leaves(statement.body) else []]
                    yield statement.test, {True: _lines(always), False: _lines(never)}


def _leaves(block: list[ast.stmt]) -> bool:
    return bool(block) and isinstance(block[-1], _LEAVES)


def _lines(blocks: list[list[ast.stmt]]) -> Lines:
    return tuple((block[0].lineno, block[-1].end_lineno or block[-1].lineno) for block in blocks if block)
