"""Which mode, and why?

The argument or the environment says what is asked for, the version proposes, and the
requirements decide.
"""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
import os
import sys
from types import ModuleType
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

from . import version
from .adapters import VENDORED_FOR, is_left_out, modes_for
from .errors import UnsupportedError
from .patching.import_hook import is_imported
from .patching.patch import original_of
from .probe.definition import Reader, is_blocked
from .probe.live import LiveReader
from .probe.requirements import Answer, Requirement, answer
from .probe.source import SourceReader

Mode = Literal["auto", "native", "backport", "noop"]
MODES: tuple[str, ...] = get_args(Mode)

# Takes "auto" and "noop" alone: what the other modes mean depends on the shim.
SWITCH = "TORCH_COMPAT"


@runtime_checkable
class Selectable(Protocol):
    """The attributes of a shim that a selection needs."""

    name: str
    native: tuple[Requirement, ...]
    backport: tuple[Requirement, ...]
    variable: str
    modules: frozenset[str]


class Selection(NamedTuple):
    """The outcome for one shim.

    Attributes:
        shim: its name.
        mode: "native", "backport" or "noop".
        reason: why, in words.
        evidence: the requirements that decided it, each with what was found.
        undecided: whether torch's source was read and is not enough to decide.

    """

    shim: str
    mode: str
    reason: str
    evidence: tuple[Answer, ...]
    undecided: bool = False


_Cached = tuple[ModuleType | None, Selection]
_selected: dict[tuple[Any, ...], _Cached] = {}
_previewed: dict[tuple[Any, ...], Selection] = {}


def live_reader() -> LiveReader:
    return LiveReader(original_of)


def select(shim: Selectable, mode: str = "auto") -> Selection:
    """Return the selection for the torch of this process.

    Imports the torch modules that the shim needs. Raises ValueError for a word that is
    no mode, and UnsupportedError if a mode was asked for by name that this torch cannot
    have.
    """
    torch = version.module()
    switch, own = os.environ.get(SWITCH), os.environ.get(shim.variable)
    key = (shim, mode, switch, own, id(torch))
    cached = _selected.get(key)
    if cached is not None and cached[0] is torch:
        return cached[1]
    asked, why = requested_mode(shim, mode)
    there = version.folder() is not None  # if not, it may still come
    reader = live_reader() if there else None
    selection = decide(shim, asked, why, version.text(), reader)
    torch = version.module()
    if there and torch is not None and _is_final(shim, asked, selection):
        # The entry keeps torch alive, so that no other torch can get its id.
        key = (shim, mode, switch, own, id(torch))
        _selected[key] = torch, selection
    return selection


def _is_final(shim: Selectable, asked: str, selection: Selection) -> bool:
    """Return whether the selection will be the same the next time.

    It may change if a module is half imported, or if torch does not fit the mode that
    its version promises: another library may have replaced a function for a while.
    """
    if any(name in sys.modules and not is_imported(name) for name in shim.modules):
        return False
    promised = asked if asked == "noop" else _expected(shim, version.text())
    return selection.mode != "noop" or promised == "noop"


def preview(shim: Selectable, mode: str = "auto") -> Selection:
    """Return the selection as far as it is known without importing torch modules.

    Modules that torch has not imported yet are checked by reading their source. If the
    source is not enough to decide, the mode is `noop` for now. Only a mode that was
    asked for by name is then decided by importing. Raises what `select` raises.
    """
    asked, why = requested_mode(shim, mode)
    root = version.folder()
    if root is None or asked == "noop" or is_loaded(shim):
        return select(shim, mode)
    key = (shim, asked, why, root, frozenset(filter(is_blocked, shim.modules)))
    if key not in _previewed:
        source = SourceReader.installed(root)
        required = getattr(shim, asked, ())
        if any(answer(requirement, source).holds is None for requirement in required):
            return select(shim, mode)
        _previewed[key] = decide(shim, asked, why, version.text(), source)
    return _previewed[key]


def is_loaded(shim: Selectable) -> bool:
    """Return whether all torch modules that the shim needs are imported."""
    return all(map(is_imported, shim.modules))


def requested_mode(shim: Selectable, mode: str) -> tuple[str, str]:
    """Return the mode that is asked for, and by what, in words.

    An explicit mode beats the environment, except that `noop` there always wins.
    """
    _check(mode, MODES, "mode")
    switch = os.environ.get(SWITCH) or "auto"
    own = os.environ.get(shim.variable) or "auto"
    _check(switch, ("auto", "noop"), SWITCH)
    _check(own, MODES, shim.variable)
    if switch == "noop":
        return "noop", f"{SWITCH}=noop is set"
    if own == "noop" or (mode == "auto" and own != "auto"):
        return own, f"{shim.variable}={own} is set"
    return mode, f"mode={mode!r} was asked for"


def _check(word: str, allowed: tuple[str, ...], name: str) -> None:
    if word not in allowed:
        raise ValueError(f"{name} is {word!r}; it can be {', '.join(allowed)}")


def decide(
    shim: Selectable, asked: str, why: str, torch: str | None, reader: Reader | None
) -> Selection:
    """Return the selection for one torch.

    Args:
        shim: whose requirements decide.
        asked: the mode that was asked for.
        why: by what, in words.
        torch: the version that this torch says it has.
        reader: reads this torch; None if there is none.

    """
    if asked == "noop":
        return Selection(shim.name, "noop", why, ())
    if reader is None:
        if asked == "auto":
            return Selection(shim.name, "noop", version.absence(), ())
        raise UnsupportedError(f"{shim.name}: {why}, but {version.absence()}")
    expected, torch = _expected(shim, torch), torch or "of unknown version"
    evidence: tuple[Answer, ...] = ()
    failed: dict[str, Answer] = {}
    for mode in ("native", "backport") if asked == "auto" else (asked,):
        answers = tuple(answer(required, reader) for required in getattr(shim, mode))
        evidence += tuple(one for one in answers if one not in evidence)
        failure = _first_failure(answers)
        if failure is not None:
            failed[mode] = failure
            if failure.holds is None:
                break  # it may hold, so no other mode can be chosen instead
        elif asked != "auto" or mode == "native" or expected != "noop":
            reason = _success(mode, asked, expected, why, torch, answers[-1])
            return Selection(shim.name, mode, reason, evidence)
    lacking = _lacking(failed)
    if asked != "auto":
        cannot = f"{why}, but torch {torch} cannot have it; {lacking}"
        raise UnsupportedError(f"{shim.name}: {cannot}")
    undecided = any(failure.holds is None for failure in failed.values())
    reason = _no_mode(torch, failed, lacking)
    return Selection(shim.name, "noop", reason, evidence, undecided)


def _first_failure(answers: tuple[Answer, ...]) -> Answer | None:
    """Return an answer that says no, else one that is undecided, else None."""
    failed = [one for one in answers if not one.holds]
    return min(failed, key=lambda one: one.holds is None, default=None)


def _expected(shim: Selectable, torch: str | None) -> str:
    """Return the mode that goes by torch's version alone."""
    return modes_for(version.parse(torch)).get(shim.name, "noop")


def _success(
    mode: str, asked: str, expected: str, why: str, torch: str, deciding: Answer
) -> str:
    auto = asked == "auto"
    if mode == "native":
        what = f"torch {torch} has it"
    elif auto:
        what = f"torch {torch} lacks it and the backport fits"
    else:
        what = f"the backport fits torch {torch}"
    by = "" if auto else f", and {why}"
    surprise = auto and mode != expected and not is_left_out(version.parse(torch))
    though = f", though by its number it should be {expected}" if surprise else ""
    return f"{what}: {deciding.requirement}{by}{though}"


def _lacking(failed: dict[str, Answer]) -> str:
    parts = [f"required: {a.requirement}, found: {a.found}" for a in failed.values()]
    return "; ".join(dict.fromkeys(parts))


def _no_mode(torch: str, failed: dict[str, Answer], lacking: str) -> str:
    if "native" in failed and "backport" in failed:
        return f"torch {torch} neither has it nor fits the backport; {lacking}"
    if failed["native"].holds is None:
        return f"torch {torch}: not decided from source text; {lacking}"
    why = "gets the backport only on request"
    if is_left_out(version.parse(torch)):
        why = f"this copy of compat was vendored for torch {VENDORED_FOR}"
    return f"torch {torch} lacks it, and {why}; mode='backport' works here"
