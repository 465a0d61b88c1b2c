"""The searched files: which are worth parsing, and where imports between them lead."""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import UNPARSABLE
from .classes import Classes
from .interest import Interest
from .operations import World
from .scopes import Module, Scope, Store
from .sieve import asks_torch, may_read_version, names_torch, words_of
from .tree import walk
from .values import Dotted

EXCLUDED = (".venv", "venv", "build", "node_modules", "third_party", ".git", "__pycache__", ".tox", ".nox")
# Names that every torch has, so that their import does not fail. Any other name may be one that came or went.
_IN_EVERY_TORCH = frozenset({"torch", "torch.__version__", "torch.torch_version.TorchVersion"}) | {
    f"torch.{name}"
    for name in (
        "autograd", "cuda", "device", "distributed", "jit", "multiprocessing", "nn", "nn.functional", "nn.Module",
        "nn.Parameter", "optim", "Tensor", "utils", "utils.data", "utils.data.DataLoader", "version",
        "version.__version__",
    )
}  # fmt: skip


class Index:
    """Parses files at most once, when something in them is asked for."""

    def __init__(self, roots: Iterable[str], exclude: Iterable[str] = ()) -> None:
        self.sentences: list[str] = []
        self.excluded = (*EXCLUDED, *exclude)
        self.files: dict[Path, str] = {}
        self.roots = [Path(root).resolve() for root in roots]
        self._modules: dict[Path, Module | None] = {}
        self._located: dict[tuple[str, Path], Path | None] = {}
        self.torches: Any = None
        self.asks_source = 0  # places that ask torch's source: `hasattr(torch, ...)`, `try: from torch import ...`
        self.interests: dict[Module, Interest] = {}
        self.offered: dict[str, set[str]] = {}  # the names that tell of the version, and the modules that offer them
        self.sets_version = ""  # a file that sets torch.__version__
        for root in roots:
            self._add(root)
        self.classes = Classes(self.files, self.text, self.module, lambda: self.parsed)

    # Files.

    def _add(self, root: str) -> None:
        if not os.path.exists(root):
            self.sentences.append(f"{root}: there is no such file or folder")
        elif os.path.isdir(root):
            for place in self._below(root):
                self.files.setdefault(place.resolve(), str(place))
        elif not os.path.isfile(root):
            self.sentences.append(f"{root}: is no regular file, so it is not read")
        elif root.endswith(".ipynb"):
            self.sentences.append(f"{root}: is a notebook; convert it to a .py file first")
        else:
            self.files[Path(root).resolve()] = root

    def _below(self, folder: str) -> list[Path]:
        def unreadable(error: OSError) -> None:
            self.sentences.append(f"{error.filename}: cannot be read ({error.strerror})")

        found: list[Path] = []
        for place, folders, names in os.walk(folder, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not self._is_excluded(os.path.join(place, name), name))
            inside = [os.path.join(place, name) for name in names if name.endswith(".py")]
            found += [Path(p) for p in sorted(inside) if os.path.isfile(p) and not self._is_excluded(p, Path(p).name)]
        return found

    def _is_excluded(self, path: str, name: str) -> bool:
        return any(name == pattern or Path(path).match(pattern) for pattern in self.excluded)

    def text(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            self.sentences.append(f"{self.files.get(path, path)}: cannot be read ({error.strerror})")
            return b""

    def module(self, path: Path) -> Module | None:
        """The parsed file, or None if it cannot be read or parsed."""
        if path not in self._modules:
            self._modules[path] = self._parsed(path)
        return self._modules[path]

    def _parsed(self, path: Path) -> Module | None:
        shown = self.files.get(path, str(path))
        try:
            source = path.read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of an invalid escape in a string: not for this report
                return Module(path, shown, ast.parse(source), source.decode("utf-8", "replace"))
        except OSError as error:
            reason = str(error.strerror)
        except UNPARSABLE as error:
            version = ".".join(map(str, sys.version_info[:2]))
            reason = f"cannot be parsed by Python {version}: {error}"
        if path in self.files:
            self.sentences.append(f"{shown}: cannot be read ({reason})")
        return None

    @property
    def parsed(self) -> list[Module]:
        return [module for module in self._modules.values() if module is not None]

    def relevant(self, asks_source: bool) -> list[Path]:
        """The files that may read torch's version or, if that is asked, torch's own attributes."""
        found = []
        for path in self.files:
            text = self.text(path)
            if names_torch(text):
                asks = asks_torch(text)
                self.asks_source += asks
                if may_read_version(text) or (asks_source and asks):
                    found.append(path)
        return found

    def mentioning(self, names: dict[str, set[str]]) -> list[Path]:
        """The files not parsed yet that have one of these names, and the name of a module that offers it."""
        words = {name.encode(): {place.encode() for place in places} for name, places in names.items()}
        found = []
        for path in self.files:
            if path in self._modules:
                continue
            present = words_of(self.text(path))
            if any(places & present for word, places in words.items() if word in present):
                found.append(path)
        return found

    # Imports.

    def locate(self, module: str, folder: Path) -> Path | None:
        """The file of a module that is imported from a file in `folder`, if it is in reach."""
        key = (module, folder)
        if key not in self._located:
            self._located[key] = self._locate(module, folder)
        return self._located[key]

    def _locate(self, module: str, folder: Path) -> Path | None:
        relative = len(module) - len(module.lstrip("."))
        parents = (folder, *folder.parents)
        if relative:
            places: Iterable[Path] = parents[relative - 1 : relative]
            module = module.lstrip(".")
        else:
            # Its package is among the folders above, or it stands beside the file or in a root.
            top = module.partition(".")[0]
            if top == "torch":
                return None  # never a file such as `utils/torch.py` that imports torch
            places = (*(place.parent for place in parents if place.name == top), folder, *self.roots)
        for place in places:
            base = place.joinpath(*module.split(".")) if module else place
            for path in (base.parent / f"{base.name}.py", base / "__init__.py"):
                if path.is_file():
                    return path.resolve()
        return None

    def is_always_there(self, name: str) -> bool:
        """Whether an import cannot fail where torch runs."""
        root = name.partition(".")[0]
        return name in _IN_EVERY_TORCH if root == "torch" else root in {"packaging", *sys.stdlib_module_names}

    # Questions of the interpreter about more than one file.

    def interest(self, module: Module) -> Interest:
        if module not in self.interests:
            self.interests[module] = Interest(module)
            self.interests[module].grow(self.offered)
        return self.interests[module]

    def is_worth(self, name: str, scope: Scope) -> bool:
        """Whether a name of this scope may tell of torch's version."""
        return (scope, name) in self.interest(scope.module).names

    def is_attribute_worth(self, name: str, module: Module) -> bool:
        return (None, name) in self.interest(module).names

    def is_function_worth(self, scope: Scope) -> bool:
        name = getattr(scope.node, "name", "")
        return scope.outer is not None and self.is_worth(name, scope.outer)

    def mark_foreign_stores(self, module: Module) -> None:
        """Marks what a file sets in other modules: `flags.NEW = False`."""
        for name, stores in module.stores.items():
            for store in stores:
                self._mark(name, store, module)

    def _mark(self, name: str, store: Store, module: Module) -> None:
        root = re.split(r"\W", store.owner)[0]
        if root in ("self", "cls"):
            return
        scope = store.scope.find(root)
        bound = scope.bound[root] if scope else []
        if name == "__version__" and _imports_torch(root, bound):
            self.sets_version = module.shown
        imported = any(how == "import" or _makes_module(node) for how, node in bound)
        own = "__name__" in store.owner or any(
            "__name__" in ast.unparse(node) for how, node in bound if how == "assign"
        )
        how = f"{module.shown} sets it"
        if own and not name:
            module.scope.elsewhere.setdefault("*", how)
        elif imported and not name:
            for target in self._targets(root, bound, module):
                target.scope.elsewhere.setdefault("*", how)
        for other in self.parsed if name else ():
            if name in other.scope.bound and (imported or (own and other is module) or (not store.node and not bound)):
                other.scope.elsewhere.setdefault(name, how)

    def _targets(self, root: str, bound: list[Any], module: Module) -> Iterator[Module]:
        """Yield the searched files that a name in a file is imported from."""
        for how, node in bound:
            if how != "import":
                continue
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) == root:
                    base = f"{'.' * node.level}{node.module or ''}" if isinstance(node, ast.ImportFrom) else ""
                    dot = "." if base.strip(".") else ""
                    target = self.locate(f"{base}{dot}{alias.name}", module.path.parent)
                    if target is not None and (found := self.module(target)) is not None:
                        yield found

    def is_stored(self, name: str) -> bool:
        """Whether a parsed file sets an attribute of this name."""
        return any(name in module.stores for module in self.parsed)

    def is_content_changed(self, name: str) -> bool:
        """Whether a parsed file changes the content of an attribute of this name."""
        return any(name in module.changed for module in self.parsed)

    def reads_only_torch(self, node: ast.AST) -> bool:
        """Whether a function's body names nothing but torch, versions, its arguments and builtins."""
        allowed = re.compile(
            r"(?i).*(torch|version|parse).*|operator|re|packaging|importlib|metadata|tuple|int|str|map|len|bool"
        )
        bound = {n.id for n in walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        bound |= {n.arg for n in walk(node) if isinstance(n, ast.arg)}
        read = {n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        return all(allowed.fullmatch(name) for name in read - bound)

    def asked(self, interpreter: Any, how: str, given: list[Any]) -> Any:
        """The answer to `hasattr(torch.x, "y")`, from the sources of the given torches if there are any."""
        owner, name = given[:2]
        if not isinstance(owner, Dotted) or owner.name.partition(".")[0] != "torch" or not isinstance(name, str):
            return interpreter.opaque("asks for an attribute of something that is not known", owner)
        if self.torches is None:
            return interpreter.opaque("asks torch itself: answered with --torches PATH...")
        world: World = interpreter.world
        return self.torches.has(f"{owner.name}.{name}", how, given, world)


def _imports_torch(root: str, bound: list[Any]) -> bool:
    """Whether a name is torch: as it is, or imported under another name."""
    names = [alias for how, node in bound if how == "import" for alias in node.names]
    return root == "torch" or any(alias.asname == root and alias.name == "torch" for alias in names)


def _makes_module(node: ast.AST) -> bool:
    """Whether a name is bound to a module by a call: `importlib.import_module("flags")`, `sys.modules["flags"]`."""
    value = getattr(node, "value", None)
    return value is not None and bool(re.search(r"import_module|__import__|sys\.modules", ast.unparse(value)))
