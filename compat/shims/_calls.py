"""Shared by the shims behind `compat.api`, which a caller asks for by name."""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from .. import version
from ..errors import UnsupportedError
from ..patching.context import Context
from ..probe.definition import Definition
from ..selection import select
from .base import Shim


class OwnCall(NamedTuple):
    """Torch has a call of its own for this: never true so far.

    Attributes:
        target: what would change if torch had one.
        words: the purpose of the call.

    """

    target: str
    words: str

    def explain_failure(self, definition: Definition) -> str | None:
        return f"no release has one, and {self.target} is a {definition.kind}"

    def __str__(self) -> str:
        return f"torch has a call that can {self.words}"


def demanded_mode(shim: Shim) -> str:
    """Return "native" or "backport". Raises UnsupportedError if it would be "noop"."""
    selection = select(shim)
    if selection.mode == "noop":
        raise UnsupportedError(f"{shim.name}: {selection.reason}")
    return selection.mode


def demanded_context(shim: Shim, value: Any) -> Context:
    """Return a context of the shim. Raises UnsupportedError if it would do nothing."""
    return shim.context(value, demanded_mode(shim))


def taken_options(
    shim: Shim,
    function: Callable[..., Any],
    options: Mapping[str, Any],
    unneeded: Collection[str] = (),
) -> dict[str, Any]:
    """Return the options that torch's function takes.

    Raises UnsupportedError for another one, unless it is unneeded: no result depends on
    that option.
    """
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known and name not in unneeded:
            text = f"torch {version.text()} takes no {name}"
            text += "; leave it out, or use a newer torch"
            raise UnsupportedError(f"{shim.name}: {text}")
    return {name: value for name, value in options.items() if name in known}
