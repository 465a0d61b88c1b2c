"""The beginning of the code that tunes Triton kernels, run as it is, and then a part of it that asks for the stream.
Without a GPU that is as far as it goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch._inductor.codegen.wrapper import PythonWrapperCodegen
from torch._inductor.utils import IndentedBuffer


def outcome() -> str:
    namespace: Any = torch._C
    if not hasattr(namespace, "_cuda_getCurrentRawStream"):  # a build for the CPU
        namespace._cuda_getCurrentRawStream = lambda index: 0
    wrapper: Any = SimpleNamespace(kernel_autotune_defs=IndentedBuffer())
    PythonWrapperCodegen.write_kernel_autotune_defs_header(wrapper)
    scope: dict[str, Any] = {}
    exec(wrapper.kernel_autotune_defs.getvalue() + "\nstream = get_raw_stream", scope)
    assert scope["stream"] is namespace._cuda_getCurrentRawStream
    return "right"
