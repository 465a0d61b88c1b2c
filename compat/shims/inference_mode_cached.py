"""`inference_mode_cached`: cache graphs that have `torch.inference_mode()` inside.

Symptom: Every process compiles such a function again. AOTAutograd's cache takes the two
calls that Dynamo writes for the context manager as unsafe. Under
`strict_autograd_cache` the compile ends with an error.
Upstream: pytorch#191106, in 2.15.0.
Affected: up to 2.14.1.
Removal: when no supported torch is older than 2.15.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Symbol
from .base import Shim

_TARGET = "torch._functorch._aot_autograd.autograd_cache:check_node_safe"
_ENTER = "torch.autograd.grad_mode:_enter_inference_mode"
_EXIT = "torch.autograd.grad_mode:_exit_inference_mode"


def _replace_check_node_safe(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `check_node_safe` accept the two calls."""
    grad_mode = sys.modules["torch.autograd.grad_mode"]
    # The arguments of both are part of the graph, and so of the key.
    safe = (grad_mode._enter_inference_mode, grad_mode._exit_inference_mode)

    def check_node_safe(node: Any) -> Any:
        if node.op == "call_function" and node.target in safe:
            return None
        return wrapper.next(node)

    return check_node_safe


SHIM = Shim(
    name="inference_mode_cached",
    kind="fix",
    upstream="pytorch#191106, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    # The function lists the names of the calls that it accepts.
    native=(
        Mentions(_TARGET, "_enter_inference_mode"),
        Mentions(_TARGET, "_exit_inference_mode"),
    ),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("node",)),
        Symbol(_ENTER, "function"),
        Symbol(_EXIT, "function"),
    ),
    replacements={_TARGET: _replace_check_node_safe},
)
