"""`operator_str`: format the text of a log line only if the line is written.

Symptom: A compile seems to hang while Inductor formats megabytes of text for one log
line. If Inductor falls back for a custom op, it describes all inputs of the op for an
INFO line, and each description holds the whole IR behind the input. With 14 layers that
is 12 s and 67 MB of text (2.11.0). Deep MoE graphs do not finish.
Upstream: pytorch#185951, in 2.13.0.
Affected: up to 2.12.1. Engines work around it: they put custom ops on Inductor's
allow-list. That drops the layout constraints of the ops, and gives wrong values.
Removal: when no supported torch is older than 2.13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_GRAPH = "torch._inductor.graph:GraphLowering.call_function"
_TARGET = "torch._inductor.exc:OperatorIssue.operator_str"


class _LazyText:
    """Text that is made when a log handler or an exception's message asks for it."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __str__(self) -> str:
        return self._make()


def _replace_operator_str(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `operator_str` return text that is made later."""

    def operator_str(target: Any, args: Any, kwargs: Any) -> Any:
        return _LazyText(lambda: str(wrapper.next(target, args, kwargs)))

    return operator_str


SHIM = Shim(
    name="operator_str",
    kind="fix",
    upstream="pytorch#185951, in torch 2.13.0",
    changes_codegen=False,
    revision=1,
    # The function refers to this name only on a torch that has the change.
    native=(Refers(_GRAPH, "LazyString"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("target", "args", "kwargs")),
        Refers(_GRAPH, "operator_str"),
    ),
    replacements={_TARGET: _replace_operator_str},
)
