"""The values that code makes of torch's version, as far as they are known for a whole region.

Constants stand for themselves. A `Text` is a string with holes for what the version fills in, a `Number` is a linear
expression of version numbers, a `Parsed` is what `packaging.version.Version` makes of the version. Anything else is
`Unknown`, with the reason. `OneOf` holds the values that an expression may have if an unknown condition decides.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from .scopes import Scope

# Holes in a Text: one character for each of the numbers of the version, for the stage (`rc1`), the local part
# (`+cu130`), and what follows the plus sign in it.
HOLES = "\ue000\ue001\ue002\ue003\ue004"
STAGE_HOLE, LOCAL_HOLE, BUILD_HOLE = "\ue010", "\ue011", "\ue012"
TORCH = f"{HOLES[0]}.{HOLES[1]}.{HOLES[2]}{STAGE_HOLE}{LOCAL_HOLE}"
BASE = f"{HOLES[0]}.{HOLES[1]}.{HOLES[2]}"


class Raised(Exception):
    """The evaluated code raises this exception."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Unknown:
    reason: str
    of_torch: bool = False  # it was made of torch's version
    truth: bool | None = None  # what `bool` of it gives, where that is known
    argument: str = ""  # the parameter that it is


@dataclass(frozen=True)
class OneOf:
    options: tuple[Any, ...]


@dataclass(frozen=True)
class Text:
    code: str
    compares_as_version: bool = False  # torch.__version__ itself, which is a TorchVersion


@dataclass(frozen=True)
class Parts:
    """The list that `Text.split` returns, not yet split: its head may be known where its tail is not."""

    code: str
    separator: str


@dataclass(frozen=True)
class Number:
    terms: tuple[tuple[int, int], ...]  # axis, factor
    constant: int = 0


@dataclass(frozen=True)
class Parsed:
    release: tuple[int | Number, ...]
    staged: bool  # it has the region's stage; if not, it is a release
    local: bool  # it has the region's local part


@dataclass(frozen=True)
class Dotted:
    """Something outside of the searched files, such as `packaging.version.Version`."""

    name: str


@dataclass(frozen=True)
class EngineModule:
    module: Any


@dataclass(frozen=True)
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    defaults: tuple[tuple[str, Any], ...] = ()
    bound: Any = None  # the object of a method
    closure: Any = field(default=None, compare=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Function) or self.closure is not other.closure:
            return False
        return (self.node, self.defaults, self.bound) == (other.node, other.defaults, other.bound)

    def __hash__(self) -> int:
        return hash((self.node, self.defaults))


@dataclass(frozen=True)
class Class:
    scope: Scope


@dataclass(frozen=True)
class Instance:
    """An object of a class in the searched files: `self`."""

    scope: Scope


@dataclass(frozen=True)
class Method:
    """A method of a known value, not yet called."""

    owner: Any
    name: str


@dataclass(frozen=True)
class Built:
    """A function that Python code here stands in for: `operator.ge`, `attrgetter("x")`."""

    call: Callable[..., Any]
    name: str


@dataclass(frozen=True)
class Specifiers:
    specifiers: SpecifierSet
    prereleases: bool | None = None


class List(tuple[Any, ...]):
    """A list of the evaluated code; never changed in place."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, List) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


class Items(List):
    """A set of the evaluated code: asked for members only."""

    __slots__ = ()


def one_of(values: Iterable[Any]) -> Any:
    """The value, if all are the same; else the choice of them."""
    flat: list[Any] = []
    for value in values:
        for option in value.options if isinstance(value, OneOf) else (value,):
            if not any(same(option, other) for other in flat):
                flat.append(option)
    if len(flat) == 1:
        return flat[0]
    if len(flat) > 8:
        return Unknown("has too many possible values", any(map(is_of_torch, flat)))
    return OneOf(tuple(flat))


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def options(value: Any) -> tuple[Any, ...]:
    return value.options if isinstance(value, OneOf) else (value,)


def is_of_torch(value: Any) -> bool:
    """Whether a value holds something of torch's version."""
    if isinstance(value, (Text, Parts, Number, Parsed)):
        return True
    if isinstance(value, Unknown):
        return value.of_torch
    if isinstance(value, (tuple, OneOf)):
        return any(map(is_of_torch, value.options if isinstance(value, OneOf) else value))
    if isinstance(value, dict):
        return any(map(is_of_torch, value.values()))
    return isinstance(value, Method) and is_of_torch(value.owner)


def unknown(reason: str, *made_of: Any) -> Unknown:
    """An unknown value; it is of torch if one of the values it was made of is. Keeps the first reason of those."""
    first = next((v for v in made_of if isinstance(v, Unknown) and v.of_torch), None)
    first = first or next((v for v in made_of if isinstance(v, Unknown)), None)
    of_torch = any(map(is_of_torch, made_of))
    return Unknown(first.reason if first else reason, of_torch, None, first.argument if first else "")
