"""Observes torch: which kind of module it builds now, and whether any of its objects was exchanged."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch.fx import _lazy_graph_module as lazy
from torch.fx.passes import split_module as split_module_file
from torch.fx.passes.split_module import split_module


def made() -> str:
    """Return the kind of module that `_make_graph_module` makes now: "lazy" or "plain"."""
    return kind_of(lazy._make_graph_module(torch.nn.Module(), torch.fx.Graph()))


def kind_of(module: torch.nn.Module) -> str:
    return "lazy" if isinstance(module, lazy._LazyGraphModule) else "plain"


def split(function: Callable[..., torch.fx.GraphModule] = split_module) -> torch.fx.GraphModule:
    """Split a graph of two nodes into two partitions."""
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    places = {"sin": 0, "relu": 1}
    return function(graph, torch.nn.Module(), lambda node: places[node.name])


def split_kinds(function: Callable[..., torch.fx.GraphModule] = split_module) -> str:
    """Return the kinds of the root and the partitions that `split_module` makes now: "lazy", "plain" or both."""
    result = split(function)
    kinds = {kind_of(module) for module in (result, result.submod_0, result.submod_1)}
    return " and ".join(sorted(kinds))


def status_of(name: str = "lazy_graph_module", package: ModuleType | None = None) -> Any:
    """Return the `status()` row of one shim only: the rows of all shims take long, because torch's source is read."""
    # Imported late: some tests check processes that must not import the original.
    parent = importlib.import_module("compat") if package is None else package
    reporting, base = (importlib.import_module(f"{parent.__name__}.{module}") for module in ("reporting", "shims.base"))
    (shim,) = base.named([name])
    return reporting.status_of(shim)


def state() -> list[Any]:
    """Return every object of torch that `lazy_graph_module` could change."""
    modules = (lazy, split_module_file, torch.fx.graph_module)
    functions = (lazy._get_graph_module_cls, lazy._make_graph_module, split_module)
    return [
        *(dict(vars(module)) for module in modules),
        *((f, f.__code__, f.__defaults__, f.__kwdefaults__, dict(vars(f))) for f in functions),
    ]


def same(one: Any, other: Any) -> bool:
    """Return whether two states consist of identical objects."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(other[key] is one[key] for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other


def in_child(act: Callable[[], bool]) -> bool:
    """Return whether `act` returns true in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0
