"""`mark_unbacked`: mark dimensions of a tensor as unbacked, with the options of today.

Symptom: An engine calls `mark_unbacked` in a way of its own for each torch. An older
torch raises TypeError for an option that it lacks: `hint_override` came in 2.10,
`shape_id` in 2.11, `min` and `max` in 2.12. The third positional argument was `strict`
in 2.9.1 and is `hint_override` from 2.10 on. If several dimensions are marked in one
call, no torch so far applies `hint_override`, `strict` or `specialize_on` to them.
Upstream: none; the options came one by one.
Affected: up to 2.11; for several dimensions in one call, every torch so far (2.15).
Removal: when no supported torch is older than 2.12.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from ..probe.requirements import Symbol, Takes
from ._calls import demanded_mode, taken_options
from .base import Shim

_MODULE = "torch._dynamo.decorators"
_TARGET = f"{_MODULE}:mark_unbacked"
_HINT = "hint_override"  # changes no result, so a torch without it does without it


def mark_unbacked(
    tensor: Any,
    index: int | Iterable[int],
    *,
    hint_override: int | None = None,
    strict: bool = False,
    specialize_on: list[Any] | None = None,
    shape_id: str | None = None,
    min: int | None = None,  # noqa: A002 (torch's word)
    max: int | None = None,  # noqa: A002
) -> None:
    """Mark dimensions of a tensor as unbacked, before a compile takes the tensor.

    `torch._dynamo.decorators.mark_unbacked` has the same words, but not all of them on
    every torch. The options hold for each of the dimensions. torch does not apply
    `hint_override`, `strict` and `specialize_on` if it gets more than one.

    Args:
        tensor: an input of a later compile.
        index: one dimension, or several.
        hint_override: the size that Inductor tunes for (torch 2.9.1 does without it).
        strict: raise an error if the compile specializes the dimension.
        specialize_on: functions of the size, each for a specialized compile.
        shape_id: dimensions with the same id share one symbol (from 2.11 on).
        min: the least size, which is then checked at run time (from 2.12 on).
        max: the largest size, likewise.

    Raises:
        UnsupportedError: this torch lacks an option that was given.

    """
    options: dict[str, Any] = {_HINT: hint_override, "strict": strict}
    options |= {"specialize_on": specialize_on, "shape_id": shape_id}
    options |= {"min": min, "max": max}
    _mark(tensor, (index,) if isinstance(index, int) else tuple(index), options)


# As torch's own function: Dynamo must not trace a call.
mark_unbacked._dynamo_forbidden = True  # type: ignore[attr-defined]


def _mark(tensor: Any, dimensions: tuple[int, ...], options: dict[str, Any]) -> None:
    """Call torch's function once a dimension, with the options that were given."""
    demanded_mode(SHIM)
    function = importlib.import_module(_MODULE).mark_unbacked
    given = {k: v for k, v in options.items() if v is not None and v is not False}
    taken = taken_options(SHIM, function, given, unneeded=(_HINT,))
    for dimension in dimensions:
        function(tensor, dimension, **taken)


SHIM = Shim(
    name="mark_unbacked",
    kind="api",
    upstream="the last options came in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    native=(
        Takes(_TARGET, _HINT),
        Takes(_TARGET, "shape_id"),
        Takes(_TARGET, "min"),
        Takes(_TARGET, "max"),
    ),
    backport=(
        Symbol(_TARGET, "function"),
        Takes(_TARGET, "index"),
        Takes(_TARGET, "strict"),
        Takes(_TARGET, "specialize_on"),
    ),
    replacements={},
)
