"""Look names up: bindings in the file, imports from other files, and libraries outside of them."""

from __future__ import annotations

import ast
import builtins
import sys
from functools import lru_cache
from typing import Any

from . import prior
from .attributes import attribute
from .evaluator import Evaluator, Frame
from .known_functions import FUNCTIONS as KNOWN
from .operations import order
from .scopes import CONTENT, CONTENT_BY_FUNCTION, Binding, Module, Scope, last_name
from .statements import Runner
from .text import parsed
from .tree import COMPREHENSIONS, FUNCTIONS, children, span, walk
from .values import (
    TORCH,
    Class,
    Dotted,
    EngineModule,
    Function,
    Instance,
    List,
    Parts,
    Raised,
    Text,
    Unknown,
    is_of_torch,
    one_of,
    options,
    same,
    unknown,
)
from .versions import Unclear

_VERSION_TEXTS = {
    "torch.__version__": True,
    "torch.torch_version.__version__": True,
    "torch.version.__version__": False,
    "torch.<distribution>.version": False,
}
# Decorators that change nothing about what a call returns.
_TRANSPARENT = frozenset(
    (
        "cache", "lru_cache", "functools_cache", "torch_cache", "staticmethod", "classmethod", "property",
        "cached_property", "wraps", "override", "deprecated", "unused", "ignore", "disable", "allow_in_graph",
        "assume_constant_result",
    )
)  # fmt: skip


class Names(Evaluator):
    """The part of the interpreter that looks names up."""

    def lookup(self, name: str, frame: Frame) -> Any:
        around = frame
        while True:
            if around.env is not None and name in around.env:
                return self._unless_inner_changed(around, name, frame)
            if name in around.scope.bound:
                if around.running:
                    return self._unbound(around, name, frame)
                return self.local(around.scope, name, around.site)
            if around.outer is None:
                break
            around = around.outer
        found = around.scope.enclosing(name)
        if found is None:
            return self._global_or_builtin(name, frame.scope.module)
        scope, site = around.scope, None
        while scope is not found and scope.is_class and scope.outer is not None:  # its body runs where it stands
            scope, site = scope.outer, scope.node
        if scope is found:
            return self.local(found, name, site)
        value = self.settled(found, name)
        if len(found.bound[name]) > 1 and _is_read_between(found, name):
            return Unknown(f"`{name}` is bound again after a call that may read it", self.world.touched)
        return value

    def _unless_inner_changed(self, around: Frame, name: str, frame: Frame) -> Any:
        """A local value of a running call; Unknown if an inner function changes it, or reads it at another time."""
        assert around.env is not None
        value, how = around.env[name], around.scope.elsewhere.get(name)
        if how and how != CONTENT and (how != CONTENT_BY_FUNCTION or _is_container(value)):
            return Unknown(f"`{name}` may change: {how}", is_of_torch(value))
        if _reads_later(around, name, frame):
            return Unknown(f"`{name}` may be bound again before an inner function reads it", is_of_torch(value))
        return value

    def _unbound(self, around: Frame, name: str, frame: Frame) -> Any:
        """A local name that is not bound so far, as it seems."""
        if all(how in ("assign", "import") for how, _ in around.scope.bound[name]) and around is frame:
            raise Raised("UnboundLocalError")
        return self.opaque(f"`{name}` is bound in a way that is not followed")

    def _global_or_builtin(self, name: str, module: Module) -> Any:
        value = self._from_stars(name, module)
        if value is not None:
            return value
        if hasattr(builtins, name):
            return Dotted(f"builtins.{name}")
        return self.opaque(f"`{name}` is not bound in this file")

    def _from_star(self, star: ast.ImportFrom, name: str, module: Module) -> Any:
        target = self.index.locate(dotted(star), module.path.parent)
        if target is None:
            if hasattr(builtins, name):
                return None
            if name == "torch":
                return Dotted("torch")
            return (
                self.outside(f"{dotted(star)}.{name}")
                if prior.tells(name)
                else Unknown(f"`{name}` may come from the star import of `{dotted(star)}`", prior.tells(name))
            )
        other = self.index.module(target)
        if other is None or name.startswith("_") or not _is_public(name, other):
            return None
        if name in other.scope.bound:
            return self.settled(other.scope, name)
        return self._from_stars(name, other)

    def _from_stars(self, name: str, module: Module) -> Any:
        """The value that the star imports of a file give a name; None if they give none."""
        values = [value for star in module.scope.stars if (value := self._from_star(star, name, module)) is not None]
        if len(values) > 1 and any(not same(value, values[0]) for value in values):
            return Unknown(f"more than one star import may bind `{name}`", any(map(is_of_torch, values)))
        return values[0] if values else None

    def settled(self, scope: Scope, name: str) -> Any:
        """The value of a name once its scope has been run to the end."""
        return self.cached((scope, name), lambda: self.local(scope, name, None))

    def cached(self, key: Any, compute: Any) -> Any:
        if key in self.cache:
            value, touched = self.cache[key]
            self.world.touched |= touched
            return value
        if key in self.running:
            return Unknown("depends on itself")
        self.running.add(key)
        before, self.world.touched = self.world.touched, False
        try:
            value = compute()
            if self.world.budget.left >= 0:  # if it ran out, another gate may come further
                self.cache[key] = value, self.world.touched
        finally:
            self.world.touched |= before
            self.running.discard(key)
        return value

    def local(self, scope: Scope, name: str, site: ast.AST | None) -> Any:
        """The value of a name of this scope at a place in it, or at its end."""
        bindings = scope.bound[name]
        if not self.index.is_worth(name, scope) and not all(is_simple(b) for b in bindings):
            return self.opaque(f"`{name}` is set by code that does not name torch's version")
        if len(bindings) > 1:
            key = (scope, name, site and scope.module.statement(site))
            value = self.cached(key, lambda: Runner(self).name_at(scope, name, site))
        elif _is_for_typing(bindings[0][1], scope.module):
            return Unknown(f"`{name}` is bound for type checkers only")
        else:
            value = self.cached((scope, name, ""), lambda: self.bound_value(bindings[0], name, scope))
        return self._unless_changed(scope, name, value, site)

    def _unless_changed(self, scope: Scope, name: str, value: Any, site: ast.AST | None) -> Any:
        imported = all(how == "import" for how, _ in scope.bound[name])
        # Code that sets names which are not known sets none of the modules that the file imports.
        how = scope.elsewhere.get(name) or (scope.elsewhere.get("*") if not imported else None)
        if how and (how not in (CONTENT, CONTENT_BY_FUNCTION) or _is_container(value)):
            return Unknown(f"`{name}` may change: {how}", self.world.touched)
        bindings = scope.bound[name]
        if imported and isinstance(value, Dotted):
            return value  # a star import that binds `torch` again means torch
        first = min(getattr(node, "lineno", 0) for _, node in bindings)
        last = getattr(site, "lineno", sys.maxsize)
        for star in scope.stars:
            if first < star.lineno < last and self._star_may_bind(star, name, scope.module):
                return Unknown(f"the star import of `{dotted(star)}` may bind `{name}` again", self.world.touched)
        return value

    def _star_may_bind(self, star: ast.ImportFrom, name: str, module: Module) -> bool:
        if name.startswith("_") or dotted(star).partition(".")[0] == "torch":
            return False
        target = self.index.locate(dotted(star), module.path.parent)
        other = self.index.module(target) if target else None
        return other is None or name in other.scope.bound or bool(other.scope.stars)

    def bound_value(self, binding: Binding, name: str, scope: Scope) -> Any:
        """Return the value that one binding gives the name."""
        how, node = binding
        frame = Frame(scope, node)
        if how == "assign":
            value = self.value(node.value, frame)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return next(found[name] for t in targets if name in (found := self.destructured(t, value)))
        if how == "walrus":
            return self.value(node.value, frame)
        if how == "import":
            return self.imported(node, name, scope.module)
        if how == "def":
            return self.decorated(node, frame)
        if how == "class":
            return Class(scope.inner[node]) if not self._class_decorated(node) else Unknown("a decorated class")
        if how == "argument":
            return self._argument(name, scope)
        if how == "for":
            items = self.sequence(self.value(node.iter, frame))
            if items:
                return one_of(self.destructured(node.target, item)[name] for item in items)
        return self.opaque(f"`{name}` is bound in a way that is not followed")

    def _class_decorated(self, node: ast.AST) -> bool:
        names = [last_name(d) for d in getattr(node, "decorator_list", [])]
        return any(name not in ("dataclass", "final", "unique") for name in names)

    def _argument(self, name: str, scope: Scope) -> Any:
        outer = scope.outer
        arguments = scope.node.args  # type: ignore[attr-defined]
        first = [*arguments.posonlyargs, *arguments.args][:1]
        if outer is not None and outer.is_class and first and first[0].arg == name in ("self", "cls"):
            return Instance(outer)
        return Unknown(f"depends on the argument `{name}`", False, None, name)

    def decorated(self, node: Any, frame: Frame) -> Any:
        """A function, as its decorators hand it on."""
        scope = frame.scope.inner.get(node) or frame.scope.module.scope_of[node]
        closure = frame if frame.env is not None else None
        function: Any = Function(node, scope, (), None, closure)
        if isinstance(node, ast.AsyncFunctionDef):
            return Unknown(f"`{node.name}` is asynchronous")
        for decorator in reversed(node.decorator_list):
            value = self.value(decorator, frame)
            if last_name(decorator) in _TRANSPARENT and not isinstance(value, (Function, Class)):
                continue
            function = self.call_value(value, [function], {}, decorator)
            if not isinstance(function, Function):
                return Unknown(f"`{node.name}` is decorated by `{ast.unparse(decorator)}`")
        return function

    def imported(self, node: ast.AST, name: str, module: Module) -> Any:
        """Return the value that an import statement gives a name."""
        if isinstance(node, ast.Import):
            alias = next(a for a in node.names if (a.asname or a.name.partition(".")[0]) == name)
            return self.module_value(alias.name if alias.asname else name, module)
        assert isinstance(node, ast.ImportFrom)
        alias = next(a for a in node.names if (a.asname or a.name) == name)
        return self.member(dotted(node), alias.name, module)

    def module_value(self, name: str, module: Module) -> Any:
        target = self.index.locate(name, module.path.parent)
        if target is None:
            return self._present(name)
        self.world.risky += 1  # what a file imports in turn may be missing
        found = self.index.module(target)
        return EngineModule(found) if found is not None else Unknown(f"`{name}` cannot be parsed")

    def _present(self, name: str) -> Any:
        """A module outside of the searched files. Raises Raised for torch where it is supposed to be absent."""
        if name.partition(".")[0] == "torch" and not self.world.present:
            raise Raised("ModuleNotFoundError")
        if not self.index.is_always_there(name):
            self.world.risky += 1
        return Dotted(name)

    def member(self, module_name: str, name: str, module: Module) -> Any:
        """`from module_name import name`."""
        target = self.index.locate(module_name, module.path.parent)
        if target is None:
            self._present(f"{module_name}.{name}" if module_name.partition(".")[0] == "torch" else module_name)
            return self.outside(f"{module_name.lstrip('.')}.{name}")
        self.world.risky += 1
        found = self.index.module(target)
        return Unknown(f"`{module_name}` cannot be parsed") if found is None else self.member_of(found, name)

    def member_of(self, module: Module, name: str) -> Any:
        if name in module.scope.bound:
            return self.settled(module.scope, name)
        inside = self.index.locate(f".{name}", module.path.parent) if module.path.name == "__init__.py" else None
        if inside is not None and self.index.module(inside) is not None:
            return EngineModule(self.index.module(inside))
        value = self._from_stars(name, module)
        if value is not None:
            return value
        if prior.tells(name) and "__getattr__" in module.scope.bound:
            return Unknown(f"`{name}` comes from `__getattr__` of {module.shown}", True)
        return self.opaque(f"`{name}` is not bound in {module.shown}")

    def outside(self, name: str) -> Any:
        """Something that is not in the searched files."""
        if name in _VERSION_TEXTS:
            if not self.world.present:
                raise Raised("ModuleNotFoundError")
            self.world.touched = True
            if self.index.sets_version:
                return Unknown(f"{self.index.sets_version} sets torch.__version__", True)
            return Text(TORCH, _VERSION_TEXTS[name])
        if name.endswith("TYPE_CHECKING"):
            return False
        last = name.rpartition(".")[2]
        told = prior.flag(last)
        if told and self.index.is_stored(last):
            return Unknown(f"`.{last}` is set in the searched files", True)
        return self.told(*told) if told else Dotted(name)

    def told(self, sign: str, version: Any) -> bool:
        """Compare torch's version with this one, as a name says. Raises Unclear if ways to compare differ."""
        self.world.touched = True
        answers = set()
        for code in (TORCH, TORCH[:5]):  # some compare the whole version, some its release number
            found = order(parsed(Text(code), self.world.region), version, self.world)
            answers.add({">=": found >= 0, ">": found > 0, "<=": found <= 0, "<": found < 0, "==": found == 0}[sign])
        if sign == "==" and len(version.release) < 3:
            region = self.world.region
            answers.add(all(region.order(axis, number) == 0 for axis, number in enumerate(version.release)))
        if len(answers) > 1:
            raise Unclear("helpers of this name differ in how they treat pre-releases and builds")
        return answers.pop()

    def attribute_of(self, value: Any, name: str) -> Any:
        if isinstance(value, Dotted):
            if value.name == "torch" and not self.world.present:
                raise Raised("NameError")
            return self.outside(f"{value.name}.{name}")
        if isinstance(value, EngineModule):
            return self.member_of(value.module, name)
        if isinstance(value, (Class, Instance)):
            return self._of_class(value, name)
        return attribute(value, name, self.world)

    def _of_class(self, value: Class | Instance, name: str) -> Any:
        """An attribute of a class, or of its objects, if every place that sets it sets the same."""
        scope = value.scope
        places = self.index.classes.stores(name, scope)
        if places is None:
            return Unknown(f"`.{name}` may be set elsewhere", self.world.touched)
        worth = self.index.is_attribute_worth(name, scope.module)
        if not worth and not all(is_simple(("assign", node)) for node, _ in places):
            return self.opaque(f"`.{name}` is set by code that does not name torch's version")
        found = [self.settled(scope, name)] if name in scope.bound else []
        found += [self._stored(node, inside) for node, inside in places]
        if not found:
            return self.opaque(f"`.{name}` is not set in this class")
        result = one_of(found)
        if not isinstance(result, (Function, Class, Unknown)) and self.index.classes.is_assigned(name):
            return Unknown(f"`.{name}` may be set elsewhere", self.world.touched)
        if _is_container(result) and self.index.is_content_changed(name):
            return Unknown(f"`.{name}` may change: {CONTENT}", self.world.touched)
        if isinstance(result, Function) and isinstance(result.node, FUNCTIONS):
            decorators = [last_name(d) for d in result.node.decorator_list]
            if isinstance(value, Class) and "classmethod" not in decorators:
                return result
            bound = Function(result.node, result.scope, (), None if "staticmethod" in decorators else value)
            is_property = any(d in ("property", "cached_property") for d in decorators)
            return self.call_value(bound, [], {}, result.node) if is_property else bound
        return result

    def special_item(self, value: Any, key: Any) -> Any:
        """`sys.modules["torch"]`."""
        if isinstance(value, Dotted) and value.name == "sys.modules" and key == "torch":
            return self._present("torch")
        return self.opaque("is an item of something that is not known", value)

    def _stored(self, node: Any, scope: Scope) -> Any:
        value = self.value(node.value, Frame(scope, node))
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, (ast.Tuple, ast.List)) for target in targets):
            return unknown("is a part of several values", value)
        return value


@lru_cache(maxsize=2_000)
def _holding_functions(scope: Scope) -> frozenset[str]:
    """The names of a scope's functions and classes, and those of what is made of them."""
    own = {name for name, found in scope.bound.items() if any(how in ("def", "class") for how, _ in found)}
    made = [
        (name, _held_by(node.value, scope))
        for name, found in scope.bound.items()
        for how, node in found
        if how == "assign" and node.value is not None
    ]
    for name, parts in made:
        if parts & own:
            own.add(name)
    return frozenset(own)


def _held_by(value: ast.AST, scope: Scope) -> set[str]:
    """The names that a value may hold: not those of functions that are called for it."""
    inside = walk(value)
    called = {node.func for node in inside if isinstance(node, ast.Call)}
    names = [node for node in inside if isinstance(node, ast.Name)]
    return {n.id for n in names if n not in called or any(how == "class" for how, _ in scope.bound.get(n.id, ()))}


@lru_cache(maxsize=20_000)
def _is_read_between(scope: Scope, name: str) -> bool:
    """Whether a function of the module is called between the first and the last binding of a name."""
    if all(isinstance(node, ast.Import) and _binds_package(node, name) for _, node in scope.bound[name]):
        return False  # `import torch` and `import torch.fx` give one object
    lines = [getattr(node, "lineno", 0) for _, node in scope.bound[name]]
    own = _holding_functions(scope)
    todo: list[ast.AST] = [each for each in scope.body if each.lineno <= max(lines) and span(each)[1] >= min(lines)]
    while todo:
        node = todo.pop()
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            runs = isinstance(node, ast.Lambda) or bool(node.decorator_list)
            reads = runs and any(isinstance(each, ast.Name) and each.id == name for each in walk(node))
        else:
            reads = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in own
        if reads and min(lines) < node.lineno < max(lines):  # type: ignore[attr-defined]
            return True
        if not isinstance(node, (*FUNCTIONS, ast.Lambda)):
            todo += children(node)
    return False


def _binds_package(node: ast.Import, name: str) -> bool:
    own = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) == name]
    return all(alias.asname is None or alias.name == name for alias in own)


def _is_public(name: str, module: Module) -> bool:
    """Whether a star import of a file may bring a name: its `__all__`, if it is a plain list, has to have it."""
    bindings = module.scope.bound.get("__all__", [])
    if len(bindings) != 1 or "__all__" in module.scope.elsewhere:
        return True
    items = getattr(getattr(bindings[0][1], "value", None), "elts", None)
    if items is None or not all(isinstance(item, ast.Constant) for item in items):
        return True
    return any(item.value == name for item in items)


def _is_container(value: Any) -> bool:
    return any(isinstance(option, (List, Parts, dict)) for option in options(value))


def _reads_later(around: Frame, name: str, frame: Frame) -> bool:
    """Whether an inner function reads a name that the function around it may bind after its definition."""
    inner = frame
    while inner is not around and inner.outer is not None and inner.outer is not around:
        inner = inner.outer
    if inner is around or isinstance(inner.scope.node, COMPREHENSIONS):
        return False
    start = inner.scope.node.lineno  # type: ignore[attr-defined]
    lines = [getattr(node, "lineno", start) for _, node in around.scope.bound.get(name, ())]
    return len(lines) > 1 and max(lines) > start


def is_simple(binding: Binding) -> bool:
    """Whether a binding is cheap to follow: no code of the searched files runs in it."""
    how, node = binding
    return how not in ("assign", "walrus", "augmented") or _is_constant(getattr(node, "value", node))


@lru_cache(maxsize=20_000)
def _is_constant(node: ast.AST) -> bool:
    inside = walk(node)
    calls = [last_name(n) for n in inside if isinstance(n, ast.Call)]
    return len(inside) < 200 and all(name in KNOWN for name in calls)


def _is_for_typing(node: ast.AST, module: Module) -> bool:
    """Whether a name is bound only under `if TYPE_CHECKING:`."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return False  # the same names are imported again where they are used
    while node in module.parents:
        parent = module.parents[node]
        if isinstance(parent, ast.If) and last_name(parent.test) == "TYPE_CHECKING" and node in parent.body:
            return True
        node = parent
    return False


def dotted(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")
