"""`fx_cache_pickle`: which errors make Inductor bypass the cache, and which stay errors."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from helpers.this_torch import RELEASE

from compat import install, uninstall

# From 2.11 on torch does this itself, and later torches bypass the cache for every type that raises.
pytestmark = pytest.mark.skipif(RELEASE >= (2, 11), reason="torch does it itself")


class Raises:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


@pytest.fixture
def installed() -> Iterator[None]:
    install("fx_cache_pickle")
    yield
    uninstall("fx_cache_pickle")


def dump(error: Exception) -> None:
    from torch._inductor.codecache import FxGraphCachePickler

    pickler = FxGraphCachePickler(torch.fx.symbolic_trace(lambda x: x + 1))
    try:
        pickler.dumps(Raises(error))
    finally:
        assert pickler.dumps(1) == pickler.dumps(1)  # the failed object left nothing in the stream


@pytest.mark.parametrize(
    "error",
    [
        ValueError("layout"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "no"),
        pickle.PicklingError("no"),
        TypeError("no"),
        AttributeError("no"),
        RuntimeError("<pybind11_builtins.x object> is not pickleable."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pickling_error_bypasses_cache(error: Exception, installed: None) -> None:
    from torch._inductor import codecache

    bypassed = pytest.raises(codecache.BypassFxGraphCache, match="Failed to pickle cache key")
    with mock.patch.object(codecache.log, "warning") as told, bypassed as raised:
        dump(error)
    told.assert_called_once_with("Failed to pickle cache key", exc_info=True)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("out of memory"),
        RuntimeError("pybind11 has no memory"),
        RuntimeError("it is not pickleable."),
        NotImplementedError("no"),
        KeyError("no"),
    ],
    ids=str,
)
def test_other_errors_are_raised_unchanged(error: Exception, installed: None) -> None:
    with pytest.raises(type(error)) as raised:
        dump(error)
    assert raised.value is error


def test_bypass_raised_by_torch_is_passed_on(installed: None) -> None:
    from torch._inductor.codecache import BypassFxGraphCache

    error = BypassFxGraphCache("mkldnn tensors unpickleable")
    with pytest.raises(BypassFxGraphCache) as raised:
        dump(error)
    assert raised.value is error
