"""`inference_mode_cached`: cache graphs that have `torch.inference_mode()` inside.

Symptom: A function with `inference_mode()` inside is compiled again by every process.
AOTAutograd's cache takes the two calls that Dynamo writes for it as unsafe. Under
`strict_autograd_cache` the compile ends with an error.
Upstream: pytorch#191106, in 2.15.0.
Affected: 2.13.0 to 2.14.1. Up to 2.12 the cache asks a list of Dynamo's for safe
functions, and the list has both.
Removal: when no supported torch is older than 2.15.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..patching.patch import Wrapper
from ..probe.definition import Definition
from ..probe.requirements import Behaves, Mentions, Parameters, Symbol
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


class _Accepts(NamedTuple):
    """The function accepts both calls: by name, or by a list that it asks."""

    target: str

    def explain_failure(self, definition: Definition) -> str | None:
        names = (_ENTER, _EXIT)
        texts = [Mentions(self.target, name.partition(":")[2]) for name in names]
        if not any(text.explain_failure(definition) for text in texts):
            return None
        return Behaves(self.target, str(self), _explain_refusal).explain_failure(
            definition
        )

    def __str__(self) -> str:
        return f"{self.target} accepts the calls of inference mode"


def _explain_refusal(check: Callable[[Any], Any]) -> str | None:
    grad_mode = sys.modules["torch.autograd.grad_mode"]
    for target in (grad_mode._enter_inference_mode, grad_mode._exit_inference_mode):
        try:
            check(SimpleNamespace(op="call_function", target=target, meta={}))
        except Exception as error:
            if type(error).__name__ != "BypassAOTAutogradCache":
                raise
            return f"it refuses {target.__name__}"
    return None


SHIM = Shim(
    name="inference_mode_cached",
    kind="fix",
    upstream="pytorch#191106, in torch 2.15.0",
    changes_codegen=False,
    revision=1,
    native=(_Accepts(_TARGET),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("node",)),
        Symbol(_ENTER, "function"),
        Symbol(_EXIT, "function"),
    ),
    replacements={_TARGET: _replace_check_node_safe},
)
