"""`lazy_graph_break`: a lazy GraphModule can be called inside `torch.compile(fullgraph=True)`.

Symptom: A lazy GraphModule breaks the graph under `torch.compile(fullgraph=True)`. If
Dynamo traces a call of a module that has deferred its recompile, it stops with
"Attempted to inline function marked as skipped: _LazyGraphModule._lazy_forward".
`lazy_graph_module` makes modules of this kind.
Upstream: pytorch#154282, open; pytorch#185526, which has the module recompiled before it is called, is closed, and no
release has it. Affected: every torch so far (2.15).
Removal: when every supported torch has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Parameters, Symbol
from .base import Shim
from .lazy_graph_module import force_recompile

_LAZY = "torch.fx._lazy_graph_module:_LazyGraphModule"
_CALL = "torch._dynamo.variables.nn_module:UnspecializedNNModuleVariable.call_function"
_TARGET = "torch._dynamo.variables.builder:VariableBuilder.wrap_module"


def _wrapping(wrapper: Wrapper) -> Callable[..., Any]:
    graph_module = sys.modules["torch.fx"].GraphModule

    def wrap_module(builder: Any, value: Any) -> Any:
        # All of the tree, and here, where Dynamo meets a module and not where it calls it: the recompile of a module
        # defers that of its children again (2.10), and a graph may call `submod.forward`.
        if isinstance(value, graph_module):
            force_recompile(value)
        return wrapper.next(builder, value)

    return wrap_module


def _explain_failure(wrap: Callable[..., Any]) -> str | None:
    """A lazy GraphModule is handed to the functions of Dynamo that meet it and call it. They do not come far with the
    rest of what they get, which is empty; but a torch that recompiles does so before it needs any of that. This takes
    0.5 ms; a first compile would take 400 ms and import 400 modules."""
    fx, lazy = sys.modules["torch.fx"], sys.modules["torch.fx._lazy_graph_module"]._LazyGraphModule
    graph = fx.Graph()
    graph.output(None)
    module = lazy(sys.modules["torch.nn"].Module(), graph)
    variable = SimpleNamespace(value=module, value_type=type(module), source=None)
    call = sys.modules["torch._dynamo.variables.nn_module"].UnspecializedNNModuleVariable.call_function
    for meet, arguments in ((wrap, (SimpleNamespace(source=None), module)), (call, (variable, None, [], {}))):
        try:
            meet(*arguments)
        except Exception:  # noqa: BLE001
            pass
    return "Dynamo leaves it deferred" if module._needs_recompile() else None


SHIM = Shim(
    name="lazy_graph_break",
    kind="fix",
    upstream="pytorch#154282, open",
    changes_codegen=False,
    revision=1,
    # Nothing in the sources tells, for nobody knows in which words upstream will mend it. The check looks for no words,
    # but at what became of a module.
    native=(Behaves(_TARGET, "(or the call) has a lazy GraphModule recompiled", _explain_failure),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "value")),
        Symbol(_CALL, "function"),
        # Where it meets a module Dynamo first asks for this one, so the check has to wait until it is there.
        Symbol("torch._dynamo.eval_frame:OptimizedModule", "class"),
        Symbol(_LAZY, "class"),
        Parameters(f"{_LAZY}._needs_recompile", ("cls",)),
        Parameters(f"{_LAZY}.real_recompile", ("self",)),
    ),
    replacements={_TARGET: _wrapping},
)
