"""`symbolic_view_meta`: cache graphs that return views of dynamic shape.

Symptom: A graph that returns views of dynamic shape cannot be cached. The recipe of
such a view holds symbols, which cannot be pickled. Every process compiles the graph
again, and under `strict_autograd_cache` the compile fails.
Upstream: pytorch#174334, in 2.11.0.
Affected: up to 2.10.
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


def _replace_make_runtime_safe(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `make_runtime_safe` drop the recipes that hold symbols."""

    def make_runtime_safe(self: Any) -> None:
        wrapper.next(self)
        # torch does not read these recipes. It makes a view with symbols from its base,
        # by size and stride.
        for at, info in enumerate(self.output_info):
            views = info.view_meta_sequence
            if views is not None and any(
                view.has_symbolic_inputs for view in views.sequence
            ):
                self.output_info[at] = replace(info, view_meta_sequence=None)

    return make_runtime_safe


SHIM = Shim(
    name="symbolic_view_meta",
    kind="fix",
    upstream="pytorch#174334, in torch 2.11.0",
    changes_codegen=False,
    revision=1,
    # The function prepares metadata for the cache. It refers to this name only to drop
    # the recipes that have symbols.
    native=(Refers(_TARGET, "has_symbolic_inputs"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Symbol(f"{_SCHEMAS}:OutputAliasInfo.view_meta_sequence", "value"),
        Refers(f"{_UTILS}:ViewMetaSequence.__init__", "sequence"),
        # torch does not replay recipes that have symbols, so it is safe to drop them.
        Refers(f"{_UTILS}:gen_alias_from_base", "has_symbolic_inputs"),
    ),
    replacements={_TARGET: _replace_make_runtime_safe},
)
