"""Run reproducers in new processes and print their outcomes: `python tests/reproduce.py [with] NAME...`

`compat/selfcheck/` has the reproducers, and says what they declare.

Each process is a fork of one that has imported Dynamo and Inductor. `BARE = True` in a reproducer asks for a Python
that has imported nothing.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.warm import Warm

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for a checkout that is not installed

from compat.selfcheck import declared  # noqa: E402


def here(name: str, shim: bool, folder: str) -> str:
    """Run a reproducer once in this process and return its outcome."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    module = importlib.import_module(f"compat.selfcheck.reproducers.{name}")
    if shim:
        import compat

        compat.install(name)
    try:
        said = module.outcome()
    except Exception as error:  # noqa: BLE001 (the exception is the outcome)
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    if shim:
        said = f"{said} ({next(row.mode for row in compat.status() if row.name == name)})"
    return str(said)


def outcome(name: str, shim: bool, warm: Warm) -> str:
    about = declared(name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for _ in range(about.get("PROCESSES", 1)):
            said = (bare if about.get("BARE") else warm)(here, name, shim, folder)
    return said


def bare(_: object, name: str, shim: bool, folder: str) -> str:
    command = [sys.executable, "-W", "ignore", __file__, "here", name, *["with"] * shim]
    paths = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(HERE.parent)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_CACHE_DIR": folder}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    return done.stdout.strip() or done.stderr[-300:]


def main(words: list[str]) -> None:
    if words[0] == "here":
        print(here(words[1], "with" in words, os.environ["TORCHINDUCTOR_CACHE_DIR"]))
        return
    warm = Warm()
    for name in words:
        if name != "with":
            print(f"{name}: {outcome(name, 'with' in words, warm)}", flush=True)
    warm.end()


if __name__ == "__main__":
    # The other process imports the function that it runs, and cannot import it from `__main__`.
    importlib.import_module("reproduce").main(sys.argv[1:])
