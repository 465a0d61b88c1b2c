"""Shims changed for a test: variants, and shims that have not patched torch yet."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from compat.shims.base import _CACHE_KEY, Shim, _Patches


def variant(shim: Shim, **changes: Any) -> Shim:
    """Return a shim that is built from the arguments of another one, with changes.

    A variant with the same name and revision shares its scopes and patches with the other shim.
    """
    arguments = {name: getattr(shim, name) for name in inspect.signature(Shim).parameters if hasattr(shim, name)}
    if shim.changes_codegen:
        arguments["backport"] = shim.backport[len(_CACHE_KEY) :]  # the base adds these again
    return Shim(**{**arguments, "token_of": shim._token_of, **changes})


def without_patches(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the shim forget the patches that it has made, as in a process that has not used it."""
    for key in shim._patches:
        monkeypatch.setitem(shim._patches, key, _Patches())
