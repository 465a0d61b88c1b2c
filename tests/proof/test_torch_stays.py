"""Models through `torch.compile` and `torch.export` give bitwise equal results with all shims and without.

This includes shims that change generated code: the fixes change only wrong code, and `realize_on_reuse` is exact."""

from __future__ import annotations

import pytest
from helpers.this_torch import needs_compiler
from helpers.warm import Warm
from models import MODELS, outcome


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_model_gives_same_bits_with_all_shims(name: str, warm: Warm) -> None:
    without, _ = warm(outcome, name, False)
    with_shims, active = warm(outcome, name, True)
    assert {"lazy_graph_module", "realize_on_reuse"} <= active
    assert with_shims == without
