"""Call private functions of torch by one name, on every torch that has them.

Each function stands for private names that move between releases of torch, or for a
patch that engines put around a call. Requirements choose how it works on this torch, as
they do for a shim. `compat.status()` lists each function with its mode, as kind "api".

These calls are asked for by name, so none does nothing in silence. If this torch cannot
have it, or if `TORCH_COMPAT=noop` is set, `UnsupportedError` gives the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, MutableSet
from typing import Any, Literal

from .errors import UnsupportedError
from .patching.context import Context
from .shims import LEFT_OUT, explain_missing

__all__ = [
    "cache_outside_dynamo",
    "custom_class_base",
    "observe_cache_keys",
    "register_custom_class",
    "standalone_compile",
    "trace_files",
]


def _shim(name: str) -> Any:
    """Import the file of the shim. Nothing is imported before the first call."""
    if name in LEFT_OUT:
        raise UnsupportedError(explain_missing(name, ()))
    return importlib.import_module(f".shims.{name}", __package__)


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

    Without a fake mode it is `torch._inductor.standalone_compile`, which takes one from
    2.13 on. Up to 2.12, copies of torch's functions run with the caller's mode. Nothing
    is changed in torch. Works from 2.9.1 on. Source: pytorch#176562.

    Args:
        gm: a torch.fx.GraphModule.
        example_inputs: one tensor, fake tensor or number for each placeholder.
        fake_mode: a FakeTensorMode with a ShapeEnv, such as the one of the inputs. It
            needs `dynamic_shapes="from_example_inputs"`. None: torch chooses.
        dynamic_shapes: "from_graph", "from_example_inputs" or "from_tracing_context".
        options: arguments for Inductor's `compile_fx`, such as `config_patches`.
        aot: return an artifact that holds a serializable function (from 2.10 on).
        donate_graph_module: let torch change the graph, not a copy (from 2.12 on).

    Returns:
        A `CompiledArtifact` of torch. It can be called, and saved.

    Raises:
        ValueError: the fake mode has no ShapeEnv, or lacks its `dynamic_shapes`.
        UnsupportedError: this torch cannot do it, or takes no `aot`.

    """
    given: dict[str, Any] = {"dynamic_shapes": dynamic_shapes, "aot": aot}
    given["options"] = dict(options or {})
    given["donate_graph_module"] = donate_graph_module
    return _shim("standalone_compile").call(gm, example_inputs, fake_mode, **given)


def observe_cache_keys(
    callback: Callable[[str], str | None],
    *,
    cache: Literal["aotautograd", "inductor"] = "aotautograd",
) -> Context:
    """Call back with the cache key of each graph that is compiled.

    Holds for the thread or asyncio task that enters the context, until it is left. The
    callback gets the key that torch will use, after all shims. It is not called for a
    graph without a key: if the cache is off, or cannot take the graph. Nested contexts
    are called from the inside out, and each gets the key that the previous one chose.

    It stands for replacing `autograd_cache_key`, which returns a pair on every torch
    and is called in other ways from 2.12 on, or `compiled_fx_graph_hash`.

    Args:
        callback: gets a key. It returns None to keep the key, or another key. If it
            raises, the compile ends with that exception.
        cache: "aotautograd" for the key of AOTAutograd's cache, which
            `standalone_compile` saves artifacts under; "inductor" for the key of
            Inductor's FX graph cache.

    Returns:
        A context manager. It yields nothing.

    Raises:
        ValueError: the word for the cache is unknown.
        UnsupportedError: this torch computes its keys in another way.

    """
    made: Context = _shim("observe_cache_keys").context(callback, cache)
    return made


def cache_outside_dynamo() -> Context:
    """Let Inductor's caches take graphs that are compiled outside of Dynamo.

    Holds for the thread or asyncio task that enters the context, until it is left. A
    lookup finds a ShapeEnv in which every guard holds, entries are saved without
    guards, and no graph is refused. So the caller must know that code with the same key
    is right for its inputs, and that the graph can be cached: torch would refuse some
    higher-order operators.

    It stands for replacing `FxGraphCache._get_shape_env`, the same function of
    `AOTAutogradCache`, and `FxGraphCache._check_can_cache`. It also covers a direct
    `FxGraphCache._lookup_graph`.

    Returns:
        A context manager. It yields nothing.

    Raises:
        UnsupportedError: this torch decides in another way whether it can cache.

    """
    made: Context = _shim("cache_outside_dynamo").context()
    return made


def custom_class_base() -> type:
    """Return the base class that torch wants for custom (opaque) classes.

    `torch._custom_class_base.CustomClassBase` from 2.14 on, and
    `torch._opaque_base.OpaqueBase` from 2.11 to 2.13. Older torches have none and need
    none, so there it is `object`.
    """
    found: type = _shim("register_custom_class").base()
    return found


def register_custom_class(
    cls: type,
    *,
    typ: Literal["constant", "symbolic"],
    hoist: bool = False,
    guard_fn: Callable[[Any], list[Any]] | None = None,
    members: Mapping[str, Any] | None = None,
    reconstruct_fn: Callable[..., Any] | None = None,
) -> None:
    """Register a custom (opaque) class, so that custom operators can take its objects.

    `torch._library.opaque_object.register_custom_class` from 2.14 on, and
    `register_opaque_type` from 2.10 to 2.13. The words are those of 2.14: a "constant"
    class was a "value", and a "symbolic" one a "reference". None of them warns.

    Args:
        cls: a subclass of `custom_class_base()`.
        typ: "constant" for constants of the graph, "symbolic" for its inputs.
        hoist: make a constant an input of the graph (from 2.11 on).
        guard_fn: returns values of an object to guard on (from 2.11 on).
        members: how each member is traced, as torch's `MemberType` (from 2.11 on).
        reconstruct_fn: rebuilds an object after a compile (from 2.12 on).

    Raises:
        ValueError: the word for the type is unknown, or torch refuses the class.
        TypeError: torch misses a base class or a method (`__eq__`, `__hash__`,
            `__fx_repr__`; on 2.10 `__repr__`).
        UnsupportedError: this torch has no custom classes (2.9.1), or no such option.

    """
    given: dict[str, Any] = {"hoist": hoist, "guard_fn": guard_fn, "members": members}
    given["reconstruct_fn"] = reconstruct_fn
    _shim("register_custom_class").register(cls, typ, **given)


def trace_files(into: MutableSet[str]) -> Context:
    """Add the source file of each function that Dynamo inlines to a set.

    Holds for the captures of the thread or asyncio task that enters the context, until
    it is left. Nested contexts all get the file. The file of the function that the
    capture starts with is not added.

    It stands for replacing `InliningInstructionTranslator.inline_call_`, which Dynamo
    also calls by other ways from 2.13 on.

    Args:
        into: a set of paths, as in `co_filename`.

    Returns:
        A context manager. It yields nothing.

    Raises:
        UnsupportedError: this torch inlines functions in another way.

    """
    made: Context = _shim("trace_files").context(into)
    return made
