"""The gates of all searched files."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from .dead import mark_dead
from .gates import Finder, Gate
from .index import Index
from .interest import Interest
from .pins import Range
from .scopes import Module

_ROUNDS = 6  # of flags that are made of flags of other files


def search(index: Index, torches: Range) -> list[Gate]:
    """The gates of the index's files, in the order of the files."""
    asks_source = index.torches is not None
    interests = index.interests
    todo: Iterable[Path] = index.relevant(asks_source)
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        new = [module for path in todo if (module := index.module(path)) is not None]
        interests.update({module: Interest(module) for module in new})
        grown = True
        while grown:
            offered = _offered(interests)
            grown = sum(interest.grow(offered) for interest in interests.values()) > 0  # each of them grows
        index.offered = _offered(interests)
        todo = index.mentioning({name: at for name, at in index.offered.items() if name not in asked})
        asked |= set(index.offered)
        if not todo:
            break
    for module in index.parsed:
        index.mark_foreign_stores(module)
    finder = Finder(index, torches)
    shown = [interests[m] for m in sorted(interests, key=lambda m: m.shown) if m.path in index.files]
    gates = [gate for interest in shown for gate in finder.gates(interest)]
    if index.torches is not None:
        from .torch_sources import import_gates

        gates += [gate for interest in shown for gate in import_gates(interest.module, index.torches)]
        gates.sort(key=lambda gate: (gate.module.shown, gate.line))
    kept = [gate for gate in gates if not _is_kept(gate)]
    for gate in kept:
        if isinstance(gate.node, ast.expr):
            mark_dead(gate)
    return kept


def _offered(interests: dict[Module, Interest]) -> dict[str, set[str]]:
    """The names that tell of the version, with the names that the modules offering them go by."""
    offered: dict[str, set[str]] = {}
    for module, interest in interests.items():
        path = module.path
        place = path.parent.name if path.stem == "__init__" else path.stem
        for name in interest.offers:
            offered.setdefault(name, set()).add(place)
    return {name: places for name, places in offered.items() if len(name) > 1 and name != "torch"}


def _is_kept(gate: Gate) -> bool:
    """Whether a comment says that the gate is to stay: `# compat: keep`."""
    lines = gate.module.lines
    last = gate.node.end_lineno or gate.line
    return any("# compat: keep" in line for line in lines[gate.line - 1 : last])
