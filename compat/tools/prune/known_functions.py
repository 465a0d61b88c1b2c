"""Models of the functions outside of the searched files that get torch's version."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from . import text
from .attributes import attribute
from .operations import accepted, order, value_of
from .regex import find
from .values import (
    BASE,
    TORCH,
    Built,
    Dotted,
    Items,
    List,
    Number,
    Parsed,
    Parts,
    Raised,
    Specifiers,
    Text,
    Unknown,
    one_of,
)
from .versions import FINAL, LOCAL, STAGE

WORDS = {">=": "ge", ">": "gt", "<=": "le", "<": "lt", "==": "eq", "!=": "ne"}
Model = Callable[[Any, list[Any], dict[str, Any]], Any]
FUNCTIONS: dict[str, Model] = {}
# Names that other libraries use, too, and where they have to come from to be meant.
HOMES = dict.fromkeys(("Version", "parse", "parse_version"), ("packaging", "pkg_resources", "torch")) | {
    **dict.fromkeys(("match", "search", "fullmatch"), ("re", "regex")),
    **dict.fromkeys(("ge", "gt", "le", "lt", "eq", "ne", "not_", "contains", "attrgetter"), ("operator",)),
    "version": ("importlib", "importlib_metadata", "metadata", "pkg_resources"),
    "cast": ("typing",),
}
BUILTINS = frozenset(
    (
        "str", "int", "float", "tuple", "list", "bool", "len", "map", "any", "all", "sorted", "max", "min", "zip",
        "set", "frozenset", "getattr", "hasattr", "isinstance", "__import__",
    )
)  # fmt: skip
_SIGNS: dict[str, type[ast.cmpop]] = {
    "ge": ast.GtE, "gt": ast.Gt, "le": ast.LtE, "lt": ast.Lt, "eq": ast.Eq, "ne": ast.NotEq
}  # fmt: skip


def _model(*names: str) -> Callable[[Model], Model]:
    def add(model: Model) -> Model:
        FUNCTIONS.update(dict.fromkeys(names, model))
        return model

    return add


def model_of(name: str) -> Model | None:
    """The model of a function with this dotted name."""
    *home, last = name.split(".")
    if home == ["builtins"]:
        return FUNCTIONS.get(last) if last in BUILTINS else None
    if last in BUILTINS or (last in HOMES and not set(HOMES[last]) & set(home) and not _is_handed_on(home, last)):
        return None
    return FUNCTIONS.get(last)


def _is_handed_on(home: list[str], last: str) -> bool:
    """Whether a class is by its name the one of `packaging`, in a helper module that is not in reach."""
    return last == "Version" and bool(home) and re.search(r"(?i)util|compat|version", home[-1]) is not None


def _known(interpreter: Any, values: list[Any], name: str) -> Unknown | None:
    """An unknown result, if an argument is not known."""
    if any(isinstance(value, (Unknown, Dotted)) for value in values):
        unknown: Unknown = interpreter.opaque(f"`{name}` is called with something that is not known", *values)
        return unknown
    return None


@_model("Version", "parse", "parse_version", "NormalizedVersion", "VersionInfo")
def _version(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    (value,) = given
    if isinstance(value, (Version, Parsed)):
        raise Raised("TypeError")
    if not isinstance(value, (str, Text)):
        return _known(interpreter, given, "Version") or interpreter.opaque("is not made of a text", *given)
    return text.parsed(value, interpreter.world.region)


@_model("TorchVersion")
def _torch_version(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    (value,) = given
    return Text(value.code, True) if isinstance(value, Text) else interpreter.opaque("`TorchVersion`", *given)


@_model("StrictVersion")
def _strict(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    """Three numbers: `2.5` equals `2.5.0`. Nothing else of torch's versions is valid there."""
    (value,) = given
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+){1,2}", value):
        return List([*map(int, value.split(".")), 0][:3])
    if isinstance(value, Text) and value.code == BASE:
        return List(Number(((axis, 1),)) for axis in range(3))
    return interpreter.opaque("is not made of three numbers", *given)


@_model("LooseVersion")
def _loose(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    """A list of numbers and words, as distutils splits a version."""
    (value,) = given
    if isinstance(value, str):
        return List(int(part) if part.isdigit() else part for part in re.findall(r"\d+|[a-z]+", value))
    if not isinstance(value, Text) or value.code not in (TORCH, BASE):
        return interpreter.opaque("is not made of torch's version as it is", *given)
    region, numbers = interpreter.world.region, [Number(((axis, 1),)) for axis in range(3)]
    bare = value.code == BASE or (region.order(STAGE, FINAL) == 0 and region.order(LOCAL, 0) == 0)
    return List([*numbers, *([] if bare else [Unknown("is a part of the version after its numbers", True)])])


@_model("version", "get_distribution_version", "pkg_version", "package_version")
def _metadata_version(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    """`importlib.metadata.version`."""
    name = given[0] if given else keywords.get("distribution_name")
    if name != "torch":
        return interpreter.opaque("is the version of something else, or of something that is not known")
    if not interpreter.world.present:
        raise Raised("PackageNotFoundError")
    interpreter.world.touched = True
    return Text(TORCH)


@_model("distribution", "get_distribution")
def _distribution(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return Dotted("torch.<distribution>") if given == ["torch"] else interpreter.opaque("is another distribution")


@_model("find_spec")
def _spec(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    if given[:1] != ["torch"]:
        return interpreter.opaque("is another module")
    return Dotted("torch") if interpreter.world.present else None


@_model("import_module", "__import__", "LazyLoader", "lazy_import", "LazyImport", "optional_import")
def _module(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    if given[:1] != ["torch"]:
        return interpreter.opaque("is another module")
    if not interpreter.world.present:
        raise Raised("ModuleNotFoundError")
    return Dotted("torch")


@_model("SpecifierSet", "Specifier")
def _specifiers(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    if not given or not isinstance(given[0], str):
        return interpreter.opaque("is a specifier that is not known")
    try:
        return Specifiers(SpecifierSet(given[0]), keywords.get("prereleases"))
    except InvalidSpecifier as error:
        raise Raised("InvalidSpecifier") from error


@_model("RequirementCache", "ModuleAvailableCache")
def _requirement(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    """lightning_utilities: whether a requirement is met, pre-releases included."""
    try:
        requirement = Requirement(given[0])
    except (InvalidRequirement, IndexError, TypeError):
        return interpreter.opaque("is a requirement that is not known")
    if requirement.name != "torch" or not requirement.specifier or requirement.extras:
        return interpreter.opaque("is a requirement on something else")
    interpreter.world.touched = True
    own = text.parsed(Text(TORCH), interpreter.world.region)
    return accepted(Specifiers(requirement.specifier), own, True, interpreter.world)


@_model("compare_version", "compare_versions", "_compare_version")
def _compare_version(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    """lightning_utilities: `compare_version("torch", operator.ge, "2.4.0")`."""
    if len(given) < 3 or given[0] != "torch" or not isinstance(given[2], str):
        return interpreter.opaque("is about something else")
    base = keywords.get("use_base_version", given[3] if len(given) > 3 else False)
    interpreter.world.touched = True
    own = text.parsed(Text(BASE if base else TORCH), interpreter.world.region)
    sign = given[1] if isinstance(given[1], (Dotted, Built)) else FUNCTIONS.get(_word(given[1]))
    if sign is None:
        return interpreter.opaque("compares by something that is not known", own)
    if isinstance(sign, (Dotted, Built)):
        return interpreter.call_value(sign, [own, Version(given[2])], {}, ast.Name("compare", ast.Load()))
    return sign(interpreter, [own, Version(given[2])], {})


def _word(sign: Any) -> str:
    return WORDS.get(sign, "") if isinstance(sign, str) else ""


def _comparison(sign: type[ast.cmpop]) -> Model:
    def compare(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
        return (
            interpreter.one_compared(sign(), given[0], given[1]) if len(given) == 2 else interpreter.opaque("compares")
        )

    return compare


for _name, _sign in _SIGNS.items():
    FUNCTIONS[_name] = FUNCTIONS[f"__{_name}__"] = _comparison(_sign)


@_model("contains")
def _contains(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return interpreter.one_compared(ast.In(), given[1], given[0])


@_model("not_")
def _not(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return interpreter._not(given[0])


@_model("attrgetter")
def _attrgetter(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return Built(lambda value: interpreter.attribute_of(value, given[0]), "attrgetter")


def _regex(how: str) -> Model:
    def apply(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
        if len(given) != 2 or keywords or not isinstance(given[0], str) or not isinstance(given[1], (str, Text)):
            return interpreter.opaque("is a match with something that is not known", *given)
        code = given[1].code if isinstance(given[1], Text) else given[1]
        return find(how, given[0], code, 0, interpreter.world.region)

    return apply


for _name in ("match", "search", "fullmatch"):
    FUNCTIONS[_name] = _regex(_name)


# Builtins.


@_model("str")
def _str(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return (
        interpreter.string(given[0]) if len(given) == 1 else interpreter.opaque("is a text that is not known", *given)
    )


@_model("int")
def _int(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    (value,) = given
    if isinstance(value, Text):
        return text.number(value.code, interpreter.world.region)
    if isinstance(value, (int, Number)):
        return value
    return _constant(int, interpreter, given)


@_model("float")
def _float(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    (value,) = given
    if isinstance(value, Text):
        return _constant(float, interpreter, [text.spelled(value.code, interpreter.world.region)])
    if isinstance(value, Number):
        return float(value_of(value, interpreter.world.region))
    return _constant(float, interpreter, given)


def _constant(make: Callable[[Any], Any], interpreter: Any, given: list[Any]) -> Any:
    if not isinstance(given[0], (str, int, float)):
        return interpreter.opaque("is not made of a constant", *given)
    try:
        return make(given[0])
    except ValueError as error:
        raise Raised("ValueError") from error


@_model("sorted")
def _sorted(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    items = interpreter.sequence(given[0]) if given else None
    if items is None or keywords or any(isinstance(item, (Unknown, Dotted)) for item in items):
        return interpreter.opaque("is sorted in a way that is not followed", *given)
    return List(sorted(items, key=cmp_to_key(lambda a, b: order(a, b, interpreter.world))))


@_model("tuple")
def _tuple(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    items = interpreter.sequence(given[0]) if given else []
    return interpreter.opaque("is a sequence that is not known", *given) if items is None else tuple(items)


@_model("list")
def _list(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    found = _tuple(interpreter, given, keywords)
    return List(found) if isinstance(found, tuple) else found


@_model("set", "frozenset")
def _set(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    found = _tuple(interpreter, given, keywords)
    return Items(found) if isinstance(found, tuple) else found


@_model("bool")
def _bool(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    value = given[0] if given else False
    truths = interpreter.truths(value)
    return one_of(truths) if len(truths) == 1 or not isinstance(value, Unknown) else value


@_model("len")
def _len(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    (value,) = given
    if isinstance(value, Text):
        return len(text.spelled(value.code, interpreter.world.region))
    items = interpreter.sequence(value)
    return interpreter.opaque("is a length that is not known", value) if items is None else len(items)


@_model("map")
def _map(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    items = interpreter.sequence(given[1]) if len(given) == 2 else None
    if items is None:
        return interpreter.opaque("maps something that is not known", *given[1:])
    return List(interpreter.call_value(given[0], [item], {}, ast.Name("f", ast.Load())) for item in items)


def _many(deciding: bool) -> Model:
    def apply(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
        items = interpreter.sequence(given[0])
        if items is None:
            return interpreter.opaque("is a condition on values that are not known", *given)
        found = [interpreter.truths(item) for item in items]
        if any(each == {deciding} for each in found):
            return deciding
        if all(each == {not deciding} for each in found):
            return not deciding
        return interpreter.opaque("is a condition on values that are not known", *items)

    return apply


FUNCTIONS["any"], FUNCTIONS["all"] = _many(True), _many(False)


def _extreme(of: Callable[[Any], Any]) -> Model:
    def apply(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
        if len(given) > 1 and not keywords and all(isinstance(value, (int, float)) for value in given):
            return of(given)
        return interpreter.opaque("is one of values that are not known", *given)

    return apply


FUNCTIONS["max"], FUNCTIONS["min"] = _extreme(max), _extreme(min)


@_model("zip")
def _zip(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    rows = [interpreter.sequence(value) for value in given]
    if any(row is None for row in rows):
        return interpreter.opaque("goes through values that are not known", *given)
    return List(zip(*rows))


@_model("isinstance")
def _isinstance(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    kinds = given[1] if isinstance(given[1], tuple) else (given[1],)
    names = {kind.name.rpartition(".")[2] for kind in kinds if isinstance(kind, Dotted)}
    own = _KINDS.get(type(given[0]))
    if isinstance(given[0], Text) and given[0].compares_as_version:
        own = {"str", "TorchVersion"}
    if own is None or len(names) != len(kinds) or not names <= _ALL_KINDS:
        return interpreter.opaque("is a type that is not known", given[0])
    return bool(own & names)


_KINDS: dict[type, set[str]] = {
    str: {"str"}, Text: {"str"}, int: {"int"}, Number: {"int"}, float: {"float"}, bool: {"bool", "int"},
    tuple: {"tuple"}, List: {"list"}, Parts: {"list"}, dict: {"dict"}, type(None): set(),
    Version: {"Version"}, Parsed: {"Version"},
}  # fmt: skip
_ALL_KINDS = {"str", "int", "float", "bool", "tuple", "list", "dict", "Version", "TorchVersion"}


@_model("cast")
def _cast(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return given[1] if len(given) == 2 else interpreter.opaque("is cast")


@_model("getattr")
def _getattr(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    owner, name = given[:2]
    if name == "__version__" and isinstance(owner, Dotted) and owner.name == "torch":
        return interpreter.outside("torch.__version__")
    if isinstance(owner, Dotted) or not isinstance(name, str):
        return interpreter.index.asked(interpreter, "getattr", given)
    try:
        return attribute(owner, name, interpreter.world)
    except Raised:
        if len(given) < 3:
            raise
        return given[2]


@_model("hasattr")
def _hasattr(interpreter: Any, given: list[Any], keywords: dict[str, Any]) -> Any:
    return interpreter.index.asked(interpreter, "hasattr", given)
