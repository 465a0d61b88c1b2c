"""Find the private torch names that an engine's source uses. Nothing of the engine is imported or executed.

A name is a dotted path as it stands at run time: `torch._inductor.codecache.FxGraphCache.load`. Aliases are followed
through imports, assignments and the engine's own modules.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import UNPARSABLE, CompatError
from .reader import Reader, Use, guard

# Folders that hold installed packages or generated files, not the engine's source.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
# Namespaces of torch.ops that torch itself fills. All others belong to engines and extensions.
_TORCH_OPS = frozenset(
    {"aten", "prims", "prim", "inductor", "inductor_prims", "rngprims", "higher_order", "c10d", "c10d_functional"}
    | {"_c10d_functional", "_c10d_functional_autograd", "symm_mem", "quantized", "quantized_decomposed", "_quantized"}
    | {"mkl", "mkldnn", "onednn", "fsdp", "_dtensor", "streams", "profiler"}
)
_PRIVATE_PACKAGE = ("torch", "fx", "experimental")  # has no underscore, but torch documents it as internal


def private(name: str) -> str | None:
    """Return the part of a dotted path that is a private torch name, or None.

    Private are modules and names that start with an underscore, whatever is below them, and `torch.fx.experimental`.
    Special names such as `__version__` are not private, and end the path.
    """
    parts = name.split(".")
    special = next((i for i, part in enumerate(parts) if part.startswith("__") and part.endswith("__")), len(parts))
    parts = parts[:special]
    if parts[:1] != ["torch"]:
        return None
    if parts[1:2] == ["ops"]:
        if len(parts) < 4 or parts[2] not in _TORCH_OPS:
            return None
        parts = parts[:4]  # without the overload
    internal = tuple(parts[:3]) == _PRIVATE_PACKAGE or any(part.startswith("_") for part in parts)
    return ".".join(parts) if internal else None


def uses(folder: str, show: Callable[[str], None] = lambda text: None) -> tuple[list[Use], list[str]]:
    """Find every use of a private torch name below a folder.

    Args:
        folder: the engine's source folder.
        show: receives the path of each file before it is read.

    Returns:
        The uses, in the order of files and lines; and a sentence for each file that cannot be read.

    Raises:
        CompatError: there is no such folder, or it has no Python file.
    """
    skipped: list[str] = []
    files = list(python_files(folder, skipped.append))
    if not files:
        raise CompatError(f"{folder}: there is no Python file in this folder{elsewhere(skipped)}")
    engine, sentences = _Engine(folder, files), []
    for path in files:
        show(f"reading {path}")
        try:
            text = Path(folder, path).read_bytes()
            if engine.may_use_torch(text):
                engine.add(path, ast.parse(text))
        except OSError as error:
            sentences.append(f"{os.path.join(folder, path)}: cannot be read ({error.strerror})")
        except UNPARSABLE as error:
            sentences.append(f"{os.path.join(folder, path)}: cannot be parsed by this Python ({error})")
    return engine.private_uses(), sentences


def elsewhere(skipped: list[str]) -> str:
    """Say what to do if only folders of installed packages hold the engine."""
    return f"; to read an installed package, name its folder below {', '.join(skipped)}" if skipped else ""


def python_files(folder: str, skipped: Callable[[str], None] = lambda path: None) -> Iterator[str]:
    """Yield the path of each Python file below a folder. `skipped` receives the folders of installed packages."""
    if not os.path.isdir(folder):
        raise CompatError(f"{folder}: there is no such folder")
    for where, folders, names in os.walk(folder):
        apart = [f for f in folders if f in _SKIPPED or os.path.exists(os.path.join(where, f, "pyvenv.cfg"))]
        for name in sorted(set(apart) - {"__pycache__"}):
            skipped(os.path.join(where, name))
        folders[:] = sorted(f for f in folders if f not in apart and not f.startswith("."))
        for name in sorted(names):
            path = os.path.join(where, name)
            if name.endswith(".py") and os.path.isfile(path):  # not a FIFO, which blocks the reader
                yield Path(path).relative_to(folder).as_posix()


def _guard(use: Use, name: str, ready: set[str]) -> str:
    if use.guard == use.name:
        return name
    return use.guard if use.name.startswith("torch.") else guard(name, ready)


class _Engine:
    """The files of an engine that have been read: their uses, and the targets of the names in their modules."""

    def __init__(self, folder: str, files: list[str]) -> None:
        self._top = Path(os.path.abspath(folder)).name
        outer = {part for path in files for part in path.removesuffix(".py").split("/")[:2]}
        packages = b"|".join(re.escape(name.encode()) for name in {self._top, *outer})
        self._imports = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(?:\.|(?:%s)\b)|torch" % packages, re.MULTILINE)
        self._modules: dict[str, Reader] = {}  # by dotted name
        self._uses: list[Use] = []

    def may_use_torch(self, text: bytes) -> bool:
        """Whether a file names torch, or may import a name of torch from another file of the engine."""
        return self._imports.search(text) is not None

    def add(self, path: str, tree: ast.Module) -> None:
        names = self._dotted(path)
        package = names[0] if path.endswith("__init__.py") else names[0].rpartition(".")[0]
        reader = Reader(path, package, tree)
        self._uses += reader.uses
        for name in names:
            self._modules.setdefault(name, reader)

    def _dotted(self, path: str) -> list[str]:
        """Return the names under which the engine may import this file, the longest first."""
        parts = [self._top, *path.removesuffix(".py").split("/")]
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        # The given folder is the package, contains it, or contains it in `src` or a like folder.
        return [".".join(parts[start:]) for start in range(min(3, len(parts)))]

    def private_uses(self) -> list[Use]:
        imports = [use for use in self._uses if use.form == "import" and use.name.startswith("torch.")]
        # Names that one file imports, ready for their absence, and others import from that file.
        ready = {use.name for use in imports if use.guard} - {use.name for use in imports if not use.guard}
        found = dict.fromkeys(
            use._replace(name=name, guard=_guard(use, name, ready))
            for use in self._uses
            for path in self._torch_paths(use.name, set())
            if (name := private(path)) is not None
        )
        return list(found)

    def _torch_paths(self, path: str, seen: set[str], steps: int = 10) -> Iterator[str]:
        """Follow a path through the engine's own modules until it starts at torch."""
        if path.startswith("torch."):
            yield path
        elif steps and path not in seen:  # two modules may import a name from each other
            seen.add(path)
            parts = path.split(".")
            for end in range(len(parts) - 1, 0, -1):
                module = self._modules.get(".".join(parts[:end]))
                if module is not None:
                    for target in module.exports.get(parts[end], [f"{star}.{parts[end]}" for star in module.stars]):
                        yield from self._torch_paths(".".join([target, *parts[end + 1 :]]), seen, steps - 1)
                    break
