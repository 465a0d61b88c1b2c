"""`lazy_graph_module`: generate the code of a split GraphModule on its first call.

Symptom: `split_module` generates Python code that no engine runs, which takes two
thirds of the split. On a 28-layer transformer it builds 57 partitions and a root. Each
of the 58 GraphModules generates its code in its constructor, and the engine then
compiles the partitions with Inductor.
Upstream: pytorch#177907 makes `split_module` build through `_make_graph_module`. So it
follows torch's own switch, `_use_lazy_graph_module`.
Affected: up to 2.11. There `split_module` calls `GraphModule` itself.
Removal: the backport goes when no supported torch is older than 2.12. The scopes stay
for as long as upstream's switch is one global flag: two threads whose contexts overlap
leave it on for ever, and a `torch.compile` that ends in another thread turns it off in
the middle of ours. So the flag is never written here. Instead the function that reads
it, `_get_graph_module_cls`, first asks which of our scopes is open in its own thread or
task.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import UnsupportedError
from ..patching.bytecode import copied
from ..patching.context import Context
from ..patching.patch import Wrapper
from ..probe.definition import Definition
from ..probe.requirements import Parameters, Refers, Symbol
from ..selection import Mode
from ._redirect import redirect_calls
from .base import Shim

_LAZY = "torch.fx._lazy_graph_module"
_CHOOSE = f"{_LAZY}:_get_graph_module_cls"
_SPLIT = "torch.fx.passes.split_module:split_module"
_OLD = ("graph_module", "GraphModule")
_NEW = ("_lazy_graph_module", "_make_graph_module")

_SWITCH = (
    Symbol(f"{_LAZY}:_LazyGraphModule", "class"),
    Symbol(f"{_LAZY}:_force_skip_lazy_graph_module_flag", "value"),
    Parameters(f"{_LAZY}:_use_lazy_graph_module", ("should_use",)),
    Symbol(_CHOOSE, "function"),
    Parameters(_CHOOSE, ()),
    Refers(f"{_LAZY}:_make_graph_module", "_get_graph_module_cls"),
)


class _Calls(NamedTuple):
    """The body calls `x.module.name(...)` in a form that can be redirected."""

    target: str
    module: str
    name: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        old = (self.module, self.name)
        redirected = redirect_calls(definition.code, old, ("_", "_"))
        return None if redirected else "its body does not"

    def __str__(self) -> str:
        return f"{self.target} calls {self.module}.{self.name}"


def _replace_choice(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `_get_graph_module_cls` ask the open contexts before torch's flag."""
    flags = wrapper.original.__globals__

    def choose() -> Any:
        enabled = SHIM.requested()
        if enabled is None:
            return wrapper.next()
        # Torch keeps lazy modules from torch.jit.script by this flag. It outranks
        # every request for them.
        lazy = enabled and not flags.get("_force_skip_lazy_graph_module_flag")
        return (
            flags["_LazyGraphModule"] if lazy else sys.modules["torch.fx"].GraphModule
        )

    return choose


def _replace_split(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `split_module` build through `_make_graph_module`, as torch 2.12 does.

    Inside a context, the same code runs with its calls of `GraphModule` redirected.
    """
    own = wrapper.original
    code = redirect_calls(own.__code__, _OLD, _NEW)
    assert code is not None  # a requirement of the backport
    redirected = copied(own, code)

    def split_module(*args: Any, **kwargs: Any) -> Any:
        inside = SHIM.requested() is not None
        return (redirected if inside else wrapper.next)(*args, **kwargs)

    return split_module


def lazy_graph_module(enabled: bool = True, *, mode: Mode = "auto") -> Context:
    """Have torch make lazy GraphModules, which generate their code on first call.

    Applies to `split_module`, and to all else in torch that builds through
    `_make_graph_module`. Holds for the thread or asyncio task that enters the context,
    until it is left. Inside, torch's own `_use_lazy_graph_module` has no effect. Can be
    nested, entered again, and used as a decorator.

    Args:
        enabled: False asks for plain GraphModules, also inside a context that asks for
            lazy ones.
        mode: "auto" is native from torch 2.12 on, a backport on 2.11, else nothing.

    Returns:
        A context manager. It yields nothing.

    Raises:
        ValueError: the mode is unknown.
        UnsupportedError: argument or environment name a mode that torch cannot have.

    Source: pytorch#177907.

    """
    return SHIM.context(enabled, mode)


def force_recompile(gm: Any) -> int:
    """Run every deferred recompile in a module tree.

    Afterwards every lazy GraphModule in the tree has its code.

    Args:
        gm: any torch.nn.Module.

    Returns:
        How many recompiles ran; 0 on a torch without lazy GraphModules.

    Raises:
        UnsupportedError: torch has lazy GraphModules, but no longer the methods that
            this needs.

    Source: pytorch#154282.

    """
    lazy = getattr(sys.modules.get(_LAZY), "_LazyGraphModule", None)
    modules = [m for m in gm.modules() if lazy is not None and isinstance(m, lazy)]
    ran = 0
    try:
        # Not in one pass: from torch 2.10 on, the recompile of a module defers that of
        # its lazy children again.
        while any(module._needs_recompile() for module in modules):
            for module in modules:
                if module._needs_recompile():
                    module.real_recompile()
                    ran += 1
    except AttributeError as error:
        changed = "force_recompile: this torch's lazy GraphModule has changed"
        raise UnsupportedError(f"{changed}: {error}") from error
    return ran


SHIM = Shim(
    name="lazy_graph_module",
    kind="speed",
    upstream="pytorch#177907, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    native=(*_SWITCH, Refers(_SPLIT, "_make_graph_module")),
    backport=(*_SWITCH, Symbol(_SPLIT, "function"), _Calls(_SPLIT, *_OLD)),
    replacements={_CHOOSE: _replace_choice, _SPLIT: _replace_split},
    # The flag is global to the process on every torch; contexts are not.
    native_replacements={_CHOOSE: _replace_choice},
    value=True,
)
