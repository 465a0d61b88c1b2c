"""Shims that do not exist, made from ones that do."""

from __future__ import annotations

import copy
from typing import Any

from compat.shims.base import Shim


def variant(shim: Shim, **changes: Any) -> Shim:
    """Return a copy of the shim with other attributes, such as `native` or `backport`."""
    made = copy.copy(shim)
    vars(made).update(changes)
    targets = [required.target for required in (*made.native, *made.backport)]
    made.modules = frozenset(target.partition(":")[0] for target in targets)
    return made
