"""Run reproducers in new processes and print their outcomes: `python tests/reproduce.py [with] NAME...`

A reproducer is a file in `reproducers/` with the name of its shim. Its `outcome()` returns "right", or says in a few
words what is wrong. With the word "with", the shim is installed first and the printed outcome ends with its mode.

`FIXED = (2, 12)` in a reproducer names the release that contains the fix, by upstream's history and not by compat's
answer; without it no release does. `FIRST = (2, 10)` names the first release with the defect, if older torches do not
have it.

Each process is a fork of one that has imported Dynamo and Inductor. `BARE = True` in a reproducer asks for a Python
that has imported nothing. `PROCESSES = 2` runs it twice with one cache directory; the second outcome counts.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from helpers.warm import Warm

HERE = Path(__file__).parent
DECLARED = ("BARE", "FIRST", "FIXED", "PROCESSES")


def declared(name: str) -> dict[str, Any]:
    """Return what a reproducer declares about itself, without importing it."""
    body = ast.parse((HERE / "reproducers" / f"{name}.py").read_text()).body
    given = [(one.targets[0], one.value) for one in body if isinstance(one, ast.Assign)]
    return {
        target.id: ast.literal_eval(value)
        for target, value in given
        if isinstance(target, ast.Name) and target.id in DECLARED
    }


@contextmanager
def compile_quickly(call_operators: bool = False) -> Iterator[None]:
    """Spare Inductor half a minute of compiler checks before its first small kernel.

    One kind of CPU vectors is used without trying it out. Cache keys do not contain this setting, so use it with a
    separate cache directory. With `call_operators`, the generated code calls each operator instead of a kernel, so no
    C++ is compiled; torch 2.9 compiles it all the same.
    """
    from torch._inductor import config, cpu_vec_isa

    known = cpu_vec_isa.supported_vec_isa_list
    one = [isa for isa in known if type(isa).__name__ == "VecAVX2"] or known
    # One thread: a compile worker process would detect the vectors itself, and the code is not made for those.
    believed = {"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True, "compile_threads": 1}
    if call_operators and hasattr(config, "fallback_by_default"):
        believed["fallback_by_default"] = True
    with config.patch(believed), mock.patch.object(cpu_vec_isa, "supported_vec_isa_list", one):
        yield


def here(name: str, shim: bool, folder: str) -> str:
    """Run a reproducer once in this process and return its outcome."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    module = importlib.import_module(f"reproducers.{name}")
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
