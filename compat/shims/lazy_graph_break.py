"""`lazy_graph_break`: recompile lazy GraphModules before Dynamo traces them.

Symptom: A lazy GraphModule breaks the graph under `torch.compile(fullgraph=True)`. If
Dynamo traces a call of a module that has deferred its recompile, it stops with
"Attempted to inline function marked as skipped: _LazyGraphModule._lazy_forward".
`lazy_graph_module` makes modules of this kind.
Upstream: pytorch#154282 is open. pytorch#185526, which recompiles the module before the
call, is closed, and no release has it.
Affected: every torch so far (2.15).
Removal: when every supported torch has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Parameters, Symbol
from .base import Shim
from .lazy_graph_module import force_recompile

_LAZY = "torch.fx._lazy_graph_module:_LazyGraphModule"
_CALL = "torch._dynamo.variables.nn_module:UnspecializedNNModuleVariable.call_function"
_TARGET = "torch._dynamo.variables.builder:VariableBuilder.wrap_module"
_RECOMPILES = "(or the call) has a lazy GraphModule recompiled"


def _replace_wrap_module(wrapper: Wrapper) -> Callable[..., Any]:
    """Have Dynamo recompile all lazy modules of a tree when it meets the root."""
    graph_module = sys.modules["torch.fx"].GraphModule

    def wrap_module(builder: Any, value: Any) -> Any:
        # The whole tree, because from 2.10 on the recompile of a module defers that of
        # its children again. Here and not in the call, because a graph may call
        # `submod.forward` itself.
        if isinstance(value, graph_module):
            force_recompile(value)
        return wrapper.next(builder, value)

    return wrap_module


def _explain_failure(wrap: Callable[..., Any]) -> str | None:
    """Hand a lazy GraphModule to Dynamo, and see whether Dynamo recompiles it.

    The other arguments are empty, so Dynamo's functions soon fail. A torch that
    recompiles does so before it needs them. The check takes 0.5 ms; a first compile
    would take 400 ms and import 400 modules.

    Args:
        wrap: Dynamo's `wrap_module`, to try it before `call_function`.

    """
    fx = sys.modules["torch.fx"]
    lazy = sys.modules["torch.fx._lazy_graph_module"]._LazyGraphModule
    graph = fx.Graph()
    graph.output(None)
    module = lazy(sys.modules["torch.nn"].Module(), graph)
    variable = SimpleNamespace(value=module, value_type=type(module), source=None)
    call = sys.modules[
        "torch._dynamo.variables.nn_module"
    ].UnspecializedNNModuleVariable.call_function
    for meet, arguments in (
        (wrap, (SimpleNamespace(source=None), module)),
        (call, (variable, None, [], {})),
    ):
        with suppress(Exception):
            meet(*arguments)
    return "Dynamo leaves it deferred" if module._needs_recompile() else None


SHIM = Shim(
    name="lazy_graph_break",
    kind="fix",
    upstream="pytorch#154282, open",
    changes_codegen=False,
    revision=1,
    # Upstream has settled on no repair, so no name in the source can show it. The check
    # runs Dynamo's functions and looks at the module afterwards.
    native=(Behaves(_TARGET, _RECOMPILES, _explain_failure),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "value")),
        Symbol(_CALL, "function"),
        # `wrap_module` uses this class first, so the check must wait until it exists.
        Symbol("torch._dynamo.eval_frame:OptimizedModule", "class"),
        Symbol(_LAZY, "class"),
        Parameters(f"{_LAZY}._needs_recompile", ("cls",)),
        Parameters(f"{_LAZY}.real_recompile", ("self",)),
    ),
    replacements={_TARGET: _replace_wrap_module},
)
