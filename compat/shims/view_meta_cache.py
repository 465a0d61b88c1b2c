"""`view_meta_cache`: keep AOTAutograd from saving view sizes out of freed memory.

Symptom: A warm AOTAutograd cache reads freed memory, so a graph returns wrong shapes or
the process crashes. It happens to graphs that return views of a matmul. Two kinds of
view, `_unsafe_view` and `resize_`, return their size as a reference to memory that is
already freed, and AOTAutograd pickles that memory.
Upstream: pytorch#185861 and pytorch#184774, in 2.14.
Affected: up to 2.13. Cache entries that torch saved without the shim stay wrong. So the
shim is part of the cache keys: while it is active, torch does not read these entries.
Removal: when no supported torch is older than 2.14.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ..patching.patch import Wrapper
from ..probe.definition import Definition, Undecided
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_SCHEMAS = "torch._functorch._aot_autograd.schemas"
_TARGET = f"{_SCHEMAS}:ViewAndMutationMeta.make_runtime_safe"
_SEQUENCE = "torch._functorch._aot_autograd.functional_utils:ViewMetaSequence.__init__"
_SPOILT = ("_unsafe_view_ViewMeta", "resize__ViewMeta")
_TUPLE = "FUNCTIONALIZATION_VIEWMETA_SERIALIZABLE_TUPLE("


class _SizesByValue(NamedTuple):
    """The two kinds of view return copies of their sizes.

    torch's C++ header tells: the tuples that it declares hold vectors or references to
    vectors. If the header is missing, or is written in a new way, the check tries the
    running torch. A torch that is repaired in another way gets the shim, without harm.
    """

    target: str = f"{_SCHEMAS}:include/ATen/FunctionalizeFallbackKernel.h"

    def explain_failure(self, definition: Definition) -> str | None:
        tuples = {name: _tuple_of(name, definition.text or "") for name in _SPOILT}
        if not all(tuples.values()):
            return _try_round_trip(definition.value)
        referring = [name for name in _SPOILT if "&" in tuples[name]]
        return f"{', '.join(referring)}: as a reference" if referring else None

    def __str__(self) -> str:
        return "view metas hand out their sizes by value"


def _tuple_of(name: str, header: str) -> str:
    """Return the declaration of what a kind of view is saved as, or ""."""
    after = header.partition(f"VIEWMETA_NAME({name})")[2].lstrip()
    declaration = after.partition(";")[0]
    is_one = declaration.startswith(_TUPLE) and declaration.endswith(")")
    return declaration if is_one else ""


def _try_round_trip(torch: Any) -> str | None:
    """Explain how a size that goes into the running torch comes out changed.

    An affected torch reads freed memory here, as it does whenever it saves such a view.
    The check uses the kind of view that holds plain numbers. The other kind holds
    symbols too, and torch would follow random bits as a pointer to one.
    """
    if torch is None:
        reason = "there is no such header here as torch has had, and only torch itself"
        raise Undecided(f"{reason} can tell")
    # With 100 numbers, the list that returns them takes the freed memory itself, under
    # every allocator.
    stored = (True, list(range(1, 101)))
    try:
        same = torch._C._functionalization.resize__ViewMeta(stored).as_tuple() == stored
    except Exception as error:  # noqa: BLE001 (private API: it has changed)
        return f"trying it out raises {type(error).__name__}: {error}"
    return None if same else "what comes out is not what went in"


def _replace_make_runtime_safe(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `make_runtime_safe` drop the sequences of the two kinds of view."""

    def make_runtime_safe(self: Any) -> None:
        wrapper.next(self)
        # Without a sequence, torch makes the view from its base by size and stride, as
        # it does for dynamic shapes.
        for at, info in enumerate(self.output_info):
            views = info.view_meta_sequence
            sequence = () if views is None else views.sequence
            if any(type(view).__name__ in _SPOILT for view in sequence):
                self.output_info[at] = replace(info, view_meta_sequence=None)

    return make_runtime_safe


SHIM = Shim(
    name="view_meta_cache",
    kind="fix",
    upstream="pytorch#185861, in torch 2.14.0",
    changes_codegen=True,
    revision=1,
    native=(_SizesByValue(),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Symbol(f"{_SCHEMAS}:OutputAliasInfo.view_meta_sequence", "value"),
        Refers(_SEQUENCE, "sequence"),
    ),
    replacements={_TARGET: _replace_make_runtime_safe},
)
