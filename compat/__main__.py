"""The command line: `python -m compat`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from types import ModuleType
from typing import Any

from .errors import CompatError
from .reporting import as_json, as_table, status

# The commands besides `status`, with their help. Each one is a module of `tools`, or of
# `_MODULES`, with `add_arguments(parser)` and `run(**options) -> int`.
TOOLS = {
    "check": "run the reproducer of each shim on this torch",
    "demo": "split and compile a transformer with and without two shims",
    "scan": "report which mode each shim gets on torches that are read, not installed",
    "prune": "list the code that no torch in a range needs",
    "vendor": "copy the runtime into an engine's tree, or check such a copy",
}
_MODULES = {"check": "selfcheck"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for this process's own.

    Returns:
        The exit status. 0: all is well. 1: the command found a problem (a shim lost its
        mode, a copy was edited, a reproducer goes wrong). 2: the command cannot run.

    """
    words = sys.argv[1:] if arguments is None else arguments
    parser, commands = _parsers()
    try:
        for name, summary in TOOLS.items():
            about = f"{summary.capitalize()}."
            command = commands.add_parser(name, help=summary, description=about)
            if words[:1] == [name]:  # importing all tools would be slow
                _tool(name).add_arguments(command)
        options = vars(parser.parse_args(words))
        if (name := options.pop("command")) != "status":
            return int(_tool(name).run(**options))
        rows = status()
        print(as_json(rows) if options["as_json"] else as_table(rows))
        return 0
    except (CompatError, ValueError) as error:
        sentence = str(error)
    except ModuleNotFoundError as error:
        sentence = f"`{words[0]}` needs {error.name}, which is not installed"
    print(f"compat: {sentence}", file=sys.stderr)
    return 2


def _parsers() -> tuple[argparse.ArgumentParser, Any]:
    """Make the parser, with the command `status`, and the group of its commands."""
    parser = argparse.ArgumentParser(
        prog="python -m compat", description="Show and manage what compat does."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "status", help="show the mode of each shim on this torch, with the reason"
    )
    command.add_argument(
        "--json",
        dest="as_json",
        action="store_true",
        help="print JSON, with the evidence",
    )
    return parser, commands


def _tool(name: str) -> ModuleType:
    """Import the module of a command.

    Raises:
        CompatError: this copy is vendored without it.

    """
    path = f"{__package__}.{_MODULES.get(name, f'tools.{name}')}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name in (f"{__package__}.tools", path):
            lacks = f"this vendored copy of compat has no command `{name}`"
            advice = "run it from an installed compat"
            if name == "check":  # an installed compat would check itself
                lacks = "this copy of compat has no reproducers"
                advice = (
                    "vendor it again without --no-reproducers, "
                    "and with a shim that has one"
                )
            raise CompatError(f"{lacks}; {advice}") from error
        raise


if __name__ == "__main__":
    # `python -m compat status | head` closes the pipe early. End quietly then, as other
    # commands do.
    if hasattr(signal, "SIGPIPE"):  # pragma: no branch (Windows has no SIGPIPE)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
