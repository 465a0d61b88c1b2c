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
    """What `_make_graph_module` makes here and now: "lazy" or "plain"."""
    return kind_of(lazy._make_graph_module(torch.nn.Module(), torch.fx.Graph()))


def kind_of(module: torch.nn.Module) -> str:
    return "lazy" if isinstance(module, lazy._LazyGraphModule) else "plain"


def split(function: Callable[..., torch.fx.GraphModule] = split_module) -> torch.fx.GraphModule:
    """A graph of two nodes, split into two partitions."""
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    places = {"sin": 0, "relu": 1}
    return function(graph, torch.nn.Module(), lambda node: places[node.name])


def split_kinds(function: Callable[..., torch.fx.GraphModule] = split_module) -> str:
    """What `split_module` makes here and now, the root and both partitions: "lazy", "plain" or a mixture."""
    result = split(function)
    kinds = {kind_of(module) for module in (result, result.submod_0, result.submod_1)}
    return " and ".join(sorted(kinds))


def status_of(name: str = "lazy_graph_module", package: ModuleType | None = None) -> Any:
    """One shim's row of `status()`, made alone: all the others would be made of torch's source, which takes long."""
    # Not imported at the top: some tests are about processes that never import the original.
    parent = importlib.import_module("compat") if package is None else package
    status, shims = (importlib.import_module(f"{parent.__name__}.{module}") for module in ("status", "shims"))
    (shim,) = shims.named([name])
    return status._status(shim)


def state() -> list[Any]:
    """All of torch that the shim could have changed."""
    modules = (lazy, split_module_file, torch.fx.graph_module)
    functions = (lazy._get_graph_module_cls, lazy._make_graph_module, split_module)
    return [
        *(dict(vars(module)) for module in modules),
        *((f, f.__code__, f.__defaults__, f.__kwdefaults__, dict(vars(f))) for f in functions),
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two states are made of the very same objects."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(other[key] is one[key] for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other


def in_child(act: Callable[[], bool]) -> bool:
    """Whether `act` is true in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0
