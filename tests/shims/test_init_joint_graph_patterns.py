"""`compat.api.init_joint_graph_patterns`: a later compile on that device does not load the patterns again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.graphs import compiling
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat


def loads(folder: str, in_advance: bool) -> list[int]:
    """Return how often the patterns have been loaded: at first, after our calls, and after a compile."""
    from torch._inductor.fx_passes.joint_graph import lazy_init

    def count() -> int:
        return int(lazy_init.cache_info().misses)

    counts = [count()]
    if in_advance:
        compat.api.init_joint_graph_patterns(torch.device("cpu"))
        compat.api.init_joint_graph_patterns(device=torch.device("cpu"))
    counts.append(count())
    with compiling(folder):
        assert torch.compile(lambda x: x @ x + 1, fullgraph=True)(torch.ones(2, 2)).tolist() == [[3.0] * 2] * 2
    return [*counts, count()]


@pytest.mark.parametrize("in_advance", [True, False])
def test_compile_after_the_call_loads_no_patterns(in_advance: bool, warm: Warm, tmp_path: Any) -> None:
    assert warm(loads, str(tmp_path), in_advance) == [0, int(in_advance), 1]


def test_mode_says_whether_torch_takes_the_device() -> None:
    (row,) = [row for row in compat.status() if row.name == "init_joint_graph_patterns"]
    assert row.mode == ("native" if RELEASE >= (2, 11) else "backport")


def test_function_with_another_parameter_is_an_unsupported_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.fx_passes.joint_graph as module

    def lazy_init(graph: Any) -> None: ...

    monkeypatch.setattr(module, "lazy_init", lazy_init)
    monkeypatch.setattr("compat.selection._selected", {})
    with pytest.raises(compat.UnsupportedError, match=r"lazy_init takes \(\), found: it takes \(graph\)"):
        compat.api.init_joint_graph_patterns()
