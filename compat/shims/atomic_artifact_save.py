"""`atomic_artifact_save`: saving a compiled artifact replaces the one that was there, or leaves it alone.

Symptom: A save that fails leaves an empty or truncated file in place of the good
artifact. A value that cannot be pickled, a full disk or a killed process is enough:
torch opens the file before it has the bytes to write.
Upstream: pytorch#175995 (`AOTCompiledFunction.save_compiled_function`), in 2.12.0, and pytorch#162432
(`CompiledArtifact.save`), in 2.10.0. Affected: up to 2.11; on 2.9 both.
Removal: when no supported torch is older than 2.12.
"""

from __future__ import annotations

import os
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_FUNCTION = "torch._dynamo.aot_compile:AOTCompiledFunction.save_compiled_function"
# From 2.10 on an abstract method, which nobody calls; the method that does the work is atomic there.
_ARTIFACT = "torch._inductor.standalone_compile:CompiledArtifact.save"


def _replace(path: Any, save: Callable[[Any], Any]) -> Any:
    """`save(path)`, done to a file beside it that takes its place when all is written."""
    target = os.path.realpath(path)  # a link stays one
    if os.path.exists(target) and not os.path.isfile(target):
        return save(path)  # a pipe or a device; or a directory, and torch's own words about it
    beside = os.path.join(os.path.dirname(target), f".{os.getpid()}.{get_ident()}.tmp")
    try:
        result = save(beside)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(beside, os.stat(target).st_mode)
        os.replace(beside, target)
    finally:
        if os.path.exists(beside):
            os.remove(beside)
    return result


def _saving_function(wrapper: Wrapper) -> Callable[..., Any]:
    def save_compiled_function(compiled: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
        return _replace(path, lambda path: wrapper.next(compiled, path, *args, **kwargs))

    return save_compiled_function


def _saving_artifact(wrapper: Wrapper) -> Callable[..., Any]:
    def save(*args: Any, **named: Any) -> Any:
        if "path" not in named or named.get("format") != "binary":  # a directory, if it is not for one file
            return wrapper.next(*args, **named)
        return _replace(named["path"], lambda path: wrapper.next(*args, **{**named, "path": path}))

    return save


SHIM = Shim(
    name="atomic_artifact_save",
    kind="fix",
    upstream="pytorch#162432 and pytorch#175995, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    # Each names the function that writes atomically, and has no other use for it. The class of the second one came
    # with the change.
    native=(
        Refers("torch._inductor.standalone_compile:CacheCompiledArtifact.save", "write_atomic"),
        Refers(_FUNCTION, "atomic_write_binary"),
    ),
    backport=(
        Symbol(_FUNCTION, "function"),
        Parameters(_FUNCTION, ("self", "path")),
        Refers(_FUNCTION, "open"),
        Symbol(_ARTIFACT, "function"),
    ),
    replacements={_FUNCTION: _saving_function, _ARTIFACT: _saving_artifact},
)
