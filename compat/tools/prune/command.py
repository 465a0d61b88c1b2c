"""`python -m compat prune`: what a range of torch versions makes superfluous, here and in an engine's own source."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ...errors import CompatError
from . import baseline, own_shims
from .index import EXCLUDED, Index
from .pins import Range, torch_range
from .report import FORMATS, Report
from .search import search
from .unused import unused

_EPILOG = """\
Exit status: 0 if no gate has one outcome, 1 if one has, 2 if a path, a spec or a file cannot be read.
A comment `# compat: keep` on a line of a gate keeps it out of the report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prune` to the parser of its subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("paths", nargs="*", metavar="ENGINE_DIR", help="look for dead version gates in here instead of in compat")
    add(
        "--torch",
        dest="specs",
        action="append",
        required=True,
        metavar="SPEC",
        help="'>=2.12', '2.14', or a pyproject.toml, setup.py, METADATA or requirements file; again for more builds",
    )
    add(
        "--torches",
        nargs="+",
        default=[],
        metavar="PATH",
        help="torch wheels or trees that answer hasattr and try-import gates",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help=f"leave out files and folders of this name or path (besides {', '.join(EXCLUDED)})",
    )
    add("--format", dest="form", choices=sorted(FORMATS), default="table", help="form of the report")
    add("--json", dest="form", action="store_const", const="json", help="short for --format json")
    add("--baseline", metavar="FILE", help="do not report the gates in this file")
    add("--write-baseline", metavar="FILE", help="write the gates with one outcome to this file")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--diff", action="store_true", help="print a patch that removes what is dead")
    change.add_argument("--fix", action="store_true", help="remove what is dead")


def run(paths: list[str], specs: list[str], torches: list[str] | None = None, exclude: list[str] | None = None,
        form: str = "table", baseline: str | None = None, write_baseline: str | None = None, diff: bool = False,
        fix: bool = False) -> int:  # fmt: skip
    """Runs the command and returns its exit status.

    Raises:
        ValueError: A spec or a baseline cannot be read.
        CompatError: A torch cannot be read, or a library that `--diff` needs is missing.
    """
    wanted = torch_range(*specs)
    if not paths:
        print(own_shims.report(wanted))
        return 0
    with ExitStack() as stack:
        stack.enter_context(_without_collector())
        index = Index(paths, exclude or ())
        if torches:
            from .torch_sources import opened_all

            index.torches = stack.enter_context(opened_all(torches, wanted))
        report = examine(index, wanted, baseline)
    if write_baseline:
        _write_baseline(write_baseline, report)
    if diff or fix:
        return _change(report, fix)
    print(FORMATS[form](report))
    return _status(report, bool(report.constant))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector: it would walk over all syntax trees again and again, and they all stay in use."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def examine(index: Index, torches: Range, known: str | None = None) -> Report:
    """The report on an engine's files."""
    gates = search(index, torches)
    new, accepted = baseline.split(known, gates) if known else (gates, [])
    found = unused(index, new)
    asks = 0 if index.torches is not None else index.asks_source
    return Report(torches, new, found, list(dict.fromkeys(index.sentences)), len(index.files), len(accepted), asks)


def _write_baseline(path: str, report: Report) -> None:
    try:
        baseline.write(path, report.gates)
    except OSError as error:
        raise CompatError(f"the baseline {path} cannot be written: {error}") from error


def _change(report: Report, fix: bool) -> int:
    from .rewrite import apply, patch

    if fix:
        changed, sentences = apply(report)
        print(f"{len(report.constant)} gates removed from {changed} files")
        report.sentences += sentences
        return _status(report, False)
    text, sentences = patch(report)
    print(text, end="")
    report.sentences += sentences
    return _status(report, bool(report.constant))


def _status(report: Report, found: bool) -> int:
    for sentence in report.sentences:
        print(f"compat: {sentence}", file=sys.stderr)
    return 2 if report.sentences else int(found)
