"""Make Inductor's first small kernels compile quickly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def compile_quickly(call_operators: bool = False) -> Iterator[None]:
    """Spare Inductor half a minute of compiler checks before its first small kernel.

    One kind of CPU vectors is used without trying it out. Cache keys do not contain
    this setting, so use it with a separate cache directory. With `call_operators`, the
    generated code calls each operator in place of a kernel, so no C++ is compiled;
    torch 2.9 compiles it all the same.
    """
    from torch._inductor import config, cpu_vec_isa

    known = cpu_vec_isa.supported_vec_isa_list
    one = [isa for isa in known if type(isa).__name__ == "VecAVX2"] or known
    # One thread: a compile worker process would detect the vectors itself, and the code
    # is not made for those.
    believed = {
        "cpp_cache_precompile_headers": False,
        "cpp.vec_isa_ok": True,
        "compile_threads": 1,
    }
    if call_operators and hasattr(config, "fallback_by_default"):
        believed["fallback_by_default"] = True
    with (
        config.patch(believed),
        mock.patch.object(cpu_vec_isa, "supported_vec_isa_list", one),
    ):
        yield
