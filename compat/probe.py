"""Answering requirements, and the way to do it about the torch of this process. `source` has the other way.

Both reduce what they read to the same record, `Found`, and the requirement judges that record: so they cannot disagree
about anything but what they read.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection
from types import CodeType, FunctionType
from typing import Any, NamedTuple, Protocol

from .patch import unpatched
from .requirements import Absent, Found, Parameter, Requirement, Undecided


class Answer(NamedTuple):
    requirement: str
    holds: bool | None  # None: undecided
    found: str


class Reader(Protocol):
    def find(self, target: str) -> Found:
        """What stands under `module:qualified.name` or `module:folder/file`; raises Absent or Undecided."""


def answer(requirement: Requirement, reader: Reader) -> Answer:
    """Whether `requirement` holds for what `reader` reads. Never raises for anything torch may look like."""
    try:
        objection = requirement.objection(reader.find(requirement.target))
    except Absent as absent:
        return Answer(str(requirement), False, str(absent))
    except Undecided as undecided:
        return Answer(str(requirement), None, str(undecided))
    return Answer(str(requirement), objection is None, objection or "it does")


class Live:
    """Reads the torch of this process. Imports the modules that it is asked about."""

    def find(self, target: str) -> Found:
        found, _ = self.resolve(target)
        return found

    def resolve(self, target: str) -> tuple[Found, Any]:
        """As `find`, with the object itself."""
        name, _, path = target.partition(":")
        try:
            here: Any = importlib.import_module(name)
        except Exception as error:
            raise Absent(f"{name} cannot be imported ({type(error).__name__}: {error})") from error
        if "/" in path:
            here = importlib.import_module(name.partition(".")[0])
            folder = next(iter(getattr(here, "__path__", ())), "")
            return Found("file", thing=here, text=text_of(folder, path)), here
        for part in path.split("."):
            # Through the dictionaries, not getattr: a property or a module-level __getattr__ must not run here.
            spaces = here.__mro__ if isinstance(here, type) else (here,)
            owner = next((space for space in spaces if part in getattr(space, "__dict__", ())), None)
            if owner is None:
                raise Absent(f"{target} does not exist")
            here = owner.__dict__[part]
        return self._describe(here), here

    @staticmethod
    def _describe(thing: Any) -> Found:
        if isinstance(thing, type):
            return Found("class", thing=thing)
        inside = thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
        for _ in range(100):  # a decorated decorator or two; more is a circle
            if isinstance(wrapped := getattr(inside, "__dict__", {}).get("__wrapped__"), FunctionType):
                inside = wrapped
        if not isinstance(inside, FunctionType):
            return Found("value", thing=thing)
        plain = inside is getattr(thing, "__func__", thing) and not inside.__closure__
        kind = "function" if plain else "wrapper"
        own = unpatched(inside)
        code, optional = own.__code__, set(inside.__kwdefaults__ or ())
        return Found(kind, parameters_of(code, len(inside.__defaults__ or ()), optional), code, own)


def text_of(folder: str, path: str) -> str | None:
    """What the file says; None where there is none, or no text in it."""
    try:
        with open(os.path.join(folder, *path.split("/")), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def parameters_of(code: CodeType, defaults: int, optional: Collection[str]) -> tuple[Parameter, ...]:
    """What a function with this code takes. `defaults`: how many positional parameters have one; `optional`: which of
    the keyword-only ones do."""
    split = code.co_argcount
    names = code.co_varnames[: split + code.co_kwonlyargcount]
    positional = [Parameter(n, "positional", i < split - defaults) for i, n in enumerate(names[:split])]
    named = [Parameter(n, "keyword", n not in optional) for n in names[split:]]
    rest = bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)  # CO_VARARGS, CO_VARKEYWORDS
    extra = [Parameter(n, "rest", False) for n in code.co_varnames[len(names) : len(names) + rest]]
    return (*positional, *named, *extra)
