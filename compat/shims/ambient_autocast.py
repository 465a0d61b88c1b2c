"""`ambient_autocast`: AOTAutograd's cache tells apart the dtypes that autocast can stand for.

Symptom: a compiled function gives results of another dtype, computed by code of another process or of an earlier call.
`torch.autocast(device)` without a dtype, inside the function, takes the ambient one (`torch.set_autocast_dtype`), which
is in the cache key only for devices whose autocast is on outside. Up to 2.12 the key does not have it for those either.
Upstream: pytorch#191106, in 2.15.0. Affected: up to 2.14.1. Before 2.14 torch does not cache a graph with an autocast
in it, unless the autocast is in an inner graph (activation checkpointing).
Removal: when no supported torch is older than 2.15.

Only the keys of graphs that use autocast change.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patch import Layer
from ..replacing import replacing
from ..requirements import Behaves, Symbol, Takes

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_TARGET = f"{_CACHE}:autograd_cache_key"
_RECORD = f"{_CACHE}:AOTAutogradCacheDetails._record_runtime_state"
_ENTER = "torch.amp.autocast_mode:_enter_autocast"


def _has_autocast(mod: Any) -> bool:
    graph_module = sys.modules["torch.fx"].GraphModule
    enter = sys.modules["torch.amp.autocast_mode"]._enter_autocast
    root = getattr(mod, "gm", mod)  # Dynamo's GmWrapper has the graph inside
    return any(
        module.graph.find_nodes(op="call_function", target=enter, sort=False)
        for module in root.modules()
        if isinstance(module, graph_module)
    )


def _add_dtypes(layer: Layer) -> Callable[..., Any]:
    torch = sys.modules["torch"]

    def autograd_cache_key(mod: Any, *rest: Any, **named: Any) -> Any:
        key, lines = layer.below.call(mod, *rest, **named)
        inside = _has_autocast(mod)
        if inside or torch._C._is_any_autocast_enabled():
            devices = sorted(torch._C._autocast_supported_devices())
            used = [device for device in devices if inside or torch.is_autocast_enabled(device)]
            dtypes = [f"{device}:{torch.get_autocast_dtype(device)}" for device in used]
            key += hashlib.sha256(" ".join(dtypes).encode()).hexdigest()[:32]
            lines = [*lines, f"[{key}] compat_ambient_autocast: {dtypes}"]
        return key, lines

    return autograd_cache_key


def _explain_missing(record: Callable[..., Any]) -> str | None:
    """Try what the key holds of a device whose autocast is off. This takes a millisecond."""
    torch = sys.modules["torch"]
    details = SimpleNamespace(get_triton_source_codes_from_gm=lambda graph: [])
    with torch.autocast("cpu", enabled=False):
        record(details, None)
    return None if "cpu" in details.autocast_state else "it leaves out devices whose autocast is off"


SHIM = replacing(
    {_TARGET: _add_dtypes},
    name="ambient_autocast",
    kind="fix",
    upstream="pytorch#191106, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    native=(Behaves(_RECORD, "keeps the dtypes of all devices", _explain_missing),),
    backport=(
        Symbol(_TARGET, "function"),
        Takes(_TARGET, "example_inputs"),
        Symbol(_ENTER, "function"),
    ),
)
