"""The command line: `python -m compat`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from typing import Any

from .errors import CompatError
from .status import as_json, as_table, status


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
    commands.add_parser("prune", help="what no torch in a range needs any more")
    vendor = commands.add_parser("vendor", help="copy the runtime into an engine's tree, or check such a copy")
    vendor.add_argument("dest", metavar="DEST", help="the folder that holds the copy, or is to hold it")
    vendor.add_argument("--name", help="what the copy is called there (default: compat)")
    vendor.add_argument("--force", action="store_true", help="overwrite a copy that was edited")
    vendor.add_argument("--check", action="store_true", help="change nothing; say what was edited in the copy")
    try:
        options = _options(parser, commands.choices, sys.argv[1:] if arguments is None else arguments)
        command = options.pop("command")
        if command != "status":
            return int(_tool(command).run(**options))
        rows = status()
        print(as_json(rows) if options["as_json"] else as_table(rows))
        return 0
    except (CompatError, ValueError) as error:
        print(f"compat: {error}", file=sys.stderr)
        return 2


def _options(parser: argparse.ArgumentParser, commands: dict[str, argparse.ArgumentParser], given: list[str]) -> dict[str, Any]:
    """The options of the command; those of `prune` are its own, and only imported if it is asked for."""
    if given[:1] == ["prune"]:
        _tool("prune").add_arguments(commands["prune"])
    return vars(parser.parse_args(given))


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
