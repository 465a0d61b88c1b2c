"""Runs reproducers, each in a process of its own, and prints what came out: `python tests/reproduce.py [with] NAME...`

A reproducer is a file in `reproducers/` with the name of its shim. Its `outcome()` says "right", or in a few words what
is wrong. `PROCESSES = 2` has it run twice with one cache directory, and the last run counts. The processes are forks of
this one, which has imported Dynamo and Inductor; `BARE = True` gets a Python that has imported nothing. With the word
"with", its shim is installed, and its mode follows in brackets.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager


def compile_quickly() -> AbstractContextManager[None]:
    """Keeps Inductor from half a minute of trying out the C++ compiler before it compiles its first small kernel."""
    from torch._inductor import config

    manager: AbstractContextManager[None] = config.patch(
        {"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True}
    )
    return manager


def here(name: str, shim: bool) -> None:
    """One run, in this process."""
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
    print(f"{name}: {said}", flush=True)


def forked(name: str, shim: bool) -> int:
    child = os.fork()
    if not child:
        try:
            here(name, shim)
        finally:
            sys.stderr.flush()
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def bare(name: str, shim: bool) -> int:
    return subprocess.run([sys.executable, "-W", "ignore", __file__, "here", name, *["with"] * shim]).returncode


def main(words: list[str]) -> None:
    if words[0] == "here":
        here(words[1], "with" in words)
        return
    for name in words:
        if name == "with":
            continue
        module = importlib.import_module(f"reproducers.{name}")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
            for _ in range(getattr(module, "PROCESSES", 1)):
                status = (bare if getattr(module, "BARE", False) else forked)(name, "with" in words)
                if status:
                    print(f"{name}: ends with status {status}", flush=True)


if __name__ == "__main__":
    sys.modules["reproduce"] = sys.modules["__main__"]
    if sys.argv[1] != "here":
        pass
    main(sys.argv[1:])
