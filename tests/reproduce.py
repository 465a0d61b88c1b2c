"""Runs one reproducer in this process and prints what came out: `python tests/reproduce.py NAME [with]`.

A reproducer is a file in `reproducers/` with the name of its shim. Its `outcome()` says "right", or in a few words what
is wrong; `PROCESSES = 2` has it run twice with one cache directory, and the last run counts.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager


def compile_quickly() -> AbstractContextManager[None]:
    """Keeps Inductor from half a minute of trying out the C++ compiler before it compiles its first small kernel."""
    from torch._inductor import config

    manager: AbstractContextManager[None] = config.patch(
        {"cpp_cache_precompile_headers": False, "cpp.vec_isa_ok": True}
    )
    return manager


def main(name: str, *words: str) -> None:
    module = importlib.import_module(f"reproducers.{name}")
    if "with" in words:
        import compat

        compat.install(name)
    try:
        said = module.outcome()
    except Exception as error:  # noqa: BLE001 (that it raises is the outcome)
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    if "with" in words:
        mode = {row.name: row.mode for row in compat.status()}[name]
        said = f"{said} ({mode})"
    print(f"outcome: {said}")


if __name__ == "__main__":
    sys.modules["reproduce"] = sys.modules["__main__"]
    main(*sys.argv[1:])
