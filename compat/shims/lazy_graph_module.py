"""`lazy_graph_module`: what `split_module` builds generates its code when it is first called, not when it is built.

Symptom: `split_module` generates Python code that no engine runs, which takes two
thirds of the split. On a 28-layer transformer it builds 57 partitions and a root. Each
of the 58 GraphModules generates its code in its constructor, and the engine then
compiles the partitions with Inductor.
Upstream: pytorch#177907 makes `split_module` build through `_make_graph_module`, so that it follows torch's own switch,
`_use_lazy_graph_module`. Affected: up to 2.11, where `split_module` calls `GraphModule` itself.
Removal: the backport goes when no supported torch is older than 2.12. The scopes stay for as long as upstream's switch
is one global flag: two threads whose contexts overlap leave it on for ever, and a `torch.compile` that ends in another
thread turns it off in the middle of ours. So the flag is never written here. Instead the function that reads it,
`_get_graph_module_cls`, first asks which of our scopes is open in its own thread or task.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..bytecode import redirect_calls
from ..errors import UnsupportedError
from ..patch import Holder, Layer, Patch, current, shared
from ..probe import Live, answer
from ..requirements import Calls, Parameters, Refers, Symbol
from ..scope import Context, Scopes
from ..selection import Shim, select

_LAZY = "torch.fx._lazy_graph_module"
_SPLIT = "torch.fx.passes.split_module"

_SWITCH = (
    Symbol(f"{_LAZY}:_LazyGraphModule", "class"),
    Symbol(f"{_LAZY}:_force_skip_lazy_graph_module_flag", "value"),
    Parameters(f"{_LAZY}:_use_lazy_graph_module", ("should_use",)),
    Symbol(f"{_LAZY}:_get_graph_module_cls", "function"),
    Parameters(f"{_LAZY}:_get_graph_module_cls", ()),
    Refers(f"{_LAZY}:_make_graph_module", "_get_graph_module_cls"),
)


_scopes = shared("lazy_graph_module/scopes/1", Scopes)
_modules: dict[str, Any] = sys.modules
_patches: dict[str, list[Patch]] = shared("lazy_graph_module/patches/1", dict)  # by mode; the last one is current


def _choosing(layer: Layer) -> Callable[..., Any]:
    """Stands in for `_get_graph_module_cls`."""
    flags = layer.own.__globals__

    def choose() -> Any:
        enabled = _scopes.asked()
        if enabled is None:
            return layer.below.call()
        # Upstream's way to keep lazy modules from torch.jit.script; it outranks every request for them.
        lazy = enabled and not flags.get("_force_skip_lazy_graph_module_flag")
        return flags["_LazyGraphModule"] if lazy else sys.modules["torch.fx"].GraphModule

    return choose


def _splitting(layer: Layer) -> Callable[..., Any]:
    """Stands in for a `split_module` that calls `torch.fx.graph_module.GraphModule`: inside a scope the same code runs
    with those calls going to `torch.fx._lazy_graph_module._make_graph_module`, where torch 2.12's go."""
    own = layer.own
    code = redirect_calls(own.__code__, ("graph_module", "GraphModule"), ("_lazy_graph_module", "_make_graph_module"))
    assert code is not None  # a requirement of the backport
    redirected = FunctionType(code, own.__globals__, own.__name__, own.__defaults__)
    redirected.__kwdefaults__ = own.__kwdefaults__

    def split_module(*args: Any, **kwargs: Any) -> Any:
        return (layer.below.call if _scopes.asked() is None else redirected)(*args, **kwargs)

    return split_module


def _patch(mode: str) -> Patch | None:
    """The patch for this mode: another one after a reload of torch's modules, whose functions are new then. The last
    one stays, or there is none, where something that does not fit has taken their place since the mode was selected."""
    made = _patches.setdefault(mode, [])
    patch = made[-1] if made else None
    try:
        chooser, splitter = _modules[_LAZY]._get_graph_module_cls, _modules[_SPLIT].split_module
    except (AttributeError, KeyError):
        return patch
    if patch is None or patch.functions[0] is not chooser or patch.functions[-1] not in (chooser, splitter):
        replacements = [(chooser, _choosing)]
        if mode == "backport":
            replacements.append((splitter, _splitting))
        if all(answer(requirement, Live()).holds for requirement in getattr(SHIM, mode)):
            patch = current(made, replacements)
    return patch


def lazy_graph_module(enabled: bool = True, *, mode: str = "auto") -> Context:
    """A context in which `split_module`, and all else in torch that builds through `_make_graph_module`, makes lazy
    GraphModules: their code is generated on first call, or never.

    enabled: False asks for plain GraphModules, also inside a context that asks for lazy ones.
    mode: `auto` (native from torch 2.12 on, a backport on 2.11, else nothing), or one mode by name.

    Holds for the thread or asyncio task that enters it, until it is left. There, torch's own `_use_lazy_graph_module`
    has no say meanwhile; elsewhere, all say. Raises ValueError for a word that is no mode, and UnsupportedError for a
    mode that this torch cannot have; under `auto` nothing. Source: pytorch#177907.
    """
    chosen = select(SHIM, mode).mode
    return Context(_scopes, enabled, None if chosen == "noop" else _patch(chosen))


def force_recompile(gm: Any) -> int:
    """Runs every deferred recompile in a module tree, so that no lazy GraphModule in it is left without its code.

    gm: any torch.nn.Module. Returns how many recompiles ran; on a torch without lazy GraphModules, 0.
    Raises UnsupportedError where torch has them but no longer the methods that this needs. Source: pytorch#154282.
    """
    lazy = getattr(sys.modules.get(_LAZY), "_LazyGraphModule", None)
    modules = [module for module in gm.modules() if lazy is not None and isinstance(module, lazy)]
    ran = 0
    try:
        # Not in one pass: from torch 2.10 on, the recompile of a module marks its lazy children for theirs again.
        while any(module._needs_recompile() for module in modules):
            for module in modules:
                if module._needs_recompile():
                    module.real_recompile()
                    ran += 1
    except AttributeError as error:
        raise UnsupportedError(f"force_recompile: this torch's lazy GraphModule has changed: {error}") from error
    return ran


def _install(mode: str) -> Callable[[], None]:
    patch, holder = _patch(mode), Holder(_scopes, None)
    if patch is None:
        return lambda: None
    patch.enter(holder)
    _scopes.installed.append(True)

    def uninstall() -> None:
        _scopes.installed.remove(True)
        patch.leave(holder)

    return uninstall


SHIM = Shim(
    name="lazy_graph_module",
    kind="speed",
    upstream="pytorch#177907, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    native=(*_SWITCH, Refers(f"{_SPLIT}:split_module", "_make_graph_module")),
    backport=(
        *_SWITCH,
        Symbol(f"{_SPLIT}:split_module", "function"),
        Calls(f"{_SPLIT}:split_module", "graph_module", "GraphModule"),
    ),
    install=_install,
    active=lambda: any(patch.holders for made in _patches.values() for patch in made),
)
