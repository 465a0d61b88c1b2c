"""`autotune_raw_stream`: what the header imports. The reproducer runs it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from compat.shims import autotune_raw_stream


@pytest.mark.parametrize("gpu", [True, False])
def test_autotune_imports_raw_stream_only_if_build_has_it(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    codegen = SimpleNamespace(kernel_autotune_defs=SimpleNamespace(writeline=written.append))
    wrapper: Any = SimpleNamespace(next=lambda given: given)
    build = SimpleNamespace(**{"_cuda_getCurrentRawStream": print} if gpu else {})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch._C", build)
        assert autotune_raw_stream._replace_write_kernel_autotune_defs_header(wrapper)(codegen) is codegen
    assert written == ["from torch._C import _cuda_getCurrentRawStream as get_raw_stream"] * gpu
