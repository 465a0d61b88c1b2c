"""Comparisons, arithmetic and truth of values, for a whole region."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from packaging.version import Version

from . import text
from .specifiers import accepts, is_prerelease
from .values import (
    LOCAL_HOLE,
    Class,
    Dotted,
    EngineModule,
    Function,
    Instance,
    Items,
    List,
    Number,
    Parsed,
    Parts,
    Raised,
    Specifiers,
    Text,
    Unknown,
)
from .versions import FINAL, LOCAL, STAGE, Region, TooMuch, Unclear, compare_stage, stage_of

AS_STRINGS = "compares versions as strings: '2.10' < '2.8'"
AS_FLOATS = "compares versions as floats: 2.10 == 2.1 < 2.8"


THREE = tuple(Number(((axis, 1),)) for axis in range(3))  # the release of torch


@dataclass
class Budget:
    """How many expressions may still be evaluated for one gate."""

    left: int = 0

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooMuch("takes too long to be followed")


@dataclass
class World:
    """The torch that is supposed, and what an evaluation in this world has noticed."""

    region: Region
    present: bool = True  # torch is installed
    touched: bool = False  # the version of torch was read
    risky: int = 0  # operations so far that may raise an exception
    warnings: set[str] = field(default_factory=set)
    undecided: str = ""  # the last condition that is not known
    budget: Budget = field(default_factory=Budget)


def truth(value: Any, world: World) -> bool:
    if isinstance(value, Unknown):
        if value.truth is None:
            raise Unclear(value.reason)
        return value.truth
    if isinstance(value, Number):
        return sign(value, world.region) != 0
    if isinstance(value, Text):
        return value.code != LOCAL_HOLE or world.region.spell(LOCAL) == 1
    if isinstance(value, (Version, Parsed, Parts, Function, Class, EngineModule, Specifiers)):
        return True
    if isinstance(value, (bool, int, float, str, bytes, tuple, dict, frozenset, type(None), type(...))):
        return bool(value)
    if isinstance(value, Dotted) and value.name == "torch":
        return True
    raise Unclear(f"it is not known what {_named(value)} is")


def _named(value: Any) -> str:
    return f"`{value.name}`" if hasattr(value, "name") else "this"


def sign(value: Number, region: Region) -> int:
    """-1, 0 or 1."""
    low = value.constant + sum(f * region.axes[a][f < 0] for a, f in value.terms)
    high = value.constant + sum(f * region.axes[a][f > 0] for a, f in value.terms)
    if low > 0 or high < 0 or low == high:
        return int(low > 0) - int(high < 0)
    open_axes = [(a, f) for a, f in value.terms if region.axes[a][0] != region.axes[a][1]]
    if len(open_axes) > 1:
        region.spell(open_axes[0][0])
    axis, factor = open_axes[0]
    rest = value.constant + sum(f * region.axes[a][0] for a, f in value.terms if a != axis)
    order = region.order(axis, float(Fraction(-rest, factor)))
    return order if factor > 0 else -order


def add(left: int | Number, right: int | Number, factor: int = 1) -> int | Number:
    """left + factor * right."""
    a, b = (v if isinstance(v, Number) else Number((), v) for v in (left, right))
    terms = dict(a.terms)
    for axis, coefficient in b.terms:
        terms[axis] = terms.get(axis, 0) + factor * coefficient
    kept = tuple(sorted((axis, f) for axis, f in terms.items() if f))
    constant = a.constant + factor * b.constant
    return Number(kept, constant) if kept else constant


def value_of(number: Number, region: Region) -> int:
    """The number, if it is one. Raises Split or Unclear."""
    return number.constant + sum(factor * region.spell(axis) for axis, factor in number.terms)


def order(left: Any, right: Any, world: World) -> int:
    """-1, 0 or 1 as `left` is less than, equal to or greater than `right`."""
    if isinstance(left, Text) and left.compares_as_version:
        return _order_of_torch(left, right, world)
    if isinstance(right, Text) and right.compares_as_version:
        return -_order_of_torch(right, left, world)
    if isinstance(left, Parsed):
        return _order_of_parsed(left, right, world)
    if isinstance(right, Parsed):
        return -_order_of_parsed(right, left, world)
    left, right = _listed(left, world), _listed(right, world)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return _order_of_sequences(left, right, world)
    if isinstance(left, Text) or isinstance(right, Text):
        return _order_of_text(left, right, world)
    if isinstance(left, Number) or isinstance(right, Number):
        return _order_of_numbers(left, right, world)
    try:
        return int(left > right) - int(left < right)
    except TypeError as error:
        raise Raised("TypeError") from error


def _listed(value: Any, world: World) -> Any:
    """A value; split text as the list that it is."""
    if isinstance(value, Parts):
        return List(text.text(part) for part in text.split(value.code, value.separator, world.region))
    return value


def _order_of_numbers(left: Any, right: Any, world: World) -> int:
    if all(isinstance(side, (int, Number)) for side in (left, right)):
        difference = add(left, right, -1)
        return sign(difference, world.region) if isinstance(difference, Number) else (difference > 0) - (difference < 0)
    if isinstance(left, float) and isinstance(right, Number):
        return -_order_of_numbers(right, left, world)
    if isinstance(right, float) and isinstance(left, Number):
        value = value_of(left, world.region)
        return (value > right) - (value < right)
    raise Raised("TypeError")


def _order_of_text(left: Any, right: Any, world: World) -> int:
    if isinstance(left, Text) and isinstance(right, str):
        world.warnings.add(AS_STRINGS)
        return text.order(left.code, right, world.region)
    if isinstance(left, str) and isinstance(right, Text):
        return -_order_of_text(right, left, world)
    if left == right:
        return 0
    raise Unclear("compares two texts of the version") if isinstance(left, Text) else Raised("TypeError")


def _order_of_sequences(left: tuple[Any, ...], right: tuple[Any, ...], world: World) -> int:
    if isinstance(left, List) is not isinstance(right, List):
        raise Raised("TypeError")
    for a, b in zip(left, right):
        if any(isinstance(side, Unknown) for side in (a, b)):
            raise Unclear(next(side.reason for side in (a, b) if isinstance(side, Unknown)))
        if not equal(a, b, world):
            return order(a, b, world)
    return (len(left) > len(right)) - (len(left) < len(right))


def _order_of_torch(left: Text, right: Any, world: World) -> int:
    """As TorchVersion compares: by version, also with text and with tuples of numbers."""
    if isinstance(right, (tuple, Parts)) and not isinstance(right, Parts):
        right = ".".join(str(part) for part in right)
    own = text.parsed(left, world.region)
    if not isinstance(right, (str, Text)):
        raise Raised("TypeError")
    try:
        return _order_of_parsed(own, text.parsed(right, world.region), world)
    except Raised:
        return _order_of_text(Text(left.code), right, world)


def _order_of_parsed(left: Any, right: Any, world: World) -> int:
    if (isinstance(right, Text) and right.compares_as_version) or not isinstance(right, (Version, Parsed)):
        raise Raised("TypeError")
    if left == right:
        return 0
    if isinstance(right, Parsed):
        raise Unclear("compares two versions that are made of torch's")
    numbers = (*right.release, *(0,) * (len(left.release) - len(right.release)))
    own = (*left.release, *(0,) * (len(numbers) - len(left.release)))
    if right.epoch:
        return -1
    for a, b in zip(own, numbers):
        if found := _order_of_numbers(a, b, world) if isinstance(a, Number) else (a > b) - (a < b):
            return found
    return _order_of_stage(left, right, world.region)


def _order_of_stage(left: Parsed, right: Version, region: Region) -> int:
    """The order of two versions with the same release numbers."""
    if left.staged:
        found = compare_stage(region, right)
    else:
        own, other = stage_of(Version("0")), stage_of(right)
        found = (own > other) - (own < other)
    if found:
        return found
    has_local = left.local and region.order(LOCAL, 1) == 0
    if has_local and right.local:
        raise Unclear("depends on the build (the part after '+')")
    return int(has_local) - bool(right.local)


def equal(left: Any, right: Any, world: World) -> bool:
    for a, b in ((left, right), (right, left)):
        if isinstance(a, Text) and not a.compares_as_version and isinstance(b, str):
            return text.starts_with(a.code, b, world.region, whole=True)
    if isinstance(left, Parts) or isinstance(right, Parts):
        left, right = _listed(left, world), _listed(right, world)
    if isinstance(left, tuple) and isinstance(right, tuple):
        if len(left) != len(right) or isinstance(left, List) is not isinstance(right, List):
            return False
        for side in (*left, *right):
            if isinstance(side, Unknown):
                raise Unclear(side.reason)
        return all(equal(a, b, world) for a, b in zip(left, right))
    both = (left, right)
    if any(isinstance(side, (Text, Parts, Parsed, Number, tuple)) for side in both):
        try:
            return order(left, right, world) == 0
        except Raised:
            return False
    if any(isinstance(side, _UNCOMPARED) for side in both) and left != right:
        raise Unclear("compares objects that are not known")
    return bool(left == right)


_UNCOMPARED = (Function, Class, EngineModule)


def compared(sign_: ast.cmpop, left: Any, right: Any, world: World) -> bool:
    """The result of one comparison operator. Raises Unclear, Split or Raised."""
    if isinstance(sign_, (ast.Is, ast.IsNot)):
        return _is(left, right, world) is isinstance(sign_, ast.Is)
    for side in (left, right):
        if isinstance(side, Unknown):
            raise Unclear(side.reason)
        if isinstance(side, (Dotted, Instance, *_UNCOMPARED)):
            raise Unclear(f"it is not known what {_named(side)} is")
    if isinstance(sign_, (ast.In, ast.NotIn)):
        return _in(left, right, world) is isinstance(sign_, ast.In)
    if isinstance(left, Items) or isinstance(right, Items):
        raise Unclear("compares sets")
    if isinstance(sign_, (ast.Eq, ast.NotEq)):
        return equal(left, right, world) is isinstance(sign_, ast.Eq)
    _warn_of_floats(left, right, world)
    return _BY_SIGN[type(sign_)](order(left, right, world), 0)


_BY_SIGN: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _warn_of_floats(left: Any, right: Any, world: World) -> None:
    if world.touched and isinstance(left, float) and isinstance(right, float):
        world.warnings.add(AS_FLOATS)


def _is(left: Any, right: Any, world: World) -> bool:
    for side, other in ((left, right), (right, left)):
        if other is None or isinstance(other, bool):
            if side == Dotted("torch"):
                return False
            if isinstance(side, (Unknown, Dotted, Instance)):
                if isinstance(side, Unknown) and side.truth and other is None:
                    return False
                raise Unclear(getattr(side, "reason", "compares objects that are not known"))
            return side is other
    raise Unclear("compares objects by identity")


def _in(left: Any, right: Any, world: World) -> bool:
    if isinstance(right, Text) and isinstance(left, str):
        return text.contains(right.code, left, world.region)
    if isinstance(right, str) and isinstance(left, Text):
        return text.spelled(left.code, world.region) in right
    right = _listed(right, world)
    if isinstance(right, (tuple, dict, frozenset)):
        if any(isinstance(item, Unknown) for item in right):
            raise Unclear("looks in a list that is not known")
        return any(equal(left, item, world) for item in right)
    if isinstance(right, Specifiers):
        return accepted(right, left, right.prereleases, world)
    try:
        return left in right
    except TypeError as error:
        raise Raised("TypeError") from error


def accepted(given: Specifiers, value: Any, prereleases: bool | None, world: World) -> bool:
    """`SpecifierSet.contains(version, prereleases)`."""
    own = text.parsed(value, world.region) if isinstance(value, (str, Text)) else value
    if isinstance(own, Version):
        return given.specifiers.contains(own, prereleases=prereleases)
    if not isinstance(own, Parsed) or own.release != THREE:
        raise Unclear("looks for a value in a specifier that is not torch's version")
    region = world.region if own.staged else world.region.narrowed(STAGE, FINAL)
    region = region if own.local else region.narrowed(LOCAL, 0)
    inside = accepts(given.specifiers, region)
    if inside and not prereleases and is_prerelease(region):
        if prereleases is False:
            return False
        if not given.specifiers.prereleases:
            raise Unclear("is a question of pre-releases, which versions of packaging answer differently")
    return inside
