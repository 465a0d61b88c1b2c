"""Shared by the tests of `prune`: supposed torches, and the outcomes for one file."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.version import InvalidVersion, Version

from compat.tools.prune.command import examine
from compat.tools.prune.index import Index
from compat.tools.prune.pins import torch_range
from compat.tools.prune.report import Report


class Supposed(str):
    """A version that compares with versions as such, and with other texts as a text: like torch's TorchVersion."""

    __slots__ = ()
    __hash__ = str.__hash__

    def _compare(self, other: object, sign: str) -> object:
        if isinstance(other, (tuple, list)):
            other = ".".join(map(str, other))
        try:
            return getattr(Version(self), sign)(other if isinstance(other, Version) else Version(str(other)))
        except InvalidVersion:
            return getattr(str, sign)(self, other)

    def __lt__(self, other: object) -> object:  # type: ignore[override]
        return self._compare(other, "__lt__")

    def __le__(self, other: object) -> object:  # type: ignore[override]
        return self._compare(other, "__le__")

    def __gt__(self, other: object) -> object:  # type: ignore[override]
        return self._compare(other, "__gt__")

    def __ge__(self, other: object) -> object:  # type: ignore[override]
        return self._compare(other, "__ge__")

    def __eq__(self, other: object) -> object:  # type: ignore[override]
        return self._compare(other, "__eq__")

    def __ne__(self, other: object) -> object:  # type: ignore[override]
        return not self._compare(other, "__eq__")


@contextmanager
def torch_with(version: str) -> Iterator[None]:
    """Put a module `torch` of this version in the place of the real one, if there is one."""
    missing = object()
    before = sys.modules.get("torch", missing)
    sys.modules["torch"] = stand_in = types.ModuleType("torch")
    stand_in.__version__ = version  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if before is missing:
            del sys.modules["torch"]
        else:
            sys.modules["torch"] = before  # type: ignore[assignment]


def report(path: Path, spec: str) -> Report:
    """Return the report of `prune` on a file or folder."""
    return examine(Index([str(path)]), torch_range(spec))


def place_of(node: ast.AST) -> tuple[int, ...]:
    """Return the first and last line and column of a node."""
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def always(folder: Path, source: str, spec: str) -> dict[tuple[int, ...], bool]:
    """Return the place of each expression in a source that `prune` says is always true, or always false."""
    (folder / "engine.py").write_text(source, "utf-8")
    gates = report(folder / "engine.py", spec).gates
    return {place_of(gate.node): gate.constant for gate in gates if gate.constant is not None}
