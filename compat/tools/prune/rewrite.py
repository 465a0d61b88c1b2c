"""Removes what gates with one outcome leave dead, with LibCST: formatting and comments of the rest stay."""

from __future__ import annotations

import ast
import difflib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import CompatError
from .dead import actions_in, functions, generators, has_effect
from .report import Report
from .scopes import Module
from .unused import Unused, uses
from .unused_locals import unused_locals

try:
    import libcst as cst

    from .simplify import Simplifier
except ModuleNotFoundError as error:
    raise CompatError("--diff and --fix need LibCST, which is not installed: pip install 'compat[tools]'") from error

Place = tuple[int, int, int, int]  # first line and column, last line and column, columns in characters


@dataclass
class Task:
    """The changes to make in one file."""

    module: Module
    gates: dict[Place, bool] = field(default_factory=dict)
    statements: set[Place] = field(default_factory=set)  # definitions that go
    imports: dict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))  # names that go from an import


def tasks(report: Report, kept: set[Unused], actions: set[str]) -> list[Task]:
    """List the changes to make in each file. Definitions in `kept` stay, and gates that call `actions`."""
    found: dict[Module, Task] = {}

    def of(module: Module) -> Task:
        return found.setdefault(module, Task(module))

    for gate in report.constant:
        if isinstance(gate.node, ast.stmt):
            around = gate.module.parents[gate.node]
            of(gate.module).gates[_place(gate.module, around)] = bool(gate.constant)
        elif not has_effect(gate.node, actions) and not gate.loses_yield:
            of(gate.module).gates[_place(gate.module, gate.node)] = bool(gate.constant)
    for one in report.unused:
        if one.breaks or one in kept:
            continue
        if one.kind == "import":
            of(one.module).imports[_place(one.module, one.node)].add(one.name)
        else:
            of(one.module).statements.add(_place(one.module, one.node))
    return list(found.values())


def _place(module: Module, node: ast.AST) -> Place:
    lines = module.lines
    first, last = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
    return first, _column(lines[first - 1], node.col_offset), last, _column(lines[last - 1], node.end_col_offset)  # type: ignore[attr-defined]


def _column(line: str, offset: int) -> int:
    """The column in characters of an offset in bytes of UTF-8."""
    return len(line.encode("utf-8")[:offset].decode("utf-8", "ignore"))


def rewritten(task: Task) -> bytes:
    """The new content of a file. Raises ValueError if it cannot be made."""
    old = task.module.path.read_bytes()
    try:
        tree = cst.MetadataWrapper(cst.parse_module(old))
        new = tree.visit(Simplifier(task.gates, task.statements, task.imports)).bytes
        new = _without_unused_locals(task.module, new)
        compile(new, task.module.shown, "exec", dont_inherit=True, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (cst.ParserSyntaxError, cst.CSTValidationError, SyntaxError, RecursionError) as error:
        raise ValueError(f"{task.module.shown}: cannot be rewritten ({error})") from error
    changed = ast.parse(new)
    if lost := generators(task.module.tree) & functions(changed) - generators(changed):
        raise ValueError(f"{task.module.shown}: cannot be rewritten ({min(lost)} would be no generator any more)")
    return new


def _without_unused_locals(module: Module, new: bytes) -> bytes:
    """The new content without assignments to local variables that only removed code used."""
    while found := list(unused_locals(module.tree, tree := ast.parse(new))):
        now = Module(module.path, module.shown, tree, new.decode("utf-8", "replace"))
        places = {_place(now, statement) for statement in found}
        changed = cst.MetadataWrapper(cst.parse_module(new)).visit(Simplifier({}, places, {})).bytes
        if changed == new:
            break
        new = changed
    return new


def _changes(report: Report) -> tuple[list[tuple[Task, bytes]], list[str]]:
    """The new contents, and a sentence for each file that cannot be changed.

    A definition stays if a changed file still names it: what could not be removed may use it.
    """
    kept: set[Unused] = set()
    actions = set().union(*(actions_in(module.tree) for module in {gate.module for gate in report.gates}))
    results: dict[Module, tuple[Task, bytes | str]] = {}
    while True:
        left_to_do = {task.module: task for task in tasks(report, kept, actions)}
        for task in [left_to_do.get(module, Task(module)) for module in {**results, **left_to_do}]:
            if results.get(task.module, (None,))[0] != task:
                results[task.module] = task, _result(task)
        used = {module: _used(module, new) for module, (_, new) in results.items()}
        everywhere = set().union(*used.values())
        left = {
            one
            for one in report.unused
            if one.name in (used.get(one.module, set()) if one.kind == "import" else everywhere)
        }
        if left <= kept:
            break
        kept |= left
    done = [(task, new) for task, new in results.values() if isinstance(new, bytes)]
    return done, [sentence for _, sentence in results.values() if isinstance(sentence, str)]


def _result(task: Task) -> bytes | str:
    """The new content, or a sentence that says why there is none."""
    try:
        return rewritten(task)
    except (OSError, ValueError) as error:
        return str(error)


def _used(module: Module, new: bytes | str) -> set[str]:
    """The names that the new content uses; if there is none, those of the old one."""
    tree = ast.parse(new) if isinstance(new, bytes) else module.tree
    return {name for name, _ in uses(tree, module.path)}


def patch(report: Report) -> tuple[str, list[str]]:
    """A unified diff of all changes, and a sentence for each file that cannot be changed."""
    done, sentences = _changes(report)
    parts = []
    for task, new in done:
        before, after = (text.decode("utf-8", "replace") for text in (task.module.path.read_bytes(), new))
        name = task.module.shown.replace(os.sep, "/").lstrip("/")
        lines = difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
        parts += [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "".join(parts), sentences


def apply(report: Report) -> tuple[int, list[str]]:
    """Writes all changes. Returns how many files changed, and a sentence for each that cannot be changed."""
    done, sentences = _changes(report)
    changed = 0
    for task, new in done:
        try:
            if new != task.module.path.read_bytes():
                _write(task.module.path, new)
                changed += 1
        except OSError as error:
            sentences.append(f"{task.module.shown}: cannot be written ({error.strerror})")
    return changed, sentences


def _write(path: Path, content: bytes) -> None:
    """Replaces a file as a whole, so that an interruption leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}.compat-{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.chmod(beside, path.stat().st_mode)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
