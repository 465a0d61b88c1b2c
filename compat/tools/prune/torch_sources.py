"""Gates that ask torch itself, answered from the sources of the torches that are given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ...probe.definition import Missing, Undecided
from ..scan.torches import Torch, opened
from .gates import DEPENDS, FALSE, TRUE, UNKNOWN, Gate
from .operations import World
from .pins import Range
from .scopes import Module
from .statements import catches
from .values import Unknown


@contextmanager
def opened_all(paths: list[str], torches: Range) -> Iterator[TorchSources]:
    """The sources of the torches at these paths that are in the range, open as long as the context lasts.

    Raises:
        CompatError: A path holds no whole torch.
        ValueError: None of the torches is in the range.
    """
    with ExitStack() as stack:
        found = [stack.enter_context(opened(path)) for path in paths]
        inside = [torch for torch in found if torch.version in torches]
        if not inside:
            given = ", ".join(torch.version for torch in found)
            raise ValueError(f"none of the torches of --torches ({given}) is in {torches.text}")
        yield TorchSources(inside)


class TorchSources:
    """Answers whether a name exists in torch: only if all given torches agree and their source tells."""

    def __init__(self, torches: list[Torch]) -> None:
        self._torches = torches
        self._answers: dict[str, bool | str] = {}

    def exists(self, dotted: str) -> bool | str:
        """Whether `torch.a.b` exists; or the reason why that is not known."""
        if dotted not in self._answers:
            self._answers[dotted] = self._exists(dotted)
        return self._answers[dotted]

    def _exists(self, dotted: str) -> bool | str:
        answers = {torch.version: _in_one(torch, dotted) for torch in self._torches}
        unclear = next((f"torch {version}: {a}" for version, a in answers.items() if isinstance(a, str)), None)
        if unclear is not None:
            return unclear
        if len(set(answers.values())) == 1:
            return next(iter(answers.values()))
        has = next(version for version, answer in answers.items() if answer is True)
        lacks = next(version for version, answer in answers.items() if answer is False)
        return f"torch {has} has it, torch {lacks} lacks it"

    @property
    def versions(self) -> str:
        return ", ".join(torch.version for torch in self._torches)

    def has(self, dotted: str, how: str, given: list[Any], world: World) -> Any:
        """The value of `hasattr(torch.a, "b")` or `getattr(torch.a, "b", default)`."""
        found = self.exists(dotted)
        world.touched = True
        if isinstance(found, str):
            return Unknown(found, True)
        if how == "hasattr":
            return found
        if found:
            return Unknown(f"is `{dotted}`", False, True)
        return given[2] if len(given) > 2 else Unknown("raises AttributeError", True)


def import_gates(module: Module, sources: TorchSources) -> Iterator[Gate]:
    """`try: from torch.x import y` with a handler for ImportError, if all that is tried is such imports."""
    for node in module.nodes:
        if isinstance(node, ast.Try) and any(catches(handler, "ImportError") for handler in node.handlers):
            tried = [name for statement in node.body for name in _imported(statement)]
            if tried and all(name.partition(".")[0] == "torch" for name in tried) and tried != ["torch"]:
                yield _import_gate(module, node, tried, sources)


def _import_gate(module: Module, node: ast.Try, tried: list[str], sources: TorchSources) -> Gate:
    answers = [sources.exists(name) for name in tried]
    first = node.body[0]
    if any(answer is False for answer in answers):
        outcome, reason = FALSE, f"{tried[answers.index(False)]} is in none of torch {sources.versions}"
    elif all(answer is True for answer in answers):
        only_imports = all(isinstance(each, (ast.Import, ast.ImportFrom)) for each in node.body)
        outcome = TRUE if only_imports else UNKNOWN
        reason = f"in torch {sources.versions}" if only_imports else "the block does more than import"
    else:
        outcome, reason = UNKNOWN, next(answer for answer in answers if isinstance(answer, str))
        outcome = DEPENDS if " lacks it" in reason else UNKNOWN
    gate = Gate(module, first, outcome, reason)
    if gate.constant is not None:
        gone = (
            [each for handler in node.handlers for each in [handler]] if gate.constant else [*node.body, *node.orelse]
        )
        gate.dead = [(gone[0].lineno, gone[-1].end_lineno or gone[-1].lineno)]
    return gate


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and not statement.level:
        return [f"{statement.module}.{alias.name}" for alias in statement.names if alias.name != "*"]
    return []


def _in_one(torch: Torch, dotted: str) -> bool | str:
    """Whether the source of one torch has the name."""
    parts = dotted.split(".")
    for at in range(len(parts), 0, -1):
        if not _is_module(torch, ".".join(parts[:at])):
            continue
        if at == len(parts):
            return True
        return _in_module(torch, ".".join(parts[:at]), ".".join(parts[at:]))
    return False


def _is_module(torch: Torch, name: str) -> bool:
    try:
        torch.source._module(name)
    except Missing:
        return False
    except Undecided:
        return True
    return True


def _in_module(torch: Torch, module: str, name: str) -> bool | str:
    try:
        torch.source.find(f"{module}:{name}")
    except Missing as error:
        return _unless_made_elsewhere(torch, module, str(error))
    except Undecided as error:
        return True if _is_imported(torch, module, name) else str(error)
    return True


def _is_imported(torch: Torch, module: str, name: str) -> bool:
    """Whether the module binds the name outright, by an import or an assignment at its top level."""
    tree = torch.source._module(module)[0]
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((alias.asname or alias.name) == name for alias in node.names):
                return True
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return True
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return True
    return False


def _unless_made_elsewhere(torch: Torch, module: str, absent: str) -> bool | str:
    """False, if nothing but the module's own text can give it names."""
    tree = torch.source._module(module)[0]
    text = ast.unparse(tree)
    made = next((way for way in ("__getattr__", "globals()", "setattr(", "import *", "_C.") if way in text), None)
    if module in ("torch", "torch._C") or made:
        return f"{absent} in the source, but {module} may make it while it is imported"
    return False
