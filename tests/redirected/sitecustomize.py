"""With this folder on PYTHONPATH, `import compat` imports the vendored copy that COMPAT_TEST_COPY names.

This holds in this process and in its child processes, so all tests can run against a copy. A copy has no tools, so the
tools of the original are used, and they work with the copy's runtime."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

COPY = os.environ.get("COMPAT_TEST_COPY", "")  # such as engine._vendor.compat
REAL = "compat"


class Redirect(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != REAL:
            return None
        if name == f"{REAL}.tools":
            return PathFinder.find_spec(name, list(PathFinder.find_spec(REAL).submodule_search_locations))
        if name.startswith(f"{REAL}.tools."):
            return None  # found through the package above
        there = COPY + name[len(REAL) :]
        if name == f"{REAL}.__main__":
            return importlib.util.spec_from_file_location(name, importlib.util.find_spec(there).origin)
        return ModuleSpec(name, self, is_package=name == REAL)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(COPY + spec.name[len(REAL) :])
        self.own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own  # the import system has just replaced it by the spec of the redirected name


if COPY:
    sys.meta_path.insert(0, Redirect())
