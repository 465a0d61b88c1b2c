"""The torch of this process: where it is and which version it says it is. Never imports torch."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import UNPARSABLE

if TYPE_CHECKING:
    from packaging.version import Version


def root() -> str | None:
    """The folder of the torch package, or None where torch is not installed."""
    try:
        found = sys.modules.get("torch") or importlib.util.find_spec("torch")
    except ImportError:  # says somebody's finder, which keeps torch from being imported
        return None
    folders = getattr(found, "__path__", None) or getattr(found, "submodule_search_locations", None)
    return next(iter(folders or ()), None)


def text() -> str | None:
    """`torch.__version__` as torch spells it (`2.11.0+cu130`), or None where there is no torch or it does not say."""
    said = getattr(sys.modules.get("torch"), "__version__", None)
    if said is not None:
        return str(said)
    folder = root()
    return _from_source(os.path.join(folder, "version.py")) if folder else None


@lru_cache(maxsize=None)
def parse(version: str | None) -> Version | None:
    """`version` as a packaging Version; None for None and for a string that PEP 440 does not know."""
    if version is None:
        return None
    # packaging takes 6 ms to import, two thirds of what `import compat` may cost. torch brings the same library along
    # and has imported it already; where a torch stops doing so, this falls back to the real one.
    packaging: Any = sys.modules.get("torch._vendor.packaging.version")
    if not hasattr(packaging, "InvalidVersion"):
        packaging = importlib.import_module("packaging.version")
    try:
        parsed: Version = packaging.Version(version)
    except packaging.InvalidVersion:
        return None
    return parsed


def _from_source(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return stated(file.read())
    except (OSError, ValueError):
        return None


def stated(source: str) -> str | None:
    """What the text of a torch/version.py assigns to `__version__`; None where it does not, or cannot be parsed."""
    try:
        tree = ast.parse(source)
    except UNPARSABLE:
        return None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets)
        if named and isinstance(value := getattr(node, "value", None), ast.Constant):
            return str(value.value)
    return None
