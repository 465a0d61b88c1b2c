"""Reads the torch of this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .definition import Definition, Missing, parameters_of, text_of


class LiveReader:
    """Reads the running torch, and imports the modules that it is asked about.

    Args:
        original_of: returns what a function is without our patches.

    """

    def __init__(self, original_of: Callable[[FunctionType], FunctionType]) -> None:
        self._original_of = original_of

    def find(self, target: str) -> Definition:
        """Return what stands under the target. Raises Missing."""
        name, _, path = target.partition(":")
        try:
            module = importlib.import_module(name)
        except Exception as error:
            found = f"{name} cannot be imported ({type(error).__name__}: {error})"
            raise Missing(found) from error
        if "/" in path:
            package = importlib.import_module(name.partition(".")[0])
            folder = next(iter(getattr(package, "__path__", ())), "")
            return Definition("file", value=package, text=text_of(folder, path))
        return self._describe(member(module, path, target))

    def _describe(self, value: Any) -> Definition:
        if isinstance(value, type):
            return Definition("class", value=value)
        bound = isinstance(value, (staticmethod, classmethod))
        plain = value.__func__ if bound else value
        inner = _unwrapped(plain)
        if not isinstance(inner, FunctionType):
            return Definition("value", value=value)
        is_plain = inner is plain and not inner.__closure__
        own = self._original_of(inner)
        code, optional = own.__code__, set(inner.__kwdefaults__ or ())
        parameters = parameters_of(code, len(inner.__defaults__ or ()), optional)
        return Definition("function" if is_plain else "wrapper", parameters, code, own)


def member(holder: Any, path: str, target: str) -> Any:
    """Return the object under a dotted path, as it stands in its class or module.

    Looks into dictionaries instead of using getattr: a property or a module's
    `__getattr__` must not run. Raises Missing.
    """
    for name in path.split("."):
        for space in holder.__mro__ if isinstance(holder, type) else (holder,):
            if name in getattr(space, "__dict__", ()):
                holder = space.__dict__[name]
                break
        else:
            raise Missing(f"{target} does not exist")
    return holder


def _unwrapped(function: Any) -> Any:
    for _ in range(100):  # a decorator or two; more is a circle
        wrapped = getattr(function, "__dict__", {}).get("__wrapped__")
        if not isinstance(wrapped, FunctionType):
            break
        function = wrapped
    return function


def function_at(target: str) -> FunctionType | None:
    """Return the function under the target, if it is torch's own."""
    name, _, path = target.partition(":")
    module = sys.modules.get(name)
    try:
        value = member(module, path, target)
    except Missing:
        return None
    function = getattr(value, "__func__", value)  # of a staticmethod
    is_own = isinstance(function, FunctionType) and function.__globals__ is vars(module)
    return function if is_own else None
