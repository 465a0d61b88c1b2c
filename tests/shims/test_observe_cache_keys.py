"""`compat.api.observe_cache_keys`: the final key, replaced keys, refused compiles, threads and nesting."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.graphs import compiling, graph, keys_in, raised
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat
from compat.shims import LEFT_OUT
from compat.shims import observe_cache_keys as shim

# The first one is not in a copy for new torches.
FIXES = tuple(name for name in ("unique_fallback_key", "float_in_cache_key") if name not in LEFT_OUT)


class Stop(BaseException):
    """As an engine ends a compile whose result it has already."""


def make(factor: float = 2.0) -> Any:
    return compat.api.standalone_compile(graph(factor), [torch.ones(4)])


def see_and_replace(folder: str) -> dict[str, Any]:
    seen: dict[str, list[str]] = {"aotautograd": [], "inductor": []}
    got: dict[str, Any] = {"seen": seen}
    with compiling(folder):
        inner = compat.api.observe_cache_keys(seen["inductor"].append, cache="inductor")
        with compat.api.observe_cache_keys(seen["aotautograd"].append), inner:
            make()
        got["saved"] = keys_in(folder, "aotautograd"), keys_in(folder, "fxgraph")
        order: list[tuple[str, str]] = []

        def outer(key: str) -> None:
            order.append(("outer", key))

        def rename(key: str) -> str:
            order.append(("inner", key))
            return "a" + "b" * 63

        with compat.api.observe_cache_keys(outer), compat.api.observe_cache_keys(rename):
            got["renamed"] = make(3.0)(torch.ones(4))[0].tolist()
        got["order"] = order
        got["saved under a name"] = sorted({*keys_in(folder, "aotautograd")} - {*got["saved"][0]})
        make(5.0)  # outside of all blocks
        got["after"] = len(seen["aotautograd"]), len(order)
    return got


def test_callback_sees_the_key_and_its_answer_replaces_it(warm: Warm, tmp_path: Path) -> None:
    got = warm(see_and_replace, str(tmp_path))
    assert len(got["seen"]["aotautograd"]) == len(got["seen"]["inductor"]) == 1
    assert got["saved"] == (got["seen"]["aotautograd"], got["seen"]["inductor"])
    assert got["renamed"] == [3.0] * 4
    (first, key), second = got["order"]
    assert (first, key[0]) == ("inner", "a")
    assert second == ("outer", "a" + "b" * 63)
    assert got["saved under a name"] == ["a" + "b" * 63]
    assert got["after"] == (1, 2)


def refuse(folder: str) -> dict[str, Any]:
    from torch._functorch._aot_autograd import autograd_cache
    from torch._inductor import codecache

    functions = (
        autograd_cache.autograd_cache_key,
        autograd_cache.AOTAutogradCache.try_load,
        codecache.compiled_fx_graph_hash,
    )
    codes = [function.__code__ for function in functions]
    got: dict[str, Any] = {}
    with compiling(folder):
        for error in (Stop("seen"), ValueError("no"), KeyboardInterrupt()):
            for cache in ("aotautograd", "inductor"):

                def stop(key: str, error: BaseException = error) -> None:
                    raise error

                with compat.api.observe_cache_keys(stop, cache=cache):  # type: ignore[arg-type]
                    got[f"{type(error).__name__} {cache}"] = raised(lambda: make(len(got) + 2.0))
                assert [function.__code__ for function in functions] == codes
        with compat.api.observe_cache_keys(lambda key: 1):  # type: ignore[arg-type, return-value]
            got["number"] = raised(make)
        got["after"] = make()(torch.ones(4))[0].tolist()
    return got


def test_exception_of_the_callback_ends_the_compile_and_torch_stays(warm: Warm, tmp_path: Path) -> None:
    got = warm(refuse, str(tmp_path))
    for name in ("Stop aotautograd", "Stop inductor"):
        assert got[name] == "Stop: seen"
    assert got["ValueError aotautograd"] == "ValueError: no"
    assert "ValueError: no" in got["ValueError inductor"]  # torch wraps it in an error of its own, on some releases
    assert got["KeyboardInterrupt aotautograd"] == got["KeyboardInterrupt inductor"] == "KeyboardInterrupt: "
    assert got["number"] == "TypeError: the callback returned 1, which is neither a key nor None"
    assert got["after"] == [2.0] * 4


def other_threads(folder: str) -> list[Any]:
    seen: list[str] = []

    def make_one(factor: float) -> None:
        with compiling(folder):  # torch's settings belong to the thread
            make(factor)

    make_one(5.0)  # torch 2.11.0 crashes if its first trace was in a thread that has ended
    with compat.api.observe_cache_keys(seen.append):
        thread = threading.Thread(target=make_one, args=(2.0,))
        thread.start()
        thread.join()
        elsewhere = list(seen)
        make_one(3.0)
    return [elsewhere, len(seen), len(keys_in(folder, "aotautograd"))]


def test_compile_of_another_thread_is_not_observed(warm: Warm, tmp_path: Path) -> None:
    assert warm(other_threads, str(tmp_path)) == [[], 1, 3]


def final_key(folder: str) -> list[Any]:
    """Install fixes that change keys while the block is open, and compile a graph with a float."""
    seen: list[str] = []
    x = torch.linspace(-2, 2, 16).view(4, 4)
    with compiling(folder), compat.api.observe_cache_keys(seen.append):
        compat.install(*FIXES)
        program = torch.compile(lambda s: (x * s).clamp(-s, s), fullgraph=True)
        for value in (0.5, 0.75):
            program(value)
        compat.uninstall(*FIXES)
    return [seen, keys_in(folder, "aotautograd")]


def test_callback_sees_the_key_after_shims_that_were_put_in_later(warm: Warm, tmp_path: Path) -> None:
    seen, saved = warm(final_key, str(tmp_path))
    assert len(seen) >= 2
    assert any(len(key) == 1 + 64 + 32 or len(key) > 65 for key in seen), "float_in_cache_key has changed no key"
    assert set(saved) <= set(seen)
    assert saved


def by_function(folder: str) -> list[Any]:
    """Ask torch for a key without a compile, as it is possible from 2.12 on."""
    from torch._inductor.standalone_compile import autograd_cache_key

    seen: list[str] = []
    with compiling(folder):
        with compat.api.observe_cache_keys(seen.append):
            asked = autograd_cache_key(graph(), [torch.ones(4)], "from_graph")
            raising = raised(lambda: autograd_cache_key(graph(), [torch.ones(4)], "from_graph"))
        with compat.api.observe_cache_keys({}.__getitem__):
            raising = raised(lambda: autograd_cache_key(graph(), [torch.ones(4)], "from_graph"))
    return [asked[0] == seen[0], raising[:8]]


@pytest.mark.skipif(RELEASE < (2, 12), reason="torch can compute a key without a compile from 2.12 on")
def test_key_that_is_asked_for_without_a_compile_is_observed(warm: Warm, tmp_path: Path) -> None:
    assert warm(by_function, str(tmp_path)) == [True, "KeyError"]


def test_unknown_cache_is_refused() -> None:
    with pytest.raises(ValueError, match="cache is 'triton'; it can be aotautograd, inductor"):
        compat.api.observe_cache_keys(print, cache="triton")  # type: ignore[arg-type]


def test_missing_function_is_an_unsupported_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import codecache

    monkeypatch.delattr(codecache, "compiled_fx_graph_hash")
    monkeypatch.setattr("compat.selection._selected", {})
    with pytest.raises(compat.UnsupportedError, match="compiled_fx_graph_hash does not exist"):
        compat.api.observe_cache_keys(print)
    assert not shim.SHIM.active
