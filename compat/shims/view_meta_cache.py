"""`view_meta_cache`: what AOTAutograd saves of a view is what was there, not what has come into its memory since.

Symptom: A warm AOTAutograd cache reads freed memory, so a graph returns wrong shapes or
the process crashes. It happens to graphs that return views of a matmul. Two kinds of
view, `_unsafe_view` and `resize_`, return their size as a reference to memory that is
already freed, and AOTAutograd pickles that memory.
Upstream: pytorch#185861 and #184774, in 2.14. Affected: up to 2.13. Entries that were saved without the shim are
spoilt for good; so it is part of the cache keys, and they are never read with it.
Removal: when no supported torch is older than 2.14.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ..patching.patch import Wrapper
from ..probe.definition import Definition, Undecided
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_SCHEMAS = "torch._functorch._aot_autograd.schemas"
_TARGET = f"{_SCHEMAS}:ViewAndMutationMeta.make_runtime_safe"
_SPOILT = ("_unsafe_view_ViewMeta", "resize__ViewMeta")


class _Owning(NamedTuple):
    """The two kinds of view hand out copies of their sizes. The C++ header that torch was built with says so: the
    tuples that it declares hold vectors, not references to vectors. Where it is not there, or reads otherwise than any
    torch so far, the running torch is asked. A torch that is mended in yet another way gets the shim, and no harm."""

    target: str = f"{_SCHEMAS}:include/ATen/FunctionalizeFallbackKernel.h"

    def explain_failure(self, definition: Definition) -> str | None:
        declared = r"VIEWMETA_NAME\((\w+)\)\s*FUNCTIONALIZATION_VIEWMETA_SERIALIZABLE_TUPLE\(([^;]*)\);"
        tuples = dict(re.findall(declared, definition.text or ""))
        if not tuples.keys() >= set(_SPOILT):
            return _tried(definition.value)
        referring = [name for name in _SPOILT if "&" in tuples[name]]
        return f"{', '.join(referring)}: as a reference" if referring else None

    def __str__(self) -> str:
        return "view metas hand out their sizes by value"


def _tried(torch: Any) -> str | None:
    """Reads freed memory where torch is affected, as torch itself does whenever it saves such a view. But of plain
    numbers, whatever they are by now; the other kind holds symbols as well, and random bits taken for one are followed.
    A hundred of them, for then the list that they come back in takes the very memory, whichever allocator there is."""
    if torch is None:
        raise Undecided("there is no such header here as torch has had, and only torch itself can tell")
    stored = (True, list(range(1, 101)))
    try:
        same = torch._C._functionalization.resize__ViewMeta(stored).as_tuple() == stored
    except Exception as error:  # noqa: BLE001 (private API that raises is private API that changed)
        return f"trying it out raises {type(error).__name__}: {error}"
    return None if same else "what comes out is not what went in"


def _dropping(wrapper: Wrapper) -> Callable[..., Any]:
    def make_runtime_safe(self: Any) -> None:
        wrapper.next(self)
        # Without them a view is made from its base by size and stride, as torch does for dynamic shapes.
        for at, info in enumerate(self.output_info):
            views = info.view_meta_sequence
            if views is not None and any(type(view).__name__ in _SPOILT for view in views.sequence):
                self.output_info[at] = replace(info, view_meta_sequence=None)

    return make_runtime_safe


SHIM = Shim(
    name="view_meta_cache",
    kind="fix",
    upstream="pytorch#185861, in torch 2.14.0",
    changes_codegen=True,
    revision=1,
    native=(_Owning(),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Symbol(f"{_SCHEMAS}:OutputAliasInfo.view_meta_sequence", "value"),
        Refers("torch._functorch._aot_autograd.functional_utils:ViewMetaSequence.__init__", "sequence"),
    ),
    replacements={_TARGET: _dropping},
)
