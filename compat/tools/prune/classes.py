"""Find the code that may set an attribute of a class: its own, its relatives', and assignments from outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .scopes import Module, Scope, Store, last_name

_CLASS = re.compile(rb"class[ \t]+(\w+)[ \t]*(?:\(([^)]*)\)|:)")
_NAME = re.compile(r"([A-Za-z_]\w*)\s*(?:\[[^\]]*\])?\s*(?:,|$)")
_SELF = ("self", "cls")


class _Named(NamedTuple):
    """A class, as the text of a file names it and its bases."""

    name: str
    bases: frozenset[str]
    path: Path


class Classes:
    """The classes of the searched files.

    Args:
        files: the files that are searched.
        text: returns what a file contains.
        module: returns the parsed file, or None.
        parsed: returns the files that are parsed so far.
    """

    def __init__(
        self,
        files: Iterable[Path],
        text: Callable[[Path], bytes],
        module: Callable[[Path], Module | None],
        parsed: Callable[[], list[Module]],
    ) -> None:
        self._files, self._text, self._module, self._parsed = files, text, module, parsed
        self._assigned: dict[str, bool] = {}
        self._relatives: dict[str, tuple[list[_Named], list[_Named]]] = {}

    @cached_property
    def _named(self) -> list[_Named]:
        found = []
        for path in self._files:
            text = self._text(path)
            for name, bases in _CLASS.findall(text):
                listed = frozenset(_NAME.findall(bases.decode("utf-8", "replace").replace("\n", " ")))
                found.append(_Named(name.decode(), listed, path))
        return found

    def stores(self, name: str, scope: Scope) -> list[tuple[ast.AST, Scope]] | None:
        """The assignments to `self.name` in a class; None if something else may set it."""
        if self._is_special(name, scope) or self._is_set_by_relatives(name, scope):
            return None
        found: list[tuple[ast.AST, Scope]] = []
        for module in self._parsed():
            for store in module.stores.get(name, []):
                owner = _class_around(store.scope)
                if owner is scope and store.owner in _SELF and store.node is not None:
                    found.append((store.node, store.scope))
                elif owner is scope or store.owner not in _SELF:
                    return None
        return found

    def is_assigned(self, name: str) -> bool:
        """Whether a file that is not parsed has an assignment to an attribute of this name."""
        if name not in self._assigned:
            word = re.escape(name.encode())
            sets = re.compile(rb"\.%b[ \t]*(?::[^=\n]+)?[-+*/|&]?=(?!=)|attr__?\([^()\n]*[\"']%b[\"']" % (word, word))
            parsed = {module.path for module in self._parsed()}
            texts = (self._text(path) for path in self._files if path not in parsed)
            self._assigned[name] = any(name.encode() in text and sets.search(text) for text in texts)
        return self._assigned[name]

    def _is_special(self, name: str, scope: Scope) -> bool:
        """Whether a class, or what makes it, may give its objects another value than its code shows."""
        node: Any = scope.node
        bases = [last_name(base) for base in node.bases]
        fields = any(how == "assign" and isinstance(each, ast.AnnAssign) for how, each in scope.bound.get(name, ()))
        return bool(
            node.keywords
            or "__getattribute__" in scope.bound
            or "__new__" in scope.bound
            or any(base.endswith(("Enum", "Flag")) for base in bases)
            or (fields and (bases or node.decorator_list))  # a field: objects are made with a value of their own
        )

    def _is_set_by_relatives(self, name: str, scope: Scope) -> bool:
        if any(self._is_dynamic(each, scope) for each in scope.module.stores.get("", [])):
            return True
        class_name = getattr(scope.node, "name", "")
        above, below = self._relatives_of(class_name, {last_name(base) for base in scope.node.bases})  # type: ignore[attr-defined]
        beside = self._closed({base for one in below for base in one.bases}, _is_named, lambda one: set(one.bases))
        for one in (*above, *below, *(one for one in beside if one.name != class_name)):
            module = self._module(one.path) if name.encode() in self._text(one.path) else None
            for other in module.scope_of.values() if module else ():
                if other is scope or getattr(other.node, "name", "") != one.name or not other.is_class:
                    continue
                if (one not in above and name in other.bound) or _sets(name, other):
                    return True
        return False

    def _is_dynamic(self, store: Store, scope: Scope) -> bool:
        """Whether a store to an unknown name may be one to this class or its objects."""
        around = _class_around(store.scope)
        if store.owner in _SELF:
            return around is scope
        root = re.split(r"\W", store.owner)[0]
        found = store.scope.find(root)
        name = getattr(scope.node, "name", "")
        return not found or all(_may_be(name, how, node) for how, node in found.bound[root])

    def _relatives_of(self, name: str, bases: set[str]) -> tuple[list[_Named], list[_Named]]:
        """The classes above and below one, by their names."""
        if name not in self._relatives:
            below = self._closed({name}, lambda one, names: bool(one.bases & names), lambda one: {one.name})
            above = self._closed(bases, _is_named, lambda one: set(one.bases))
            self._relatives[name] = above, below
        return self._relatives[name]

    def _closed(
        self, names: set[str], belongs: Callable[[_Named, set[str]], bool], adds: Callable[[_Named], set[str]]
    ) -> list[_Named]:
        found: list[_Named] = []
        names = set(names)
        left, before = list(self._named), -1
        while len(found) > before:
            before = len(found)
            new = [one for one in left if belongs(one, names)]
            left = [one for one in left if one not in new] if new else left
            found += new
            names.update(*map(adds, new))
        return found


def _is_named(one: _Named, names: set[str]) -> bool:
    return one.name in names


def _may_be(class_name: str, how: str, node: Any) -> bool:
    """Whether a name may hold an object of a class: it is no module, and is made by no other class."""
    made_by = last_name(node.value) if how == "assign" and isinstance(node.value, ast.Call) else ""
    return how != "import" and (made_by == class_name or not made_by[:1].isupper())


def _sets(name: str, scope: Scope) -> bool:
    """Whether the methods of a class set the attribute, or one whose name is not known."""
    stores = [*scope.module.stores.get(name, []), *scope.module.stores.get("", [])]
    return any(_class_around(store.scope) is scope and store.owner in _SELF for store in stores)


def _class_around(scope: Scope) -> Scope:
    while scope.outer is not None and not scope.is_class:
        scope = scope.outer
    return scope
