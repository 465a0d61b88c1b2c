"""`symbolic_view_meta`: graphs that return views of dynamic shape can be cached.

Symptom: A graph that returns views of dynamic shape cannot be cached. The recipe of
such a view holds symbols, which cannot be pickled. Every process compiles the graph
again, and under `strict_autograd_cache` the compile fails.
Upstream: pytorch#174334, in 2.11.0. Affected: up to 2.10.
Removal: when no supported torch is older than 2.11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_SCHEMAS = "torch._functorch._aot_autograd.schemas"
_UTILS = "torch._functorch._aot_autograd.functional_utils"
_TARGET = f"{_SCHEMAS}:ViewAndMutationMeta.make_runtime_safe"


def _dropping(wrapper: Wrapper) -> Callable[..., Any]:
    def make_runtime_safe(self: Any) -> None:
        wrapper.next(self)
        # Nobody misses them: a view with symbols in it is made from its base by size and stride in any case.
        for at, info in enumerate(self.output_info):
            views = info.view_meta_sequence
            if views is not None and any(view.has_symbolic_inputs for view in views.sequence):
                self.output_info[at] = replace(info, view_meta_sequence=None)

    return make_runtime_safe


SHIM = Shim(
    name="symbolic_view_meta",
    kind="fix",
    upstream="pytorch#174334, in torch 2.11.0",
    changes_codegen=False,
    revision=1,
    # The function readies metadata for the cache. It asks for this only to take out what has symbols.
    native=(Refers(_TARGET, "has_symbolic_inputs"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Symbol(f"{_SCHEMAS}:OutputAliasInfo.view_meta_sequence", "value"),
        Refers(f"{_UTILS}:ViewMetaSequence.__init__", "sequence"),
        # What makes it safe to take them out: torch does not replay them either.
        Refers(f"{_UTILS}:gen_alias_from_base", "has_symbolic_inputs"),
    ),
    replacements={_TARGET: _dropping},
)
