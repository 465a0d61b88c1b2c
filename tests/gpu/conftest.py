"""Skips the tests of this folder, with the reason, if torch sees no such device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from helpers.device import absence
from torch._inductor.utils import fresh_cache

from compat.selfcheck.quick import compile_quickly


@pytest.fixture(autouse=True)
def fresh_compiles() -> Iterator[None]:
    reason = absence()
    if reason:
        pytest.skip(reason)
    torch._dynamo.reset()
    with fresh_cache(), compile_quickly():
        yield
