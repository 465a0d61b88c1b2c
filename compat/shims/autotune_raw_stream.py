"""`autotune_raw_stream`: import `get_raw_stream` before autotuning code uses it.

Symptom: Code that tunes Triton kernels uses a name before it imports it. On a GPU, if
kernels are tuned at compile time (`triton.autotune_at_compile_time`, which
`standalone_compile` turns on), the message is "Failed to run autotuning code block:
name 'get_raw_stream' is not defined". That code is put together from parts, and a part
that asks for the stream may come before the part that imports the function.
Upstream: the first part imports the function, in 2.10.0.
Affected: 2.9 (vllm#30905). vLLM adds the function to Python's builtins.
Removal: when no supported torch is older than 2.10.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_CODEGEN = "torch._inductor.codegen.wrapper:PythonWrapperCodegen"
_TARGET = f"{_CODEGEN}.write_kernel_autotune_defs_header"
_FUNCTION = "_cuda_getCurrentRawStream"
_IMPORT = f"from torch._C import {_FUNCTION} as get_raw_stream"


def _replace_write_kernel_autotune_defs_header(wrapper: Wrapper) -> Callable[..., Any]:
    """Add the import to the part that runs first."""

    def write_kernel_autotune_defs_header(codegen: Any) -> Any:
        result = wrapper.next(codegen)
        # Builds of torch for the CPU lack the function, and tune no Triton kernels.
        if hasattr(sys.modules["torch._C"], _FUNCTION):
            codegen.kernel_autotune_defs.writeline(_IMPORT)
        return result

    return write_kernel_autotune_defs_header


SHIM = Shim(
    name="autotune_raw_stream",
    kind="fix",
    upstream="vllm#30905, in torch 2.10.0",
    # The changed code runs once, while Inductor compiles. It is neither part of the
    # generated code nor cached.
    changes_codegen=False,
    revision=1,
    # This part runs before all others. If it mentions the function, it imports it.
    native=(Mentions(_TARGET, "get_raw_stream"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Refers(_TARGET, "kernel_autotune_defs"),
    ),
    replacements={_TARGET: _replace_write_kernel_autotune_defs_header},
)
