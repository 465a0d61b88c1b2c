"""The header of the code that tunes Triton kernels runs, and reads the stream function.

Without a GPU the rest of that code cannot run.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch._inductor.codegen.wrapper import PythonWrapperCodegen
from torch._inductor.utils import IndentedBuffer

FIXED = (2, 10)


def outcome() -> str:
    namespace: Any = torch._C
    if not hasattr(namespace, "_cuda_getCurrentRawStream"):  # a CPU build of torch
        namespace._cuda_getCurrentRawStream = lambda index: 0
    wrapper: Any = SimpleNamespace(kernel_autotune_defs=IndentedBuffer())
    PythonWrapperCodegen.write_kernel_autotune_defs_header(wrapper)
    scope: dict[str, Any] = {}
    exec(wrapper.kernel_autotune_defs.getvalue() + "\nstream = get_raw_stream", scope)
    assert scope["stream"] is namespace._cuda_getCurrentRawStream
    return "right"
