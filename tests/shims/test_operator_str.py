"""`operator_str` makes the text of a log line only when it is read, and leaves the layout of arguments alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers.this_torch import RELEASE, needs_compiler
from helpers.warm import Warm
from torch import library as torch_library

import compat
from compat.selfcheck.quick import compile_quickly


def test_deferred_text_equals_text_of_torch() -> None:
    from torch._inductor.exc import LoweringException, OperatorIssue

    own = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    compat.install("operator_str", mode="backport" if RELEASE < (2, 13) else "native")
    made = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    error = LoweringException(ValueError("no"), len, [[1]], {"key": 2})
    compat.uninstall("operator_str")
    assert str(made) == own
    assert isinstance(made, str) == (RELEASE >= (2, 13))
    assert own in str(error)


def strides(workaround: str, folder: str) -> list[tuple[int, ...]]:
    """Return the strides that an op's argument has in eager mode, and in compiled code with a workaround."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._inductor.lowering import FALLBACK_ALLOW_LIST

    seen: list[tuple[int, ...]] = []

    def probe(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.stride())
        return x.clone()

    library = torch_library.Library("test_operator_str", "DEF")
    library.define("probe(Tensor x) -> Tensor")
    library.impl("probe", probe, "CompositeExplicitAutograd")
    torch_library.register_fake("test_operator_str::probe", torch.empty_like, lib=library)

    def program(a: torch.Tensor) -> torch.Tensor:
        return torch.ops.test_operator_str.probe((a.t().contiguous() + 1).t() * 2)

    if workaround == "allow list":
        FALLBACK_ALLOW_LIST.add("test_operator_str::probe")
    else:
        compat.install("operator_str")
    a = torch.ones(4, 8)
    program(a)
    with compile_quickly():
        torch.compile(program, fullgraph=True)(a)
    return seen


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(("workaround", "keeps"), [("operator_str", True), ("allow list", False)])
def test_op_on_allow_list_loses_its_strides_and_keeps_them_with_shim(
    workaround: str, keeps: bool, warm: Warm, tmp_path: Path
) -> None:
    # An engine puts its ops on the list to avoid the log line. The list also drops the layout that an op relies on.
    eager, compiled = warm(strides, workaround, str(tmp_path))
    assert eager == (1, 4)
    assert compiled == (eager if keeps else (8, 1))
