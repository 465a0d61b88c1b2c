"""Which mode a shim gets: the words say what was asked for, the version proposes, the requirements decide."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from . import version
from .adapters import adapter_for
from .errors import UnsupportedError
from .importing import complete
from .probe import Answer, Live, Reader, answer
from .requirements import Requirement
from .source import Source

MODES = ("auto", "native", "backport", "noop")
SWITCH = "TORCH_COMPAT"  # takes "auto" and "noop" alone: what a mode means depends on the shim


class Shim(NamedTuple):
    """One behaviour under one name. Its file in `shims/` tells the rest of its story."""

    name: str
    kind: str  # "fix", "speed" or "policy"
    upstream: str  # where the behaviour, or the defect, is on record
    changes_codegen: bool  # if so, it has a part in the cache key while it is active
    revision: int  # of our implementation; goes up when patched torch behaves otherwise than before
    native: tuple[Requirement, ...]
    backport: tuple[Requirement, ...]
    install: Callable[[str], Callable[[], None]]  # puts it in, process-wide, in this mode; gives back the way out
    active: Callable[[], bool]

    @property
    def part(self) -> str:
        """What stands for this shim in a cache key."""
        return f"{self.name}/{self.revision}"

    @property
    def variable(self) -> str:
        return f"{SWITCH}_{self.name.upper()}"

    @property
    def modules(self) -> frozenset[str]:
        """The torch modules that have to be there before the shim can act."""
        return frozenset(r.target.partition(":")[0] for r in (*self.native, *self.backport))


class Selection(NamedTuple):
    shim: str
    mode: str
    reason: str
    evidence: tuple[Answer, ...]


# Every use of a shim looks at two variables. os.environ takes 0.7 us a look, because it decodes; the dictionary behind
# it takes 0.03 us. What is read there is only compared with what was read before. Without it, and where somebody has
# put another mapping in the place of os.environ, the long way is taken.
_environ = os.environ
_behind: Any = getattr(_environ, "_data", None)
_look: Callable[[Any], object] = _behind.get if isinstance(_behind, dict) else _environ.get
_key: Callable[[str], object] = _environ.encodekey if isinstance(_behind, dict) else str
_SWITCH_KEY = _key(SWITCH)
_own_keys: dict[str, object] = {}
_selected: dict[tuple[str, str, object, object], Selection] = {}
_previewed: dict[tuple[Shim, str, str, str], Selection] = {}  # what source says takes a tenth of a second to find out


def select(shim: Shim, mode: str = "auto") -> Selection:
    """The mode for the torch of this process, importing what the shim needs of it. Raises ValueError for a word that
    is no mode, and UnsupportedError where a mode was asked for by name that this torch cannot have."""
    name = shim.name
    own = _own_keys.get(name) or _own_keys.setdefault(name, _key(shim.variable))
    key = (name, mode, _look(_SWITCH_KEY), _look(own))
    known = os.environ is _environ
    selection = _selected.get(key) if known else None
    if selection is None:
        asked, why = asked_for(shim, mode)
        there = version.root() is not None  # if not, it may still come: by an installation, or on the path
        selection = decide(shim, asked, why, version.text(), Live() if there else None)
        if there and known and _lasts(shim, asked, selection):
            _selected[key] = selection
    return selection


def _lasts(shim: Shim, asked: str, selection: Selection) -> bool:
    """Whether it will be the same the next time. Not so where a module is half imported; nor where the version promises
    a mode and torch does not fit it: somebody may have put something over torch's functions, and take it away again."""
    half = any(name in sys.modules and not complete(name) for name in shim.modules)
    return not half and (selection.mode != "noop" or "noop" in (asked, _proposed(shim, version.text())))


def preview(shim: Shim, mode: str = "auto") -> Selection:
    """As `select`, but torch modules that are not there yet are judged by their source. Imports nothing, unless a mode
    was asked for by name and the source does not tell."""
    asked, why = asked_for(shim, mode)
    root = version.root()
    if root is None or loaded(shim):
        return select(shim, mode)
    key = (shim, asked, why, root)
    if key not in _previewed:
        source = Source.installed(root)
        if any(answer(requirement, source).holds is None for requirement in getattr(shim, asked, ())):
            return select(shim, mode)
        _previewed[key] = decide(shim, asked, why, version.text(), source)
    return _previewed[key]


def loaded(shim: Shim) -> bool:
    return all(map(complete, shim.modules))


def asked_for(shim: Shim, mode: str) -> tuple[str, str]:
    """The mode that is asked for, and by whom. An explicit word beats the environment, but for `noop` there."""
    _check(mode, MODES, "mode")
    switch, own = os.environ.get(SWITCH) or "auto", os.environ.get(shim.variable) or "auto"
    _check(switch, ("auto", "noop"), SWITCH)
    _check(own, MODES, shim.variable)
    if switch == "noop":
        return "noop", f"{SWITCH}=noop is set"
    if own == "noop" or (mode == "auto" and own != "auto"):
        return own, f"{shim.variable}={own} is set"
    return mode, f"mode={mode!r} was asked for"


def decide(shim: Shim, asked: str, why: str, torch: str | None, reader: Reader | None) -> Selection:
    """The selection for the torch that calls itself `torch` and that `reader` reads (None: there is no torch)."""
    if asked == "noop":
        return Selection(shim.name, "noop", why, ())
    if reader is None:
        if asked == "auto":
            return Selection(shim.name, "noop", "torch is not installed", ())
        raise UnsupportedError(f"{shim.name}: {why}, but torch is not installed")
    expected = _proposed(shim, torch)
    evidence: tuple[Answer, ...] = ()
    missing: dict[str, Answer] = {}
    for mode in ("native", "backport") if asked == "auto" else (asked,):
        answers = tuple(answer(requirement, reader) for requirement in getattr(shim, mode))
        evidence += tuple(a for a in answers if a not in evidence)
        failed = [a for a in answers if not a.holds]
        if not failed and (mode == asked or mode == "native" or expected != "noop"):
            return Selection(shim.name, mode, _reason(mode, asked, expected, why, torch, answers[-1]), evidence)
        if failed:
            missing[mode] = next((a for a in failed if a.holds is False), failed[0])
            if missing[mode].holds is None:
                break  # what is undecided may be so: nothing else can be chosen in its place
    lacking = "; ".join(dict.fromkeys(f"required: {a.requirement}, found: {a.found}" for a in missing.values()))
    if asked != "auto":
        raise UnsupportedError(f"{shim.name}: {why}, but torch {torch} cannot have it; {lacking}")
    if all(mode in missing for mode in ("native", "backport")):
        reason = f"torch {torch} neither has it nor fits the backport; {lacking}"
    elif missing["native"].holds is None:
        reason = f"torch {torch}: not decided from source text; {lacking}"
    else:
        reason = f"torch {torch} lacks it and is no torch that gets the backport unasked; mode='backport' works here"
    return Selection(shim.name, "noop", reason, evidence)


def _proposed(shim: Shim, torch: str | None) -> str:
    """The mode for the torch that calls itself `torch`, going by that alone."""
    return str(getattr(adapter_for(version.parse(torch)), shim.name))


def _reason(mode: str, asked: str, expected: str, why: str, torch: str | None, deciding: Answer) -> str:
    lacks = f"torch {torch} lacks it and the backport fits" if asked == "auto" else f"the backport fits torch {torch}"
    what = f"torch {torch} has it" if mode == "native" else lacks
    by = f", and {why}" if asked != "auto" else ""
    though = f", though by its number it should be {expected}" if asked == "auto" and mode != expected else ""
    return f"{what}: {deciding.requirement}{by}{though}"


def _check(word: str, allowed: tuple[str, ...], name: str) -> None:
    if word not in allowed:
        raise ValueError(f"{name} is {word!r}; it can be {', '.join(allowed)}")
