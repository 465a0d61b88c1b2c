"""The command line: `python -m compat`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys

from .errors import CompatError
from .reporting import as_json, as_table, status


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 0; 1 where what was looked for was found (a shim lost its
    mode, a copy was edited); 2 where what was asked for cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m compat", description="What compat does on this torch.")
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("status", help="the mode of every shim on this torch, and why")
    shown.add_argument("--json", dest="as_json", action="store_true", help="the same as JSON, with the evidence")
    demo = commands.add_parser("demo", help="a transformer with and without the two speed shims, compared")
    demo.add_argument("--layers", type=int, default=28, metavar="N", help="layers of it (default: %(default)s)")
    scanned = commands.add_parser("scan", help="the mode of every shim on torches that are read, not installed")
    scanned.add_argument("paths", nargs="+", metavar="PATH", help="a torch wheel, source tree, checkout or environment")
    scanned.add_argument("--against", metavar="OLD", help="only what differs from this one; exit status 1 for a loss")
    scanned.add_argument("--json", dest="as_json", action="store_true", help="the same as JSON, with the evidence")
    pruned = commands.add_parser("prune", help="what no torch in a range needs any more")
    pruned.add_argument("paths", nargs="*", metavar="ENGINE_DIR", help="look for dead version branches in here instead")
    pruned.add_argument("--torch", dest="spec", required=True, metavar="SPEC", help="'>=2.12', or a file that pins it")
    vendor = commands.add_parser("vendor", help="copy the runtime into an engine's tree, or check such a copy")
    vendor.add_argument("dest", metavar="DEST", help="the folder that holds the copy, or is to hold it")
    vendor.add_argument("--name", help="what the copy is called there (default: compat)")
    vendor.add_argument("--force", action="store_true", help="overwrite a copy that was edited")
    vendor.add_argument("--check", action="store_true", help="change nothing; say what was edited in the copy")
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    try:
        if command != "status":
            return int(_tool(command).run(**options))
        rows = status()
        print(as_json(rows) if options["as_json"] else as_table(rows))
        return 0
    except (CompatError, ValueError) as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2


def _tool(name: str):  # type: ignore[no-untyped-def]
    """A module of `tools`, which a vendored copy does not have."""
    try:
        return importlib.import_module(f".tools.{name}", __package__)
    except ModuleNotFoundError as error:
        if error.name in (f"{__package__}.tools", f"{__package__}.tools.{name}"):
            raise CompatError(f"this copy of compat is vendored, without `{name}`") from error
        raise CompatError(f"`{name}` needs {error.name}, which is not installed") from error


if __name__ == "__main__":
    # Who reads has seen enough, as `head` has: no reason for a traceback.
    if hasattr(signal, "SIGPIPE"):  # pragma: no branch (Windows has no pipes of this kind)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
