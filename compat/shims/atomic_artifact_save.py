"""`atomic_artifact_save`: replace a saved artifact whole, or leave the old one alone.

Symptom: A save that fails leaves an empty or truncated file in place of the good
artifact. A value that cannot be pickled, a full disk or a killed process is enough:
torch opens the file before it has the bytes to write.
Upstream: pytorch#162432 repairs `CompiledArtifact.save`, in 2.10.0. pytorch#175995
repairs `AOTCompiledFunction.save_compiled_function`, in 2.12.0.
Affected: both methods on 2.9, the second one up to 2.11.
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
# From 2.10 on this method is abstract, and the method that does the work is atomic.
_ARTIFACT = "torch._inductor.standalone_compile:CompiledArtifact.save"


def _save_atomically(path: Any, save: Callable[[Any], Any]) -> Any:
    """Save to a file beside the target, and rename it when all is written.

    Args:
        path: the file to replace.
        save: writes the file that it is given.

    Returns:
        The result of `save`.

    """
    target = os.path.realpath(path)  # a symbolic link stays a link
    if os.path.exists(target) and not os.path.isfile(target):
        # A pipe or a device cannot be replaced. For a directory torch raises its error.
        return save(path)
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


def _replace_save_compiled_function(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `save_compiled_function` write atomically."""

    def save_compiled_function(
        compiled: Any, path: Any, *args: Any, **kwargs: Any
    ) -> Any:
        def save(path: Any) -> Any:
            return wrapper.next(compiled, path, *args, **kwargs)

        return _save_atomically(path, save)

    return save_compiled_function


def _replace_save(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `save` write the binary format atomically."""

    def save(*args: Any, **named: Any) -> Any:
        # The other format writes a directory.
        if "path" not in named or named.get("format") != "binary":
            return wrapper.next(*args, **named)
        return _save_atomically(
            named["path"], lambda path: wrapper.next(*args, **{**named, "path": path})
        )

    return save


SHIM = Shim(
    name="atomic_artifact_save",
    kind="fix",
    upstream="pytorch#162432 and pytorch#175995, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    # Each method refers to the function that writes atomically, and has no other use
    # for it. The first method's class came with pytorch#162432.
    native=(
        Refers(
            "torch._inductor.standalone_compile:CacheCompiledArtifact.save",
            "write_atomic",
        ),
        Refers(_FUNCTION, "atomic_write_binary"),
    ),
    backport=(
        Symbol(_FUNCTION, "function"),
        Parameters(_FUNCTION, ("self", "path")),
        Refers(_FUNCTION, "open"),
        Symbol(_ARTIFACT, "function"),
    ),
    replacements={_FUNCTION: _replace_save_compiled_function, _ARTIFACT: _replace_save},
)
