"""Runs reproducers, each in a process of its own, and prints what came out: `python tests/reproduce.py [with] NAME...`

A reproducer is a file in `reproducers/` with the name of its shim. Its `outcome()` says "right", or in a few words what
is wrong. `PROCESSES = 2` has it run twice with one cache directory, and the last run counts. The processes are forks of
one that has imported Dynamo and Inductor; `BARE = True` gets a Python that has imported nothing. With the word "with",
its shim is installed, and its mode follows in brackets.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from helpers.warm import Warm

HERE = Path(__file__).parent


@contextmanager
def compile_quickly() -> Iterator[None]:
    """Keeps Inductor from half a minute of trying out the C++ compiler before it compiles its first small kernel: of
    the kinds of vectors that a CPU may have, one is taken at its word. Not part of any cache's key: it wants a cache
    directory of its own."""
    from torch._inductor import config, cpu_vec_isa

    known = cpu_vec_isa.supported_vec_isa_list
    one = [isa for isa in known if type(isa).__name__ == "VecAVX2"] or known
    # Compiled here: another process would find out for itself what vectors there are, and the code is not for those.
    believed = {"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True, "compile_threads": 1}
    with config.patch(believed), mock.patch.object(cpu_vec_isa, "supported_vec_isa_list", one):
        yield


def here(name: str, shim: bool, folder: str) -> str:
    """One run, in this process."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    module = importlib.import_module(f"reproducers.{name}")
    if shim:
        import compat

        compat.install(name)
    try:
        said = module.outcome()
    except Exception as error:  # noqa: BLE001 (that it raises is the outcome)
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    if shim:
        said = f"{said} ({next(row.mode for row in compat.status() if row.name == name)})"
    return str(said)


def outcome(name: str, shim: bool, warm: Warm) -> str:
    text = (HERE / "reproducers" / f"{name}.py").read_text()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for _ in range(2 if "\nPROCESSES = 2" in text else 1):
            said = (bare if "\nBARE = True" in text else warm)(here, name, shim, folder)
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
    sys.modules["reproduce"] = sys.modules["__main__"]
    main(sys.argv[1:])
