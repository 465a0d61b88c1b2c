"""`ambient_autocast`: have cache keys tell apart the dtypes that autocast stands for.

Symptom: A compiled function returns results of **another dtype**, from code of another
process or of an earlier call. `torch.autocast(device)` without a dtype, inside the
function, takes the ambient dtype (`torch.set_autocast_dtype`). The key of AOTAutograd's
cache has that dtype only for devices whose autocast is on outside. Up to 2.12 it does
not have it for these devices either.
Upstream: pytorch#191106, in 2.15.0.
Affected: up to 2.14.1. Before 2.14 torch caches a graph with an autocast only if the
autocast is in an inner graph, as with activation checkpointing.
Removal: when no supported torch is older than 2.15.

Only the keys of graphs that use autocast change.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Refers, Symbol, Takes
from .base import Shim

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_TARGET = f"{_CACHE}:autograd_cache_key"
_DETAILS = f"{_CACHE}:AOTAutogradCacheDetails"
_ENTER = "torch.amp.autocast_mode:_enter_autocast"


def _has_autocast(mod: Any) -> bool:
    """Return whether the graph or an inner graph enters an autocast."""
    graph_module = sys.modules["torch.fx"].GraphModule
    enter = sys.modules["torch.amp.autocast_mode"]._enter_autocast
    root = getattr(mod, "gm", mod)  # Dynamo's GmWrapper has the graph inside
    return any(
        module.graph.find_nodes(op="call_function", target=enter, sort=False)
        for module in root.modules()
        if isinstance(module, graph_module)
    )


def _replace_autograd_cache_key(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `autograd_cache_key` add the dtypes that an autocast can stand for."""
    torch = sys.modules["torch"]

    def autograd_cache_key(mod: Any, *rest: Any, **named: Any) -> Any:
        key, lines = wrapper.next(mod, *rest, **named)
        inside = _has_autocast(mod)
        if inside or torch._C._is_any_autocast_enabled():
            devices = sorted(torch._C._autocast_supported_devices())
            dtypes = [
                f"{device}:{torch.get_autocast_dtype(device)}"
                for device in devices
                if inside or torch.is_autocast_enabled(device)
            ]
            key += hashlib.sha256(" ".join(dtypes).encode()).hexdigest()[:32]
            lines = [*lines, f"[{key}] compat: ambient_autocast {dtypes}"]
        return key, lines

    return autograd_cache_key


def _explain_missing(record: Callable[..., Any]) -> str | None:
    """Try what the key holds of a device whose autocast is off. Takes a millisecond."""
    torch = sys.modules["torch"]
    details = SimpleNamespace(get_triton_source_codes_from_gm=lambda graph: [])
    with torch.autocast("cpu", enabled=False):
        record(details, None)
    if "cpu" in details.autocast_state:
        return None
    return "it leaves out devices whose autocast is off"


SHIM = Shim(
    name="ambient_autocast",
    kind="fix",
    upstream="pytorch#191106, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    # The method came with 2.14, and its source does not tell what it leaves out.
    native=(
        Refers(f"{_DETAILS}.__init__", "_record_runtime_state"),
        Behaves(
            f"{_DETAILS}._record_runtime_state",
            "keeps the dtypes of all devices",
            _explain_missing,
        ),
    ),
    backport=(
        Symbol(_TARGET, "function"),
        Takes(_TARGET, "example_inputs"),
        Symbol(_ENTER, "function"),
    ),
    replacements={_TARGET: _replace_autograd_cache_key},
)
