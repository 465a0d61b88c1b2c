"""`compat.api.cache_outside_dynamo`: misses, hits and lookups without Dynamo, and other threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.graphs import compiling, graph, keys_in, raised
from helpers.warm import Warm

import compat


def compile_outside(factor: float = 2.0) -> list[float]:
    """Compile as engines do that use `compile_fx`: no Dynamo, and AOTAutograd's cache off."""
    import torch._functorch.config
    from torch._inductor.compile_fx import compile_fx

    with torch._functorch.config.patch(enable_autograd_cache=False):
        made = compile_fx(graph(factor), [torch.ones(4)], config_patches={"fx_graph_cache": True})
    result: list[float] = made(torch.ones(4))[0].tolist()
    return result


def counted() -> dict[str, int]:
    from torch._dynamo.utils import counters

    found = {word: counters["inductor"][f"fxgraph_cache_{word}"] for word in ("bypass", "miss", "hit")}
    counters.clear()
    return found


def hits_and_misses(folder: str) -> dict[str, Any]:
    got: dict[str, Any] = {}
    with compiling(folder):
        got["results"] = [compile_outside()]
        got["plain"] = counted(), keys_in(folder, "fxgraph")
        keys: list[str] = []
        for name in ("first", "second"):
            with compat.api.cache_outside_dynamo(), compat.api.observe_cache_keys(keys.append, cache="inductor"):
                got["results"].append(compile_outside())
            got[name] = counted(), keys_in(folder, "fxgraph")
        got["keys"] = keys
        got["loaded"] = load(keys[0])
        got["not loaded"] = raised(lambda: _lookup(keys[0]))
        compile_outside()
        got["after"] = counted()
    return got


def load(key: str) -> list[float]:
    """Look an entry up by its key, as an engine does in the next process."""
    with compat.api.cache_outside_dynamo():
        found = _lookup(key)
    result: list[float] = found([torch.ones(4)])[0].tolist()
    return result


def _lookup(key: str) -> Any:
    import torch._dynamo.utils
    from torch._inductor.codecache import FxGraphCache
    from torch._inductor.output_code import CompiledFxGraphConstantsWithGm

    constants = CompiledFxGraphConstantsWithGm(graph())
    with torch._dynamo.utils.get_metrics_context(), torch._dynamo.utils.dynamo_timed("lookup"):
        found, _ = FxGraphCache._lookup_graph(key, [torch.ones(4)], True, None, constants)
    assert found is not None
    return found


def test_graph_is_cached_and_found_again(warm: Warm, tmp_path: Path) -> None:
    got = warm(hits_and_misses, str(tmp_path))
    assert got["results"] == [[2.0] * 4] * 3
    assert got["plain"] == ({"bypass": 1, "miss": 0, "hit": 0}, [])
    assert got["first"] == ({"bypass": 0, "miss": 1, "hit": 0}, got["keys"][:1])
    assert got["second"] == ({"bypass": 0, "miss": 0, "hit": 1}, got["keys"][1:])
    assert got["loaded"] == [2.0] * 4
    assert got["not loaded"].startswith("AssertionError")
    assert got["after"] == {"bypass": 1, "miss": 0, "hit": 0}


def test_block_gives_both_caches_an_environment_here_and_none_to_another_thread() -> None:
    from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache
    from torch._inductor.codecache import FxGraphCache

    found: list[Any] = []

    def look() -> None:
        found.append((FxGraphCache._get_shape_env(), AOTAutogradCache._get_shape_env()))

    code = FxGraphCache._get_shape_env.__func__.__code__
    with compat.api.cache_outside_dynamo(), compat.api.cache_outside_dynamo():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        one, other = FxGraphCache._get_shape_env(), AOTAutogradCache._get_shape_env()
        assert one is other
        assert one.evaluate_guards_expression("False", []) is True
        assert one.get_pruned_guards([]) == []
        assert one.produce_guards_expression(placeholders=[], guards=[]) == ""
        assert FxGraphCache._check_can_cache(None) is None
    look()
    assert found == [(None, None)] * 2
    assert FxGraphCache._get_shape_env.__func__.__code__ is code


def test_environment_has_every_attribute_of_torchs_own() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    with compat.api.cache_outside_dynamo():
        from torch._inductor.codecache import FxGraphCache

        assert set(dir(ShapeEnv())) <= set(dir(FxGraphCache._get_shape_env()))


def test_missing_function_is_an_unsupported_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.codecache import FxGraphCache

    monkeypatch.delattr(FxGraphCache, "_check_can_cache")
    monkeypatch.setattr("compat.selection._selected", {})
    with pytest.raises(compat.UnsupportedError, match="_check_can_cache does not exist"):
        compat.api.cache_outside_dynamo()
