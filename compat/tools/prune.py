"""`python -m compat prune`: what a range of torch versions makes superfluous, here and in an engine's own source."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import version
from ..adapters import NEWEST_FIRST, adapter_for
from ..shims.base import Shim, all_shims
from .gates import Lines, search
from .ranges import Range, torch_range
from .scan.support import Modes, known, removal
from .unused import Definition, count, unused

_PACKAGE = Path(__file__).parents[1]


class Verdict(NamedTuple):
    what: str
    goes: bool
    torches: tuple[str, ...]  # the known versions that it is judged by
    evidence: str


def verdicts(torches: Range) -> list[Verdict]:
    """For every adapter and shim, whether any torch in the range needs it."""
    within = {torch: given["live"] for torch, given in known().items() if torch in torches}
    return [*_adapters(torches), *(_shim(shim, within) for shim in all_shims())]


def _adapters(torches: Range) -> Iterator[Verdict]:
    used: dict[str, list[str]] = {}
    for text in torches.samples():
        adapter = adapter_for(version.parse(text))
        used.setdefault(adapter.__name__ if adapter else "", []).append(text)
    for adapter in NEWEST_FIRST:
        name = adapter.__name__
        here = tuple(torch for torch in known() if torch in torches and adapter_for(version.parse(torch)) is adapter)
        why = "it speaks for torches in this range" if name in used else "no torch in this range is spoken for by it"
        yield Verdict(f"adapter {name.rpartition('.')[2]}", name not in used, here, why)


def _shim(shim: Shim, within: dict[str, dict[str, Modes]]) -> Verdict:
    by_mode: dict[str, list[str]] = {}
    for torch, given in within.items():
        by_mode.setdefault(given.get(shim.name, {}).get("auto", "undecided"), []).append(torch)
    if not within:
        return Verdict(f"shim {shim.name}", False, (), "no torch in this range has been scanned yet")
    if set(by_mode) == {"native"}:
        # A fix that is native everywhere does nothing. Anything else is still what the engine calls.
        what = f"shim {shim.name}" if shim.kind == "fix" else f"backport of {shim.name}"
        return Verdict(what, True, tuple(within), within[by_mode["native"][0]][shim.name]["reason"])
    if set(by_mode) == {"noop"} and not any(given[shim.name]["backport"] == "yes" for given in within.values()):
        return Verdict(f"shim {shim.name}", True, tuple(within), within[by_mode["noop"][0]][shim.name]["reason"])
    deciding = next(mode for mode in ("backport", "undecided", "noop") if mode in by_mode)
    reason = within[by_mode[deciding][0]].get(shim.name, {}).get("reason", "not scanned")
    return Verdict(f"shim {shim.name}", False, tuple(by_mode[deciding]), reason)


def own_lines(going: list[Verdict]) -> list[Definition]:
    """The lines of compat that go with these: whole files, what only a backport runs, and what only those use."""
    names = {verdict.what for verdict in going}
    trees = {path: ast.parse(path.read_bytes()) for path in sorted(_PACKAGE.rglob("*.py")) if "tools" not in path.parts}
    whole = {_PACKAGE / "adapters" / f"{n[8:]}.py" for n in names if n.startswith("adapter ")}
    whole |= {_PACKAGE / "shims" / f"{n[5:]}.py" for n in names if n.startswith("shim ")}
    gone: dict[Path, Lines] = {path: ((1, len(path.read_text(encoding="utf-8").splitlines())),) for path in whole}
    for shim in all_shims():
        path = _PACKAGE / "shims" / f"{shim.name}.py"
        if f"backport of {shim.name}" in names:
            gone[path] = tuple(_of_backport(trees[path]))
    direct = [Definition(path, *lines, "") for path, ranges in gone.items() for lines in ranges]
    return direct + [one for one in unused(trees, gone) if one.path not in whole]


def _of_backport(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Lines that only the mode `backport` runs: its branches, and its requirements in the shim's data."""
    for node in ast.walk(tree):
        test = node.test if isinstance(node, ast.If) else None
        if isinstance(test, ast.Compare) and ast.unparse(test) == "mode == 'backport'":
            assert isinstance(node, ast.If)
            yield (node if not node.orelse else node.body[0]).lineno, node.body[-1].end_lineno or node.lineno
        elif isinstance(node, ast.keyword) and node.arg in ("backport", "replacements"):
            yield node.value.lineno, node.value.end_lineno or node.value.lineno


def _own_report(torches: Range) -> str:
    found = verdicts(torches)
    inside = [torch for torch in known() if torch in torches]
    parts = [f"torch {torches.text}; of the torches that have been scanned: {', '.join(inside) or 'none'}"]
    for title, goes in (("No torch in this range needs:", True), ("Still needed:", False)):
        lines = [f"  {v.what}: {v.evidence}{_for(v.torches)}" for v in found if v.goes is goes]
        if lines:
            parts.append("\n".join([title, *lines]))
    lines = [f"  {_at(d)} {d.name}".rstrip() for d in own_lines([v for v in found if v.goes])]
    if lines:
        parts.append("\n".join(["Lines that go with it, and what imports or lists their names:", *lines]))
    parts.append("\n".join(["When each shim can go:", *(f"  {s.name}: {removal(s)}" for s in all_shims())]))
    return "\n\n".join(parts)


def _for(torches: tuple[str, ...]) -> str:
    return f" [{', '.join(torches)}]" if torches else ""


def _at(definition: Definition) -> str:
    path = definition.path.relative_to(_PACKAGE.parent)
    return f"{path.as_posix()}:{definition.first}-{definition.last}"


def _engine_report(paths: list[str], torches: Range) -> tuple[str, list[str]]:
    files, sentences = search(paths, torches)
    gates = [gate for file in files for gate in file.gates]
    lines = [f"torch {torches.text}", ""]
    for gate in gates:
        if gate.outcome is not None:
            dead = "; dead: " + ", ".join(f"{first}-{last}" for first, last in gate.dead) if gate.dead else ""
            lines.append(f"{gate.path}:{gate.line}: always {gate.outcome}: {gate.text}{dead}")
    constant = len(lines) - 2
    gone = {file.path: tuple(span for gate in file.gates for span in gate.dead) for file in files}
    left = unused({file.path: file.tree for file in files}, gone)
    lines += [f"{d.path}:{d.first}: only dead lines use {d.name}; dead: {d.first}-{d.last}" for d in left]
    for gate in gates:
        if gate.outcome is None:
            what = "still decides" if gate.understood else "not understood, look yourself"
            lines.append(f"{gate.path}:{gate.line}: {what}: {gate.text}")
    spans = [(path, *span) for path, ranges in gone.items() for span in ranges]
    spans += [(one.path, one.first, one.last) for one in left]
    lines += ["", f"{constant} of {len(gates)} version gates have one outcome; {count(spans)} lines are dead"]
    return "\n".join(lines), sentences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("paths", nargs="*", metavar="ENGINE_DIR", help="look for dead version branches in here instead")
    parser.add_argument("--torch", dest="spec", required=True, metavar="SPEC", help="'>=2.12', or a file that pins it")


def run(paths: list[str], spec: str) -> int:
    """Prints the report: on compat itself, or with paths on the engine's sources there."""
    torches = torch_range(spec)
    report, sentences = _engine_report(paths, torches) if paths else (_own_report(torches), [])
    print(report)
    for sentence in sentences:
        print(f"compat: {sentence}", file=sys.stderr)
    return 2 if sentences else 0
