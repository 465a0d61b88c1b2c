"""`inference_mode_cached`: a graph with `torch.inference_mode()` inside is cached.

Symptom: every process compiles such a function again, since AOTAutograd's cache takes the two calls that Dynamo writes
for the context manager as unsafe. Under `strict_autograd_cache` the compile ends with an error.
Upstream: pytorch#191106, in 2.15.0. Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patch import Layer
from ..replacing import replacing
from ..requirements import Mentions, Parameters, Symbol

_TARGET = "torch._functorch._aot_autograd.autograd_cache:check_node_safe"
_ENTER = "torch.autograd.grad_mode:_enter_inference_mode"
_EXIT = "torch.autograd.grad_mode:_exit_inference_mode"


def _allow(layer: Layer) -> Callable[..., Any]:
    grad_mode = sys.modules["torch.autograd.grad_mode"]
    # Their arguments are part of the graph, and so of the key.
    safe = (grad_mode._enter_inference_mode, grad_mode._exit_inference_mode)

    def check_node_safe(node: Any) -> Any:
        if node.op == "call_function" and node.target in safe:
            return None
        return layer.below.call(node)

    return check_node_safe


SHIM = replacing(
    {_TARGET: _allow},
    name="inference_mode_cached",
    kind="fix",
    upstream="pytorch#191106, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    native=(Mentions(_TARGET, "_enter_inference_mode"), Mentions(_TARGET, "_exit_inference_mode")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("node",)),
        Symbol(_ENTER, "function"),
        Symbol(_EXIT, "function"),
    ),
)
