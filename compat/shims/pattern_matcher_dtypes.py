"""`pattern_matcher_dtypes`: match custom ops whatever dtypes their values have.

Symptom: The pattern matcher skips custom ops that have a complex or float8_e8m0fnu
value. A pattern that ends in such an op is never replaced (0 matches, no message); the
scales of MX formats are float8_e8m0fnu. The pattern matcher asks of every op whether
Inductor could generate code for its values, but for a custom op Inductor never does.
Upstream: pytorch#196013, open.
Affected: every torch so far (2.15).
Removal: when every supported torch has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_APPLY = "torch._inductor.pattern_matcher:PatternMatcherPass.apply"
_LOWERING = "torch._inductor.graph:GraphLowering.run_node"
_TARGET = "torch._inductor.lowering:fallback_node_due_to_unsupported_type"
_BUILTIN = "torch._library.utils:is_builtin"


def _replace_fallback_node(wrapper: Wrapper) -> Callable[..., Any]:
    """Have the pattern matcher skip builtin ops alone for their dtypes."""
    op = sys.modules["torch._ops"].OpOverload
    builtin = sys.modules["torch._library.utils"].is_builtin

    def fallback_node_due_to_unsupported_type(node: Any, allow_cpu_inputs: Any) -> Any:
        # The lowering calls this function, too, but for builtin ops alone, as the
        # requirements of the backport check. So nothing changes for it.
        if isinstance(node.target, op) and builtin(node.target):
            return wrapper.next(node, allow_cpu_inputs)
        return False

    return fallback_node_due_to_unsupported_type


SHIM = Shim(
    name="pattern_matcher_dtypes",
    kind="fix",
    upstream="pytorch#196013, not merged yet",
    changes_codegen=True,
    revision=1,
    # The pattern matcher has no other use for this name. If upstream repairs it in
    # another place, the backport only repeats torch's answer.
    native=(Refers(_APPLY, "is_builtin"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("node", "allow_cpu_inputs")),
        Refers(_APPLY, "fallback_node_due_to_unsupported_type"),
        Refers(_LOWERING, "fallback_node_due_to_unsupported_type"),
        Refers(_LOWERING, "is_builtin"),
        Parameters(_BUILTIN, ("op",)),
        Symbol("torch._ops:OpOverload", "class"),
    ),
    replacements={_TARGET: _replace_fallback_node},
)
