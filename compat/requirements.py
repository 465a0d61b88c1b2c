"""Requirements: facts about torch's private API, written as data, so that code, status and tools can all read them.

A requirement judges a `Found`, the record of what stands under one name. Who made the record, and from what, is
`probe`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple, Protocol

from .bytecode import redirect_calls


class Absent(Exception):
    """The name is not there, with the reason in words."""


class Undecided(Exception):
    """This way of reading cannot tell; the other one may."""


class Parameter(NamedTuple):
    name: str
    kind: str  # "positional", "keyword" (keyword only), "rest" (*args, **kwargs)
    required: bool


class Found(NamedTuple):
    """What stands under a name: a `function` (plain or a method; its body can be exchanged in place), a `wrapper` (a
    function behind a decorator, whose parameters and code these are), a `class`, a `file`, or any other `value`."""

    kind: str
    parameters: tuple[Parameter, ...] = ()
    code: CodeType | None = None
    thing: Any = None  # what it is that stands there, where torch is running; for a file, torch
    text: str | None = None  # what the file says; None where there is no such file


class Requirement(Protocol):
    @property
    def target(self) -> str:
        """What is asked about: `module:qualified.name`, or `module:folder/file` for a file in the package of packages
        that the module is in."""

    def objection(self, found: Found) -> str | None:
        """What is wrong with what was found, in words; None where the requirement holds."""

    def __str__(self) -> str: ...


class Symbol(NamedTuple):
    """The name exists, and is of this kind (see `Found`) if one is given."""

    target: str
    kind: str | None = None

    def objection(self, found: Found) -> str | None:
        return None if self.kind in (None, found.kind) else f"it is a {found.kind}"

    def __str__(self) -> str:
        return f"{self.target} is a {self.kind}" if self.kind else f"{self.target} exists"


class Parameters(NamedTuple):
    """The function can be called with exactly these positional parameters; whatever else it takes is optional."""

    target: str
    names: tuple[str, ...]

    def objection(self, found: Found) -> str | None:
        if found.kind not in ("function", "wrapper"):
            return f"it is a {found.kind}"
        positional = [p.name for p in found.parameters if p.kind == "positional"]
        others = [p.name for p in found.parameters if p.required and p.name not in self.names]
        if tuple(positional[: len(self.names)]) == self.names and not others:
            return None
        return f"it takes ({', '.join(p.name for p in found.parameters)})"

    def __str__(self) -> str:
        return f"{self.target} takes ({', '.join(self.names)})"


class Takes(NamedTuple):
    """The function can be given a parameter of this name."""

    target: str
    name: str

    def objection(self, found: Found) -> str | None:
        if found.kind not in ("function", "wrapper"):
            return f"it is a {found.kind}"
        names = [p.name for p in found.parameters if p.kind != "rest"]
        return None if self.name in names else f"it takes ({', '.join(names)})"

    def __str__(self) -> str:
        return f"{self.target} takes {self.name}"


class Refers(NamedTuple):
    """The function's body, or a function nested in it, refers to this name (a global, an attribute or an import)."""

    target: str
    name: str

    def objection(self, found: Found) -> str | None:
        if found.code is None:
            return f"it is a {found.kind}"
        return None if any(self.name in code.co_names for code in nested(found.code)) else "its body does not"

    def __str__(self) -> str:
        return f"{self.target} refers to {self.name}"


class Calls(NamedTuple):
    """The function's own body calls `….owner.name(...)`, in a form that `redirect_calls` can redirect."""

    target: str
    owner: str
    name: str

    def objection(self, found: Found) -> str | None:
        if found.code is None:
            return f"it is a {found.kind}"
        return None if redirect_calls(found.code, (self.owner, self.name), ("_", "_")) else "its body does not"

    def __str__(self) -> str:
        return f"{self.target} calls {self.owner}.{self.name}"


class Mentions(NamedTuple):
    """A string in the function's body, or in a function nested in it, contains this text. whole: is this text, as what
    stands between two values in an f-string is."""

    target: str
    text: str
    whole: bool = False

    def objection(self, found: Found) -> str | None:
        if found.code is None:
            return f"it is a {found.kind}"
        strings = (const for code in nested(found.code) for const in code.co_consts if isinstance(const, str))
        if any(self.text == string if self.whole else self.text in string for string in strings):
            return None
        return "its body does not"

    def __str__(self) -> str:
        return f"{self.target} mentions {self.text!r}{' by itself' if self.whole else ''}"


class Behaves(NamedTuple):
    """For what only running torch can tell: `check` gets what stands there, and says what is wrong with it, or None."""

    target: str
    words: str
    check: Callable[[Any], str | None]

    def objection(self, found: Found) -> str | None:
        if found.thing is None:
            raise Undecided("only torch itself can tell, once it is imported")
        try:
            return self.check(found.thing)
        except Exception as error:  # noqa: BLE001 (private API that raises is private API that changed)
            return f"trying it out raises {type(error).__name__}: {error}"

    def __str__(self) -> str:
        return f"{self.target} {self.words}"


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code object, and those of all functions inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)
