"""Look up dotted names in a torch that is read, not imported: whether they exist, and with which parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from ...errors import UNPARSABLE
from .bindings import DEFINITIONS, Function, Module, absolute, bindings, fields, signature
from .torches import Torch

# Base classes from outside torch that add no attributes, and those that add only public ones.
_EMPTY_BASES = frozenset({"object", "ABC", "Generic", "Protocol"})
_PUBLIC_BASES = frozenset(
    {"Enum", "IntEnum", "Exception", "RuntimeError", "ValueError", "TypeError", "KeyError", "AttributeError"}
    | {"BaseException", "str", "int", "dict", "list", "tuple", "set", "Callable", "Collection", "Container", "Hashable"}
    | {"Iterable", "Iterator", "Mapping", "MutableMapping", "MutableSequence", "MutableSet", "Reversible", "Sequence"}
    | {"Set", "Sized"}
)
_FIELDS_ONLY = frozenset({"NamedTuple", "TypedDict"})
_LITERALS = (ast.Constant, ast.JoinedStr, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Compare, ast.BinOp, ast.UnaryOp)
_CONFIG = "torch.utils._config_module.ConfigModule"  # `install_config_module` makes a module an instance of it
_MAKERS = ("__new__", "__init__")  # whose parameters are those of the class; one that takes anything tells nothing
_OPERATORS = ("torchgen/packaged/ATen/native/native_functions.yaml", "aten/src/ATen/native/native_functions.yaml")


class Missing(Exception):
    """The name does not exist. `prefix` is the part of it that does."""

    def __init__(self, prefix: str, why: str) -> None:
        super().__init__(why)
        self.prefix = prefix


class Undecided(Exception):
    """The source is not enough to decide whether the name exists."""


class Found(NamedTuple):
    """A name that exists."""

    kind: str  # "module", "class", "function" or "value"
    where: str  # the dotted path of its definition, as far as that is known
    parameters: str | None = None  # None: not a function, or not known
    rest: str = ""  # the end of the name, if it is an attribute of a plain value or a function
    kinds: tuple[str, ...] = ()  # of each part of the name, without those of `rest`


class _Thing(NamedTuple):
    """A definition, on the way to the end of a name."""

    kind: str
    where: str  # for a module: its name; for all others: the dotted path of the definition
    module: str = ""
    node: ast.AST | None = None
    instance: bool = False  # a value that is an instance of the class in `node`


def _importable(file: str) -> Iterator[str]:
    """Yield the paths that Python can import because of a file: the folders around it, and itself if it is a module."""
    folder, _, base = file.rpartition("/")
    stem, _, ending = base.partition(".")
    if ending in ("py", "pyi") or f".{ending}".endswith((".so", ".pyd")):  # _C.cpython-311-x86_64-linux-gnu.so
        yield f"{folder}/{stem}"
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


class Names:
    """Looks up names in one torch."""

    def __init__(self, torch: Torch) -> None:
        self._torch = torch
        self._modules: dict[str, Module | None] = {}
        self._files: frozenset[str] | None = None
        self._paths: frozenset[str] | None = None  # of modules and folders, without the ends of their names
        self._following: set[tuple[str, str]] = set()

    def find(self, name: str) -> Found:
        """Look up a dotted name that starts with `torch`.

        Raises:
            Missing: the name does not exist.
            Undecided: the source is not enough to decide.
        """
        parts = name.split(".")
        if parts[1] == "ops":
            return self._operator(name, parts)
        thing = _Thing("module", "torch")
        kinds = [thing.kind]
        for i, part in enumerate(parts[1:], 1):
            if any("property" in ast.unparse(d) for d in getattr(thing.node, "decorator_list", ())):
                raise Undecided(f"{thing.where} is a property, and the source does not tell what it returns")
            if thing.kind == "function" or (thing.kind == "value" and isinstance(thing.node, _LITERALS)):
                return Found(thing.kind, thing.where, self._parameters(thing), ".".join(parts[i:]), tuple(kinds))
            try:
                thing = self._member(thing, part, i == len(parts) - 1)
            except Missing as error:
                raise Missing(".".join(parts[:i]), str(error)) from None
            kinds.append(thing.kind)
        return Found(thing.kind, thing.where, self._parameters(thing), kinds=tuple(kinds))

    def require_module(self, name: str) -> None:
        """Check that `import name` finds a module. An attribute of that name is not enough for it.

        Raises:
            Missing: no file of torch can be this module.
        """
        parts = name.split(".")
        if parts[1:2] == ["ops"]:
            return  # made when torch runs
        for i in range(1, len(parts)):
            parent, inner = ".".join(parts[:i]), ".".join(parts[: i + 1])
            if self._exists(inner):
                continue
            module = self._module(parent)
            if module is None or module.is_stub or module.replaces_modules:
                return  # compiled modules define modules without a file, and others do it through sys.modules
            raise Missing(parent, f"there is no module {inner}")

    def definitions(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
        """Find where torch defines top-level functions, classes and modules, as dotted paths.

        Args:
            wanted: pairs of a name and its kind.
        """
        pattern = re.compile(r"^(?:async )?(def|class) (\w+)", re.MULTILINE)
        found: dict[tuple[str, str], set[str]] = {one: set() for one in wanted}
        for path in self._all_files():
            if path.endswith(".py") and path.startswith("torch/"):
                module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                defined = {(module.rpartition(".")[2], "module"): module}
                for word, name in pattern.findall(self._torch.text(path) or ""):
                    defined[name, "function" if word == "def" else word] = f"{module}.{name}"
                for one in defined.keys() & found.keys():
                    found[one].add(defined[one])
        return found

    def _all_files(self) -> frozenset[str]:
        if self._files is None:
            self._files = frozenset(self._torch.files())
        return self._files

    # --- modules ----------------------------------------------------------------------------------------------------

    def _module(self, name: str) -> Module | None:
        """Read a module of torch. None if it is compiled, or if there is no such module."""
        if name not in self._modules:
            path, parsed = name.replace(".", "/"), None
            for end in (".py", "/__init__.py", ".pyi", "/__init__.pyi"):
                text = self._torch.text(path + end)
                if text is not None:
                    try:
                        parsed = Module(ast.parse(text), end.endswith("i"))
                    except UNPARSABLE as error:
                        raise Undecided(f"{name} cannot be parsed by this Python ({error})") from error
                    break
            self._modules[name] = parsed
        return self._modules[name]

    def _exists(self, name: str) -> bool:
        path = name.replace(".", "/")
        if self._module(name) is not None or name == "torch._C":  # a checkout that is not built has no stub of it
            return True
        if self._paths is None:
            self._paths = frozenset(path for file in self._all_files() for path in _importable(file))
        return path in self._paths  # compiled, or without __init__

    # --- one step of a name -----------------------------------------------------------------------------------------

    def _member(self, thing: _Thing, part: str, last: bool) -> _Thing:
        if thing.kind == "module":
            return self._in_module(thing.where, part, last)
        if thing.kind == "class" and isinstance(thing.node, ast.ClassDef):
            return self._in_class(thing.module, thing.node, part, thing.instance)
        raise Undecided(f"{thing.where} is a value, whose attributes the source does not tell")

    def _in_module(self, name: str, part: str, last: bool) -> _Thing:
        """Look up a name in a module.

        A package may bind the name of one of its modules to a function, as `torch._inductor.standalone_compile`. If
        more follows (`last` is false), the module is meant.
        """
        inner = f"{name}.{part}"
        if not last and self._exists(inner):
            return _Thing("module", inner)
        try:
            return self._bound(name, part)
        except (Missing, Undecided):
            if self._exists(inner):
                return _Thing("module", inner)
            raise

    def _bound(self, name: str, part: str) -> _Thing:
        module, target = self._module(name), f"{name}.{part}"
        if module is None:
            raise Undecided(f"{name} is compiled, and torch ships no stub of it")
        if (name, part) in self._following:
            raise Undecided(f"{target} is imported in a circle")
        self._following.add((name, part))
        try:
            if part in module.bound:
                return self._describe(name, module, target, module.bound[part])
            return self._elsewhere(name, module, part)
        finally:
            self._following.discard((name, part))

    def _elsewhere(self, name: str, module: Module, part: str) -> _Thing:
        """Look for a name that the module does not bind outright."""
        target = f"{name}.{part}"
        doubt = None
        for star in module.stars:
            origin = absolute(star, name, self._is_package(name))
            if not origin.startswith("torch"):
                doubt = f"{target} may come from `from {origin} import *`"
            elif self._exports(origin, part):
                try:
                    return self._bound(origin, part)
                except Missing:
                    pass
                except Undecided as error:
                    doubt = str(error)
        if module.is_config:
            config = self._member(_Thing("module", "torch.utils._config_module"), "ConfigModule", True)
            try:
                return self._member(config._replace(instance=True), part, True)
            except (Missing, Undecided):
                pass
        if name == "torch" and self._module("torch._C._VariableFunctions"):
            try:
                return self._bound("torch._C._VariableFunctions", part)
            except Undecided:
                doubt = f"{target} is no module, and may be a compiled function that torch's stubs do not list"
        if part in module.weak or part in module.globals or ("sys", part) in module.stored:
            doubt = f"{target} is bound only under a condition, or by a function"
        if module.is_stub:
            doubt = f"the stub of {name} does not list {part}, and may be incomplete"
        if doubt is None and module.is_dynamic:
            doubt = f"{name} may make {part} when it runs"
        if doubt:
            raise Undecided(doubt)
        raise Missing(name, f"{target} does not exist")

    def _is_package(self, name: str) -> bool:
        path = name.replace(".", "/")
        return any(self._torch.text(f"{path}/__init__.{end}") is not None for end in ("py", "pyi"))

    def _exports(self, name: str, part: str) -> bool:
        """Whether `from name import *` may bind the part."""
        module = self._module(name)
        listed = [n.value for n in module.bound.get("__all__", []) if isinstance(n, ast.Assign)] if module else []
        if len(listed) == 1 and isinstance(listed[0], (ast.List, ast.Tuple)):
            literal = [e.value for e in listed[0].elts if isinstance(e, ast.Constant)]
            return part in literal or len(literal) < len(listed[0].elts)
        return bool(listed) or not part.startswith("_")

    def _describe(self, name: str, module: Module, target: str, nodes: list[ast.AST]) -> _Thing:
        """Follow the last binding of a name to its definition."""
        node = nodes[-1]
        definitions = [n for n in nodes if isinstance(n, DEFINITIONS)]
        if definitions and not isinstance(node, DEFINITIONS):
            node = definitions[-1]  # try: from x import f; except ImportError: def f
        if isinstance(node, ast.ImportFrom):
            (alias,) = [a for a in node.names if (a.asname or a.name) == target.rpartition(".")[2]]
            origin = absolute(node, name, self._is_package(name))
            if origin.partition(".")[0] == "torch":
                try:
                    return self._in_module(origin, alias.name, True)
                except (Missing, Undecided):  # a compiled module, perhaps; the import says that the name is there
                    pass
            return _Thing("value", f"{origin}.{alias.name}")
        if isinstance(node, ast.Import):
            (alias,) = [a for a in node.names if (a.asname or a.name.partition(".")[0]) == target.rpartition(".")[2]]
            origin = alias.name if alias.asname else alias.name.partition(".")[0]
            return _Thing("module" if origin.partition(".")[0] == "torch" else "value", origin)
        if isinstance(node, ast.ClassDef):
            return _Thing("class", target, name, node)
        if isinstance(node, Function):
            return _Thing("function", target, name, node)
        return self._value(name, target, getattr(node, "value", None))

    def _value(self, name: str, target: str, value: ast.expr | None) -> _Thing:
        """Describe what an assignment binds: an alias, an instance of a class, or any other value."""
        called = value.func if isinstance(value, ast.Call) else value
        thing = self._expression(name, called)
        if thing is not None and not isinstance(value, ast.Call):
            return thing
        if thing is not None and thing.kind == "class":
            return thing._replace(where=target, instance=True)
        return _Thing("value", target, name, value)

    def _expression(self, name: str, node: ast.expr | None) -> _Thing | None:
        """Find what a dotted expression in a module stands for. None if that is not in torch, or not known."""
        if isinstance(node, ast.Subscript):  # Generic[T]
            node = node.value
        parts = ast.unparse(node).split(".") if isinstance(node, (ast.Name, ast.Attribute)) else []
        if not parts or not all(part.isidentifier() for part in parts):
            return None
        try:
            thing = self._bound(name, parts[0])
            for i, part in enumerate(parts[1:], 1):
                thing = self._member(thing, part, i == len(parts) - 1)
        except (Missing, Undecided):
            return None
        return thing

    # --- classes ----------------------------------------------------------------------------------------------------

    def _in_class(self, name: str, node: ast.ClassDef, part: str, instance: bool) -> _Thing:
        module, target = self._module(name), f"{name}.{node.name}.{part}"
        assert module is not None
        bound, weak, _ = bindings(node)
        bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
        if part in bound:
            if isinstance(bound[part][-1], DEFINITIONS):
                return self._describe(name, module, target, bound[part])
            return _Thing("value", target, name, getattr(bound[part][-1], "value", None))
        if part in weak and (instance or module.is_stub or _FIELDS_ONLY & set(bases)):
            return _Thing("value", target)
        doubt = f"{target} may exist on instances alone" if part in weak or ("self", part) in module.stored else None
        if doubt and instance:
            return _Thing("value", target)
        if (node.name, part) in module.stored or ("cls", part) in module.stored:
            doubt = f"{target} is set from outside the class body"
        for base, last in zip(node.bases, bases):
            thing = self._expression(name, base)
            if thing is not None and thing.kind == "class" and thing.node is not node:
                try:
                    return self._member(thing._replace(instance=instance), part, True)
                except Missing:
                    continue
                except Undecided as error:
                    doubt = str(error)
            elif last not in _EMPTY_BASES and not (last in _PUBLIC_BASES and part.startswith("_")):
                doubt = f"{target} may be inherited from {ast.unparse(base)}"
        if "__getattr__" in bound and instance:
            doubt = f"{name}.{node.name} computes attributes"
        if any(keyword.arg == "metaclass" and "ABCMeta" not in ast.unparse(keyword.value) for keyword in node.keywords):
            doubt = f"{name}.{node.name} has a metaclass"
        if module.is_stub:
            doubt = f"the stub of {name}.{node.name} does not list {part}, and may be incomplete"
        if doubt:
            raise Undecided(doubt)
        raise Missing(f"{name}.{node.name}", f"{target} does not exist")

    # --- parameters -------------------------------------------------------------------------------------------------

    def _parameters(self, thing: _Thing) -> str | None:
        if isinstance(thing.node, Function):
            return signature(thing.node.args)
        if thing.kind != "class" or thing.instance or not isinstance(thing.node, ast.ClassDef):
            return None
        own = [name for name in _MAKERS if name in bindings(thing.node)[0]]
        made_of_fields = [d for d in thing.node.decorator_list if "dataclass" in ast.unparse(d)]
        if made_of_fields and not own:
            return fields(thing.node, made_of_fields[0])
        for name in own or _MAKERS:
            try:
                made = self._in_class(thing.module, thing.node, name, False).node
            except (Missing, Undecided):
                continue
            if isinstance(made, Function) and (text := signature(made.args, skip=1)) != "(*args, **kwargs)":
                return text
        return None

    # --- operators --------------------------------------------------------------------------------------------------

    def _operator(self, name: str, parts: list[str]) -> Found:
        text = next(filter(None, map(self._torch.text, _OPERATORS)), None)
        if parts[2] != "aten" or text is None:
            raise Undecided(f"{name} is an operator, which torch registers when it runs")
        if re.search(rf"^- func: {re.escape(parts[3])}[.(]", text, re.MULTILINE):
            return Found("value", name)
        raise Undecided(f"{name} is not in the list of torch's native operators, but may be registered elsewhere")
