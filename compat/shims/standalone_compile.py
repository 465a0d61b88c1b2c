"""`standalone_compile`: compile a graph under the caller's fake mode.

Symptom: `standalone_compile` makes a fake mode of its own, so the caller's symbols are
lost. Up to 2.10 it raises AssertionError for inputs that belong to another fake mode.
An engine replaces `FakeTensorMode` in torch's module around each call, for all threads.
Upstream: pytorch#176562. The parameter `fake_mode` came in 2.13.
Affected: up to 2.12.
Removal: when no supported torch is older than 2.13.

The backport runs copies of torch's own functions. Their globals are torch's, except
that the caller's mode stands in for a new one. Nothing is changed in torch.
"""

# No `from __future__ import annotations`: beartype cannot resolve the strings that it
# makes of the annotations of a NamedTuple.
import importlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from ..errors import UnsupportedError
from ..patching.bytecode import copied
from ..probe.definition import Definition, nested
from ..probe.requirements import Symbol, Takes
from ._calls import demanded_mode, taken_options
from .base import Shim

_MODULE = "torch._inductor.standalone_compile"
_TARGET = f"{_MODULE}:standalone_compile"
# Up to 2.11 the function makes its fake mode. From 2.12 on its context gets one.
_MAKES = "FakeTensorMode"
_CONTEXT, _RESOLVES = "_standalone_context", "_resolve_fake_mode"
_FROM_INPUTS = "from_example_inputs"


class _MakesFakeMode(NamedTuple):
    """The function makes its fake mode in a way that a copy of it can change."""

    target: str = _TARGET

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        names = {name for code in nested(definition.code) for name in code.co_names}
        return None if names & {_MAKES, _CONTEXT} else "its body refers to neither"

    def __str__(self) -> str:
        return f"{self.target} refers to {_MAKES} or {_CONTEXT}"


def standalone_compile(
    gm: Any,
    example_inputs: Any,
    *,
    fake_mode: Any = None,
    dynamic_shapes: str = "from_graph",
    options: Mapping[str, Any] | None = None,
    aot: bool = False,
    donate_graph_module: bool = False,
) -> Any:
    """Compile a graph with Inductor, under the caller's fake mode.

    Up to torch 2.12, copies of torch's own functions run with the caller's mode.

    Args:
        gm: a torch.fx.GraphModule.
        example_inputs: tensors, fake tensors and numbers, one for each placeholder.
        fake_mode: a FakeTensorMode with a ShapeEnv, for "from_example_inputs" alone.
        dynamic_shapes: "from_graph", "from_example_inputs" or "from_tracing_context".
        options: arguments for Inductor's `compile_fx`, such as `config_patches`.
        aot: return an artifact that holds a serializable function (from 2.10 on).
        donate_graph_module: torch need not copy the graph (it does up to 2.11).

    Returns:
        A `CompiledArtifact` of torch. It can be called, and saved.

    Raises:
        ValueError: the fake mode has no ShapeEnv, or does not go with dynamic_shapes.
        UnsupportedError: this torch lacks `aot`, or takes no fake mode in any way.

    Source: pytorch#176562.

    """
    given: dict[str, Any] = {"dynamic_shapes": dynamic_shapes, "aot": aot}
    given |= {"options": dict(options or {})}
    given |= {"donate_graph_module": donate_graph_module}
    return _compile(gm, example_inputs, fake_mode, given)


def _compile(
    gm: Any, example_inputs: Any, fake_mode: Any, options: dict[str, Any]
) -> Any:
    """Call torch's function, or a copy of it that uses the fake mode."""
    if fake_mode is None:
        return _torchs()(gm, example_inputs, **_taken(_torchs(), options))
    mode = demanded_mode(SHIM)
    if options["dynamic_shapes"] != _FROM_INPUTS:
        words = f"dynamic_shapes is {options['dynamic_shapes']!r}"
        raise ValueError(f'{words}; with a fake_mode it can be "{_FROM_INPUTS}"')
    if fake_mode.shape_env is None:
        raise ValueError("fake_mode has no ShapeEnv; make it with one")
    if mode == "native":
        taken = _taken(_torchs(), options)
        return _torchs()(gm, example_inputs, **taken, fake_mode=fake_mode)
    function = _with_fake_mode(importlib.import_module(_MODULE), fake_mode)
    return function(gm, example_inputs, **_taken(function, options))


def _torchs() -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = importlib.import_module(
            "torch._inductor"
        ).standalone_compile
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(f"{SHIM.name}: {error}") from error
    return function


def _taken(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the function takes. Raises UnsupportedError for `aot`."""
    # `donate_graph_module` saves a copy of the graph. Without it torch makes the copy.
    unneeded = {"donate_graph_module", "" if options["aot"] else "aot"}
    return taken_options(SHIM, function, options, unneeded)


def _with_fake_mode(module: ModuleType, fake_mode: Any) -> Callable[..., Any]:
    """Return a copy of torch's function that uses this fake mode."""

    def given(*_: Any, **__: Any) -> Any:
        return fake_mode

    space = {**vars(module), _MAKES: given, _RESOLVES: given}
    if _CONTEXT in space:
        around = space[_CONTEXT].__wrapped__
        if _RESOLVES not in around.__code__.co_names:
            words = f"{_CONTEXT} does not refer to {_RESOLVES}"
            raise UnsupportedError(f"{SHIM.name}: {words}")
        space[_CONTEXT] = contextmanager(copied(around, names=space))
    return copied(module.standalone_compile, names=space)


SHIM = Shim(
    name="standalone_compile",
    kind="api",
    upstream="pytorch#176562; the parameter came in torch 2.13.0",
    changes_codegen=False,
    revision=1,
    native=(Takes(_TARGET, "fake_mode"),),
    backport=(
        Symbol(_TARGET, "function"),
        Takes(_TARGET, "dynamic_shapes"),
        Takes(_TARGET, "options"),
        _MakesFakeMode(),
    ),
    replacements={},
)
