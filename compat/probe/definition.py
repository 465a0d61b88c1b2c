"""Describe the object under a name of torch, in the record that both readers make."""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
import os
import sys
from collections.abc import Collection, Iterator
from types import CodeType
from typing import Any, NamedTuple, Protocol, runtime_checkable

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # bits of co_flags


class Missing(Exception):
    """The name does not exist. The message says why."""


class Undecided(Exception):
    """This reader cannot tell; the other one may."""


class Parameter(NamedTuple):
    """One parameter of a function.

    Attributes:
        kind: "positional", "keyword" (keyword-only) or "rest" (`*args`, `**kwargs`).
        required: whether a call has to give it.

    """

    name: str
    kind: str
    required: bool


class Definition(NamedTuple):
    """Describe the object under a name.

    Attributes:
        kind: "function" (plain, or a method: its code can be exchanged), "wrapper" (a
            function behind a decorator), "class", "file", or "value" for the rest.
        parameters: of a function or wrapper.
        code: of a function or wrapper, without any patch of ours.
        value: the object, if torch is running; for a file, the torch package.
        text: the content of a file; None if there is no such file.

    """

    kind: str
    parameters: tuple[Parameter, ...] = ()
    code: CodeType | None = None
    value: Any = None
    text: str | None = None


@runtime_checkable
class Reader(Protocol):
    """A way to read torch: `LiveReader` or `SourceReader`."""

    def find(self, target: str) -> Definition:
        """Return what stands under the target. Raises Missing or Undecided."""


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield the code object, and those of all functions inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


def is_blocked(module: str) -> bool:
    """Return whether `sys.modules` keeps the module from being imported.

    None stands there for the module, or for a package around it.

    Args:
        module: its name, or the path of its file, such as `torch/fx/graph.py`.

    """
    parts = module.removesuffix(".py").replace("/", ".").split(".")
    names = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(sys.modules.get(one, module) is None for one in names)


def text_of(folder: str, path: str) -> str | None:
    """Return the text of the file, or None if there is no file or no text in it."""
    try:
        with open(os.path.join(folder, *path.split("/")), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def parameters_of(
    code: CodeType, defaults: int, optional: Collection[str]
) -> tuple[Parameter, ...]:
    """Return the parameters of a function with this code.

    Args:
        code: of the function.
        defaults: number of positional parameters that have a default.
        optional: names of the keyword-only parameters that have one.

    """
    split = code.co_argcount
    names = code.co_varnames[: split + code.co_kwonlyargcount]
    positional = [
        Parameter(name, "positional", i < split - defaults)
        for i, name in enumerate(names[:split])
    ]
    keyword = [Parameter(n, "keyword", n not in optional) for n in names[split:]]
    stars = bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    rest = code.co_varnames[len(names) : len(names) + stars]
    return (*positional, *keyword, *(Parameter(n, "rest", False) for n in rest))
