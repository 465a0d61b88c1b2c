"""The base of every shim: a value that says what goes into torch, and when.

A shim whose replacements change generated code is part of the compile caches' keys
while it is active. A shim with scopes can also be used by `with`, for one thread or
task.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from types import FunctionType
from typing import Any, Literal

from ..adapters import NAMES
from ..errors import CompatError, CompatWarning, UnsupportedError
from ..patching.cache_key import CodegenPatch
from ..patching.context import Context, Scopes
from ..patching.import_hook import catch_up
from ..patching.patch import Claim, MakeReplacement, Patch, claimed
from ..patching.registry import serialized, shared
from ..probe.live import function_at
from ..probe.requirements import Parameters, Refers, Requirement, Symbol, answer
from ..selection import SWITCH, live_reader, select
from . import LEFT_OUT, explain_missing

Kind = Literal["fix", "speed", "policy"]
# A shim behind a function of `compat.api` cannot be installed.
ShimKind = Kind | Literal["api"]
Functions = tuple[FunctionType, ...]
Replacing = Mapping[str, MakeReplacement]

_CONFIG = "torch.utils._config_module:ConfigModule.__getattr__"
# A shim that changes generated code needs these to change the cache key.
_CACHE_KEY = (
    Symbol(_CONFIG, "function"),
    Parameters(_CONFIG, ("self", "name")),
    Refers(_CONFIG, "_config"),
    Refers("torch._inductor.codecache:FxGraphHashDetails.__init__", "cache_key_tag"),
)


class _Patches:
    """The patches of one shim in one mode, shared by all copies of `compat`.

    A reload of torch's modules makes new functions, and they get a new patch.
    """

    def __init__(self) -> None:
        self.by_functions: dict[Functions, Patch] = {}
        self.latest: Patch | None = None


class Shim:
    """One behaviour under one name.

    Args:
        name: also the name of its file, and of its line in the newest adapter.
        kind: "fix", "speed", "policy" or "api".
        upstream: where the behaviour, or the defect, is on record.
        changes_codegen: whether it is part of cache keys while it is active.
        revision: of our implementation. It goes up when patched torch behaves
            differently from before.
        native: requirements under which torch has the behaviour itself.
        backport: requirements under which the replacements fit.
        replacements: what `backport` puts in: by target (`module:qualified.name`), a
            function that gets a `Wrapper` and returns the replacement.
        native_replacements: the same for `native`. Most shims have none.
        late: more replacements, by the module whose import they wait for.
        value: what an install asks for, in a shim with contexts.
        token_of: what stands for the shim in a cache key, by the value that is asked
            for. Needed by a shim with contexts that changes generated code.

    """

    def __init__(
        self,
        *,
        name: str,
        kind: ShimKind,
        upstream: str,
        changes_codegen: bool,
        revision: int,
        native: tuple[Requirement, ...],
        backport: tuple[Requirement, ...],
        replacements: Replacing,
        native_replacements: Replacing | None = None,
        late: Mapping[str, Replacing] | None = None,
        value: Any = None,
        token_of: Callable[[Any], str] | None = None,
    ) -> None:
        self.name, self.kind, self.upstream = name, kind, upstream
        self.changes_codegen, self.revision = changes_codegen, revision
        self.native, self.backport = native, backport
        if changes_codegen:
            self.backport = (*_CACHE_KEY, *backport)
        self.late = tuple(late or ())
        own = {"native": native_replacements or {}, "backport": replacements}
        # By the mode, or by the module whose import they wait for.
        self.replacements: dict[str, Replacing] = {**own, **(late or {})}
        self.value, self._token_of = value, token_of
        # Stands for this shim in a cache key, as in "fx_strides/1".
        self.token = f"{name}/{revision}"
        self.variable = f"{SWITCH}_{name.upper()}"
        # The torch modules that must be imported before the shim can act.
        targets = [required.target for required in (*self.native, *self.backport)]
        self.modules = frozenset(target.partition(":")[0] for target in targets)
        self.scopes = shared(f"{self.token}/scopes", Scopes)
        self._patches = {
            key: shared(f"{self.token}/{key}/patches", _Patches)
            for key in self.replacements
        }
        # The error that kept the shim out at its last use in a context: "Type: text".
        # Not the exception itself: its traceback would keep that context alive.
        self.error = ""

    def requested(self) -> Any:
        """Return what is asked for in this thread or task; None if nothing is."""
        return self.scopes.requested()

    @property
    def active(self) -> bool:
        """Return whether it is in force anywhere in this process, by any copy."""
        return any(patch.name == self.token for patch in claimed())

    def patch(self, key: str) -> Patch | None:
        """Return the patch of the functions that torch has now; None if none is needed.

        If torch's functions have been replaced by ones that do not fit, returns the
        most recent patch, or None if there is none.

        Args:
            key: a mode, or a module of `late`.

        """
        replacements = self.replacements.get(key)
        if not replacements:
            return None
        patches = self._patches[key]
        functions = tuple([function_at(target) for target in replacements])
        known = patches.by_functions.get(functions)  # type: ignore[arg-type]
        if known is None:
            # A mode has some. The replacements that come late have none.
            requirements: tuple[Requirement, ...] = getattr(self, key, ())
            if None in functions or not _all_hold(requirements):
                return patches.latest
            known = self._make_patch(patches, functions, replacements)  # type: ignore[arg-type]
        patches.latest = known
        return known

    def required_patch(self, mode: str) -> Patch | None:
        """Return `patch(mode)`. Raises CompatError if one is needed but gone."""
        patch = self.patch(mode)
        if patch is None and self.replacements.get(mode):
            raise CompatError("another library has replaced torch's functions")
        return patch

    @serialized
    def _make_patch(
        self, patches: _Patches, functions: Functions, replacements: Replacing
    ) -> Patch:
        if functions not in patches.by_functions:
            pairs = list(zip(functions, replacements.values()))
            patches.by_functions[functions] = (
                CodegenPatch(pairs, self._current_token, self.token)
                if self.changes_codegen
                else Patch(pairs, self.token)
            )
        return patches.by_functions[functions]

    def _current_token(self) -> str:
        if self._token_of is None:
            return self.token
        value = self.requested()
        return "" if value is None else self._token_of(value)

    def claim(self) -> Claim:
        """Return a claim for the whole process."""
        return Claim(None, self.scopes, self.value)

    def context(self, value: Any, mode: str) -> Context:
        """Return a context in which this thread or task asks for the value.

        Raises ValueError for a word that is no mode, and UnsupportedError for a mode
        that was asked for by name and cannot be had. Under `auto`, a failure to put
        the shim in is reported as a CompatWarning and by `status()`.
        """
        catch_up()
        self.error = ""
        selected = select(self, mode).mode
        failed = partial(self._failed, mode)
        patch = None
        try:
            patch = self.required_patch(selected)
        except Exception as error:  # noqa: BLE001 (kept for `status`)
            failed(error)
        return Context(self.scopes, value, patch, failed)

    def _failed(self, mode: str, error: Exception) -> None:
        self.error = self.warn_of(error)
        if mode != "auto":
            raise UnsupportedError(self.explain(self.error)) from error

    def warn_of(self, error: Exception) -> str:
        """Warn that the shim could not be put in. Return the error as text."""
        text = f"{type(error).__name__}: {error}"
        # If warnings are errors: this may be an import of torch's.
        with suppress(CompatWarning):
            warnings.warn(self.explain(text), CompatWarning, stacklevel=3)
        return text

    def explain(self, error: str) -> str:
        """Return the sentence that says why the shim is not active."""
        return f"{self.name} could not be put into torch, which stays as it is: {error}"


def _all_hold(requirements: Iterable[Requirement]) -> bool:
    return all(answer(required, live_reader()).holds for required in requirements)


@cache
def all_shims() -> tuple[Shim, ...]:
    """Return every shim, in the order of the newest adapter. Imports their modules."""
    names = [name for name in NAMES if name not in LEFT_OUT]
    modules = [importlib.import_module(f"{__package__}.{name}") for name in names]
    return tuple(module.SHIM for module in modules)


def named(names: Iterable[str]) -> tuple[Shim, ...]:
    """Return the shims with these names. Raises ValueError for one that is not here."""
    known = {shim.name: shim for shim in all_shims()}
    for name in names:
        if name not in known:
            raise ValueError(explain_missing(name, known))
    return tuple(known[name] for name in names)
