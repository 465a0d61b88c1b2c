"""Artifacts whose serialization fails are saved over good files."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch._inductor.standalone_compile  # noqa: F401
from torch._dynamo.aot_compile import AOTCompiledFunction
from torch.utils._appending_byte_serializer import BytesWriter

FIXED = (2, 12)


def outcome() -> str:
    def full(self: object) -> bytes:
        raise OSError("no space left")

    BytesWriter.to_bytes = full
    module: Any = sys.modules[
        "torch._inductor.standalone_compile"
    ]  # the attribute of that name is a function
    kind = getattr(module, "CacheCompiledArtifact", module.CompiledArtifact)
    artifact = kind(None, (b"", SimpleNamespace(aot_autograd_artifacts=["key"])))
    function = AOTCompiledFunction.__new__(
        AOTCompiledFunction
    )  # it has no attributes, so its serialization fails
    saves: dict[str, Callable[[str], object]] = {
        "function": function.save_compiled_function,
        "artifact": lambda path: artifact.save(path=path),
    }
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        for name, save in saves.items():
            path = Path(folder, name)
            path.write_bytes(b"good")
            try:
                save(str(path))
            except (AttributeError, OSError):
                lost += [name] if path.read_bytes() != b"good" else []
            else:
                return f"{name} could be saved"
        left = len(list(Path(folder).iterdir())) - len(saves)
    assert not left, f"{left} files left behind"
    return f"{' and '.join(lost)} lost to a save that failed" if lost else "right"
