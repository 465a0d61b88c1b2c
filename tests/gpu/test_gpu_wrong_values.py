"""The fixes of wrong values: each reproducer on the device, and a user's Triton kernel that overwrites a kept value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.device import DEVICE, ON_CPU, on_device
from helpers.this_torch import RELEASE, needs_compiler
from reproduce import here

import compat
from compat.selfcheck import available, declared

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore"), needs_compiler]
WRONG_VALUES = (
    "ambient_autocast",
    "float_in_cache_key",
    "full_of_bool",
    "fx_strides",
    "kept_snapshots",
    "pattern_kwargs",
)


@pytest.mark.parametrize("name", [name for name in WRONG_VALUES if name in available()])
def test_reproducer_fails_on_device_only_without_shim(name: str, tmp_path: Path) -> None:
    without, fixed = (on_device(here, name, shim, str(tmp_path / str(shim))) for shim in (False, True))
    affected = declared(name).get("FIXED", (99,)) > RELEASE
    assert (without != "right") == affected, without
    assert fixed == ("right (backport)" if affected else "right (native)")


@contextmanager
def installed(name: str) -> Iterator[None]:
    compat.install(name)
    try:
        yield
    finally:
        compat.uninstall(name)


@pytest.mark.skipif(ON_CPU, reason="a user's Triton kernel needs a GPU")
def test_triton_kernel_that_overwrites_a_kept_value_is_right_only_with_shim() -> None:
    kernels = pytest.importorskip("triton_kernels", reason="triton is not installed")

    def shift_by_kernel(x: torch.Tensor) -> torch.Tensor:
        product = x @ x.t()
        old = product.clone()
        kernels.shift[(1,)](old, product, x.shape[0], width=x.shape[0], num_warps=1, num_stages=1)
        return product * 2

    x = torch.arange(256.0, device=DEVICE).view(16, 16) / 64
    expected = shift_by_kernel(x)
    assert not torch.allclose(torch.compile(shift_by_kernel, fullgraph=True)(x), expected)
    torch._dynamo.reset()
    with installed("kept_snapshots"):
        torch.testing.assert_close(torch.compile(shift_by_kernel, fullgraph=True)(x), expected)
