"""Which torch is this? The folder and the version of this process' torch.

Nothing here imports torch, and nothing here raises, whatever stands in for it:
documentation builds put mocks into `sys.modules`, tests put namespaces there.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from functools import cache
from types import ModuleType
from typing import Any

from .errors import UNPARSABLE

# "torch._C" once it was seen. To load it a second time crashes some processes (2.12.1).
_loaded: set[str] = set()


def module() -> ModuleType | None:
    """Return the imported torch, or None if there is none or a stand-in."""
    torch = sys.modules.get("torch")
    if not _is_module(torch):
        return None
    _loaded.update({"torch._C"} & sys.modules.keys())
    return torch


def _is_module(value: object) -> bool:
    # Not isinstance: it may ask the object for its class, and a stand-in may raise.
    return issubclass(type(value), ModuleType)


def _attribute(torch: ModuleType, name: str) -> Any:
    # Not getattr or vars: a stand-in may have its own `__getattr__` or `__dict__`.
    return vars(ModuleType)["__dict__"].__get__(torch).get(name)


def folder() -> str | None:
    """Return the folder of the torch package, or None if torch cannot be found."""
    return _locate()[0]


def absence() -> str:
    """Say why `folder` is None, in words that follow a colon or a comma."""
    return _locate()[1]


def _locate() -> tuple[str | None, str]:
    torch = sys.modules.get("torch")
    if torch is not None and not _is_module(torch):
        return None, f"sys.modules has a {type(torch).__name__} in place of torch"
    try:
        folders = _folders(torch)
    except Exception as error:  # noqa: BLE001 (a finder of another library may raise anything)
        return None, f"torch cannot be found ({type(error).__name__}: {error})"
    if not folders:
        what = "is not installed" if torch is None else "is not a package"
        return None, f"torch {what}"
    if _loaded and torch is None:
        return None, "torch was imported, and is no longer in sys.modules"
    return folders[0], ""


def _folders(torch: ModuleType | None) -> list[str]:
    if torch is not None:
        found = _attribute(torch, "__path__")
    else:
        try:
            spec = importlib.util.find_spec("torch")
        except ImportError:  # a finder that forbids torch
            return []
        found = spec.submodule_search_locations if spec else None
    return [path for path in found or () if isinstance(path, str)]


def text() -> str | None:
    """Return `torch.__version__` as torch spells it, such as `2.11.0+cu130`.

    None if there is no torch, or if it does not say. A torch that is not imported
    yet is asked by reading its `version.py`.
    """
    torch = module()
    said = _attribute(torch, "__version__") if torch is not None else None
    if issubclass(type(said), str):
        return str.__str__(said)
    root = folder()
    return _read(os.path.join(root, "version.py")) if root else None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return stated(file.read())
    except (OSError, ValueError):
        return None


def stated(source: str) -> str | None:
    """Return the string that the text of a torch/version.py assigns to `__version__`.

    None if it assigns no constant, or if the text is not Python.
    """
    try:
        tree = ast.parse(source)
    except UNPARSABLE:
        return None
    for node in tree.body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        value = getattr(node, "value", None)
        if "__version__" in names and isinstance(value, ast.Constant):
            return str(value.value)
    return None


@cache
def parse(version: str | None) -> Any:
    """Return a `packaging.version.Version`; None for None or for no valid version."""
    if version is None:
        return None
    # Importing packaging takes 6 ms, two thirds of what `import compat` may take.
    # torch has imported its own copy of the same library already. If a torch stops
    # bringing one, this falls back to the real one.
    packaging: Any = sys.modules.get("torch._vendor.packaging.version")
    if not hasattr(packaging, "InvalidVersion"):
        # A statement, not a computed name: PyInstaller collects it.
        import packaging.version as packaging
    try:
        return packaging.Version(version)
    except ValueError:  # InvalidVersion is one; another is raised by too many digits
        return None
