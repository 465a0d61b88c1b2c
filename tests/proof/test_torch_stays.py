"""Torch's own behaviour stays its own: models through `torch.compile` and `torch.export`, with all shims and without.

What comes out is equal bit by bit: also for the shims that change generated code, for the fixes only change what was
wrong, and `realize_on_reuse` is exact.
"""

from __future__ import annotations

import pytest
from helpers.this_torch import needs_compiler
from helpers.warm import Warm
from models import MODELS, outcome


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_same_bits_with_all_shims(name: str, warm: Warm) -> None:
    without, _ = warm(outcome, name, False)
    with_shims, active = warm(outcome, name, True)
    assert {"lazy_graph_module", "realize_on_reuse"} <= active
    assert with_shims == without
