"""The report in the form that a person, a script, GitHub or a code scanner reads."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ... import __version__
from .gates import DEPENDS, FALSE, TRUE, UNKNOWN, Gate
from .pins import Range
from .unused import Unused

_FORMS = {TRUE: "always true", FALSE: "always false", DEPENDS: "still decides", UNKNOWN: "not understood"}


@dataclass
class Report:
    """The findings in an engine's files."""

    torches: Range
    gates: list[Gate]
    unused: list[Unused]
    sentences: list[str] = field(default_factory=list)
    files: int = 0
    known: int = 0  # constant gates that the baseline has
    asks_source: int = 0  # gates that only --torches answers, if it is not given

    @property
    def constant(self) -> list[Gate]:
        return [gate for gate in self.gates if gate.constant is not None]

    def dead_lines(self) -> int:
        lines = {
            (gate.module.path, line)
            for gate in self.constant
            if gate.whole_lines
            for first, last in gate.dead
            for line in range(first, last + 1)
        }
        for one in self.unused:
            lines |= {(one.module.path, line) for line in range(one.span[0], one.span[1] + 1)}
        return len(lines)

    def summary(self) -> dict[str, Any]:
        counts = Counter(gate.outcome for gate in self.gates)
        return {
            "gates": len(self.gates),
            **{outcome: counts[outcome] for outcome in (TRUE, FALSE, DEPENDS, UNKNOWN)},
            "unused": len(self.unused),
            "dead_lines": self.dead_lines(),
            "files": self.files,
            "in_baseline": self.known,
            "ask_torch": self.asks_source,
            "unreadable": self.sentences,
        }


def as_json(report: Report) -> str:
    return json.dumps(
        {
            "torch": report.torches.texts,
            "gates": [
                {
                    "path": gate.module.shown,
                    "line": gate.line,
                    "text": gate.text,
                    "outcome": gate.outcome,
                    "reason": gate.reason,
                    "dead": [list(span) for span in gate.dead],
                }
                for gate in report.gates
            ],
            "unused": [
                {
                    "path": one.module.shown,
                    "line": one.span[0],
                    "name": one.name,
                    "kind": one.kind,
                    "dead": [list(one.span)],
                    "breaks": one.breaks,
                }
                for one in report.unused
            ],
            "summary": report.summary(),
        },
        indent=1,
    )


def as_table(report: Report) -> str:
    lines = [f"torch {report.torches.text}", ""]
    order = {TRUE: 0, FALSE: 0, DEPENDS: 1, UNKNOWN: 2}
    for gate in sorted(report.gates, key=lambda gate: order[gate.outcome]):
        lines.append(f"{gate.module.shown}:{gate.line}: {_FORMS[gate.outcome]}: {gate.text}{_after(gate)}")
    for one in report.unused:
        breaks = f"; would break {', '.join(one.breaks)}" if one.breaks else ""
        lines.append(
            f"{one.module.shown}:{one.span[0]}: only dead lines use {one.name}; dead: {_text(one.span)}{breaks}"
        )
    constant = len(report.constant)
    lines += [
        "",
        f"{constant} of {len(report.gates)} version gates have one outcome; {report.dead_lines()} lines are dead",
    ]
    if report.known:
        lines.append(f"{report.known} more with one outcome are in the baseline")
    if report.asks_source:
        places = "1 place asks" if report.asks_source == 1 else f"{report.asks_source} places ask"
        lines.append(f"{places} torch itself (hasattr, try-import); --torches PATH... answers them")
    return "\n".join(lines)


def _after(gate: Gate) -> str:
    if gate.constant is None:
        return f" ({gate.reason})"
    warning = "".join(f" ({part})" for part in gate.reason.split("; ")[1:])
    if not gate.dead:
        return warning
    part = "" if gate.whole_lines else " (a part of it)"
    return f"{warning}; dead: {', '.join(map(_text, gate.dead))}{part}"


def _text(span: tuple[int, int]) -> str:
    return f"{span[0]}-{span[1]}"


def as_github(report: Report) -> str:
    """Workflow commands that GitHub shows beside the lines of a pull request."""
    lines = []
    for gate in report.gates:
        level = "warning" if gate.constant is not None else "notice"
        lines.append(_command(level, gate.module.shown, gate.line, _FORMS[gate.outcome], f"{gate.text}{_after(gate)}"))
    for one in report.unused:
        lines.append(_command("warning", one.module.shown, one.span[0], "unused", f"only dead lines use {one.name}"))
    lines += [f"::error::{_escaped(sentence)}" for sentence in report.sentences]
    return "\n".join(lines)


def _command(level: str, path: str, line: int, title: str, text: str) -> str:
    place = path.replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
    return f"::{level} file={place},line={line},title=torch version gate {title}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def as_sarif(report: Report) -> str:
    rules = {TRUE: "always-true", FALSE: "always-false", DEPENDS: "depends", UNKNOWN: "not-understood"}
    results = [
        _result(rules[gate.outcome], gate.module.shown, gate.line, gate.node.end_lineno, f"{gate.text}{_after(gate)}",
                "warning" if gate.constant is not None else "note")
        for gate in report.gates
    ]  # fmt: skip
    results += [
        _result("unused", one.module.shown, *one.span, f"only dead lines use {one.name}", "warning")
        for one in report.unused
    ]
    driver = {
        "name": "compat prune",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": text}} for rule, text in _RULES.items()],
    }
    log = {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=1)


_RULES = {
    "always-true": "A torch version gate is true on every torch in the range",
    "always-false": "A torch version gate is false on every torch in the range",
    "depends": "A torch version gate still decides",
    "not-understood": "A torch version gate could not be evaluated",
    "unused": "Only dead lines use this definition",
}


def _result(rule: str, path: str, first: int, last: int | None, text: str, level: str) -> dict[str, Any]:
    region = {"startLine": first, "endLine": last or first}
    place = {"artifactLocation": {"uri": path.replace("\\", "/")}, "region": region}
    return {"ruleId": rule, "level": level, "message": {"text": text}, "locations": [{"physicalLocation": place}]}


FORMATS = {"table": as_table, "json": as_json, "github": as_github, "sarif": as_sarif}
