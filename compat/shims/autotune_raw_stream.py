"""`autotune_raw_stream`: the code that tunes Triton kernels while Inductor compiles finds `get_raw_stream`.

Symptom: Code that tunes Triton kernels uses a name before it imports it. On a GPU, if
kernels are tuned at compile time (`triton.autotune_at_compile_time`, which
`standalone_compile` turns on), the message is "Failed to run autotuning code block:
name 'get_raw_stream' is not defined". That code is put together from parts, and a part
that asks for the stream may come before the part that imports the function.
Upstream: in 2.10.0 what comes first defines it. Affected: 2.9 (vllm#30905). vLLM puts it among Python's builtins.
Removal: when no supported torch is older than 2.10.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch._inductor.codegen.wrapper:PythonWrapperCodegen.write_kernel_autotune_defs_header"


def _importing(wrapper: Wrapper) -> Callable[..., Any]:
    def write_kernel_autotune_defs_header(codegen: Any) -> Any:
        result = wrapper.next(codegen)
        # As upstream has it: the function is in every build that has a GPU of the kind in question.
        if hasattr(sys.modules["torch._C"], "_cuda_getCurrentRawStream"):
            codegen.kernel_autotune_defs.writeline("from torch._C import _cuda_getCurrentRawStream as get_raw_stream")
        return result

    return write_kernel_autotune_defs_header


# What it changes is run once, while Inductor compiles, and is no part of what is generated or cached.
SHIM = Shim(
    name="autotune_raw_stream",
    kind="fix",
    upstream="vllm#30905, in torch 2.10.0",
    changes_codegen=False,
    revision=1,
    # What it writes goes before all else that is run: once it speaks of the function there, nobody is too early.
    native=(Mentions(_TARGET, "get_raw_stream"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Refers(_TARGET, "kernel_autotune_defs"),
    ),
    replacements={_TARGET: _importing},
)
