"""Check that each shim does on this torch what it promises: `python -m compat check`.

A reproducer is a file in `reproducers/` with the name of its shim. Its `outcome()`
returns "right", or says in a few words what is wrong.

`FIXED = (2, 12)` in a reproducer names the release that contains the fix, by upstream's
history and not by compat's answer; without it no release does. `FIRST = (2, 10)` names
the first release with the defect, if older torches do not have it. `PROCESSES = 2` runs
it twice with one cache directory; the second outcome counts. `BARE = True` keeps the
tests of compat from running it in a fork of a process that has imported Inductor.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import pkgutil
import tempfile
import time
import warnings
from contextlib import suppress
from typing import Any

from .. import version
from ..installation import install
from ..reporting import status_of
from ..selection import requested_mode
from ..shims.base import all_shims, named
from . import reproducers

_LIMIT = 300  # seconds for one process
NO_COMPILER = "not run: Inductor finds no C++ compiler"
_DECLARED = ("BARE", "FIRST", "FIXED", "PROCESSES")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    about = "the shims to check (default: every one that has a reproducer)"
    parser.add_argument("names", nargs="*", metavar="SHIM", help=about)


def run(names: list[str]) -> int:
    """Run the reproducers, each in a process of its own with its shim installed.

    Returns:
        0, or 1 if an outcome is wrong.

    Raises:
        ValueError: there is no torch; a shim is unknown, was left out of this copy, or
            has no reproducer; or a reproducer needs a C++ compiler and there is none.

    """
    there = available()
    known = [shim.name for shim in all_shims() if shim.name in there]
    for shim in named(names):
        if shim.name not in there:
            raise ValueError(f"{shim.name} has no reproducer; {', '.join(known)} have")
    if version.folder() is None:
        raise ValueError(f"there is nothing to check: {version.absence()}")
    print(f"torch {version.text()}\n", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _import_inductor(folder)
        outcomes = _outcomes(names or known)
    unchecked = [name for name, said in outcomes.items() if said == NO_COMPILER]
    right = ("right", "not run")
    wrong = [name for name, said in outcomes.items() if not said.startswith(right)]
    print(f"\nwrong: {', '.join(wrong)}" if wrong else "\nnothing is wrong")
    if unchecked and not wrong:
        lacking = "Inductor finds no C++ compiler"
        raise ValueError(f"{lacking}, so {', '.join(unchecked)} was not checked")
    return int(bool(wrong))


def _outcomes(names: list[str]) -> dict[str, str]:
    """Run the reproducers and print a row for each. Return the outcomes by shim."""
    outcomes = {}
    width = max(map(len, names), default=4)
    print(f"{'shim':<{width}}  mode      seconds  result")
    for name in names:
        start = time.monotonic()
        outcomes[name], mode = _outcome(name)
        row = f"{name:<{width}}  {mode:<8}  {time.monotonic() - start:>7.1f}"
        print(f"{row}  {outcomes[name]}", flush=True)
    return outcomes


def available() -> list[str]:
    """Return the shims that have a reproducer here, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(reproducers.__path__))


def _import_inductor(folder: str) -> None:
    """Import once what each of the forked processes needs, with this cache folder."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    # More threads would be processes, which Inductor starts when it is imported.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    with suppress(Exception):  # the outcomes will say it
        importlib.import_module("torch._inductor.compile_fx")
        importlib.import_module("torch._inductor.codecache").torch_key()


def declared(name: str) -> dict[str, Any]:
    """Return what a reproducer declares about itself, without importing it."""
    text = pkgutil.get_data(reproducers.__name__, f"{name}.py") or b""
    body = ast.parse(text).body
    given = [(one.targets[0], one.value) for one in body if isinstance(one, ast.Assign)]
    return {
        target.id: ast.literal_eval(value)
        for target, value in given
        if isinstance(target, ast.Name) and target.id in _DECLARED
    }


def _outcome(name: str) -> tuple[str, str]:
    """Return the outcome of one reproducer, and the mode of its shim."""
    about = declared(name)
    torch = version.parse(version.text())
    if torch and torch.release < about.get("FIRST", (0,)):
        return "not run: this torch is older than the defect", "noop"
    asked, why = requested_mode(named([name])[0], "auto")
    if asked == "noop":
        return f"not run: {why}", "noop"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for _ in range(about.get("PROCESSES", 1)):
            outcome, mode = _in_process(name, folder, about.get("BARE", False))
            if outcome != "right":
                break
    return outcome, mode


def _in_process(name: str, folder: str, bare: bool) -> tuple[str, str]:
    can_fork = "fork" in multiprocessing.get_all_start_methods() and not bare
    context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(name, folder, writer))
    child.start()
    writer.close()
    try:
        if reader.poll(_LIMIT):
            outcome, mode = reader.recv()
            return outcome, mode
        child.kill()
        return f"no outcome after {_LIMIT} seconds", "?"
    except EOFError:
        child.join()
        return f"the process ended with exit status {child.exitcode}", "?"
    finally:
        child.join()


def _send(name: str, folder: str, writer: Any) -> None:
    """Run a reproducer in this process, and send the outcome and the mode."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    warnings.simplefilter("ignore")
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # torch logs the errors that some reproducers cause
        os.dup2(silent, stream)
    module = importlib.import_module(f"{reproducers.__name__}.{name}")
    try:
        install(name)
        outcome = str(module.outcome())
    except Exception as error:  # noqa: BLE001 (the exception is the outcome)
        line = "".join(str(error).splitlines()[:1])
        outcome = f"{type(error).__name__}: {line[:80]}"
        if "InvalidCxxCompiler" in str(error):
            outcome = NO_COMPILER
    writer.send((outcome, status_of(named([name])[0]).mode))
