"""`python -m compat scan`: report which mode each shim gets on torches that are read, not installed or imported."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a torch wheel, source tree, checkout or environment")
    parser.add_argument(
        "--against", metavar="OLD", help="print only the differences from this torch; exit status 1 for a lost mode"
    )
    parser.add_argument(
        "--calls", metavar="ENGINE_DIR", help="report on the private torch names that this engine's source uses instead"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON, with the evidence")


def run(paths: list[str], against: str | None = None, calls: str | None = None, as_json: bool = False) -> int:
    """Run the command.

    Returns:
        0; 1 if `against` has something that another torch lacks: the mode of a shim, or with `calls` a name that the
        engine needs, or a way to call it; 2 if a path or a file of the engine cannot be read.

    Raises:
        CompatError: `calls` is no folder with Python files.
    """
    from .calls import scan_calls
    from .report import scan

    if calls is None:
        shown, sentences, exit_status = scan(paths, against, as_json)
    else:
        shown, sentences, exit_status = scan_calls(calls, paths, against, as_json)
    if shown:
        print(shown)
    for sentence in sentences:
        print(f"compat: {sentence}", file=sys.stderr)
    return exit_status
