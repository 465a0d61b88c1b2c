"""Requirements: facts about torch's private API, as data.

Code, status and tools can all read them. A requirement judges a `Definition`, the
record of what stands under one name. `live` makes that record from the running torch,
`source` from text, so the two can differ only in what they read.
"""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..errors import CompatError
from .definition import Definition, Missing, Reader, Undecided, nested


@runtime_checkable
class Requirement(Protocol):
    """One fact that torch must have."""

    @property
    def target(self) -> str:
        """Return `module:qualified.name`, or `module:folder/file` for a file.

        A file is looked up in the folder of the module's top-level package.
        """

    def explain_failure(self, definition: Definition) -> str | None:
        """Return what is wrong with the definition, or None if the fact holds."""

    def __str__(self) -> str: ...


class Answer(NamedTuple):
    """A requirement, and whether it holds.

    Attributes:
        requirement: in words.
        holds: None if the reader could not decide.
        found: what is there instead, or "it does".

    """

    requirement: str
    holds: bool | None
    found: str


def answer(requirement: Requirement, reader: Reader) -> Answer:
    """Return whether the requirement holds. Never raises, whatever torch looks like.

    Except for a CompatError of the reader: then there is no whole torch to read.
    """
    try:
        failure = requirement.explain_failure(reader.find(requirement.target))
    except Missing as missing:
        return Answer(str(requirement), False, str(missing))
    except Undecided as undecided:
        return Answer(str(requirement), None, str(undecided))
    except CompatError:
        raise
    except Exception as error:  # noqa: BLE001 (a stand-in for torch may raise anything)
        found = f"reading it raises {type(error).__name__}: {error}"
        return Answer(str(requirement), False, found)
    return Answer(str(requirement), failure is None, failure or "it does")


class Symbol(NamedTuple):
    """The name exists, and is of this kind if one is given (see `Definition`)."""

    target: str
    kind: str | None = None

    def explain_failure(self, definition: Definition) -> str | None:
        if self.kind in (None, definition.kind):
            return None
        return f"it is a {definition.kind}"

    def __str__(self) -> str:
        if self.kind:
            return f"{self.target} is a {self.kind}"
        return f"{self.target} exists"


class Parameters(NamedTuple):
    """The function can be called with exactly these positional parameters.

    All other parameters that it takes are optional.
    """

    target: str
    names: tuple[str, ...]

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.kind not in ("function", "wrapper"):
            return f"it is a {definition.kind}"
        parameters = definition.parameters
        positional = [p.name for p in parameters if p.kind == "positional"]
        others = [p for p in parameters if p.required and p.name not in self.names]
        if tuple(positional[: len(self.names)]) == self.names and not others:
            return None
        return f"it takes ({', '.join(p.name for p in parameters)})"

    def __str__(self) -> str:
        return f"{self.target} takes ({', '.join(self.names)})"


class Takes(NamedTuple):
    """The function has a parameter of this name."""

    target: str
    name: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.kind not in ("function", "wrapper"):
            return f"it is a {definition.kind}"
        names = [p.name for p in definition.parameters if p.kind != "rest"]
        return None if self.name in names else f"it takes ({', '.join(names)})"

    def __str__(self) -> str:
        return f"{self.target} takes {self.name}"


class Refers(NamedTuple):
    """The function's body refers to this name: a global, an attribute or an import.

    Functions nested in it count.
    """

    target: str
    name: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        if any(self.name in code.co_names for code in nested(definition.code)):
            return None
        return "its body does not"

    def __str__(self) -> str:
        return f"{self.target} refers to {self.name}"


class Mentions(NamedTuple):
    """A string in the function's body contains this text.

    Functions nested in it and tuples of strings count. If `whole`, the string is the
    text: so it is for what stands between two values in an f-string.
    """

    target: str
    text: str
    whole: bool = False

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        consts = [c for code in nested(definition.code) for c in code.co_consts]
        consts += [item for c in consts if isinstance(c, tuple) for item in c]
        texts = [const for const in consts if isinstance(const, str)]
        if any(
            self.text == text if self.whole else self.text in text for text in texts
        ):
            return None
        return "its body does not"

    def __str__(self) -> str:
        suffix = " by itself" if self.whole else ""
        return f"{self.target} mentions {self.text!r}{suffix}"


class Behaves(NamedTuple):
    """A fact that only the running torch can tell.

    Attributes:
        words: follow the target in messages.
        check: gets the object under the target. Returns what is wrong, or None.

    """

    target: str
    words: str
    check: Callable[[Any], str | None]

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.value is None:
            raise Undecided("only torch itself can tell, once it is imported")
        try:
            return self.check(definition.value)
        except Exception as error:  # noqa: BLE001 (private API that has changed)
            return f"trying it out raises {type(error).__name__}: {error}"

    def __str__(self) -> str:
        return f"{self.target} {self.words}"
