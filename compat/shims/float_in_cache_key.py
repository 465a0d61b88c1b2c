"""`float_in_cache_key`: serve a cached graph only for the floats that it was made for.

Symptom: A Python float that changes between calls keeps an **old value**, without an
error. It happens to clamp limits, attention scales, the eps of a norm, pad values and
others. Dynamo passes the float to the graph as a tensor, and the graph is the same for
all values. If AOTAutograd cannot compute with that tensor, it compiles the value into
the code and adds a guard. AOTAutograd's cache knows neither: its key has no value, and
it keeps guards of integers only. So the next value gets the code of an earlier one.
Upstream: pytorch#194976, partly repaired in 2.15.0; pytorch#197889, open.
Affected: every torch so far (2.15). On 2.15 fewer operators are affected.
Removal: when every supported torch tells such entries apart.

The shim saves the guards of floats with each entry. A lookup checks them. A hit adds
them to the guards of this process: otherwise the next value would run the code of the
hit. If a value is compiled in before AOTAutograd starts, it becomes a part of the key.
Code that computes with any value is still shared by all values.

Entries that torch saved without the shim stay wrong. So the keys of all graphs with
floats change, and torch does not read these entries. Other graphs keep their keys.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Behaves, Parameters, Refers, Symbol, Takes
from .base import Shim

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_KEY = f"{_CACHE}:autograd_cache_key"
_LOAD = f"{_CACHE}:AOTAutogradCache.try_load"
_GUARDS = f"{_CACHE}:AOTAutogradCache.generate_guards_expression"
_EVALUATE = f"{_CACHE}:AOTAutogradCache.evaluate_guards"
_TENSORIFY = "torch.fx.passes._tensorify_python_scalars:tensorify_python_scalars"
_FAKE = "torch._subclasses.fake_tensor:FakeTensor"
_SYMBOLIC = "torch.fx.experimental.symbolic_shapes"

_REVISION = 1
# The symbolic floats of the graph that this thread or task is looking up.
_looked_up: ContextVar[tuple[Any, ...]] = ContextVar("compat_floats", default=())
_STARTS_OVER = "starts over for a float that a guard has pinned"
# The attribute of AOTAutogradCacheInfo that carries them from the lookup to the save.
_ATTRIBUTE = "compat_floats"


def _floats(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Return the symbolic floats among the inputs of a graph, in their order.

    An input of a partition can be a symbolic float itself. Otherwise the input is a
    tensor of no dimension that remembers one. Dynamo makes such a tensor of a Python
    float, and torch treats a float64 tensor of the user in the same way.
    """
    sym_float = sys.modules["torch"].SymFloat
    fake_tensor = sys.modules["torch._subclasses.fake_tensor"].FakeTensor
    found = (v.item_memo if isinstance(v, fake_tensor) else v for v in inputs)
    return tuple(
        v for v in found if isinstance(v, sym_float) and v.node.hint is not None
    )


def _is_compiled_in(symbol: Any) -> bool:
    """Return whether a guard pins this float to its value."""
    expression = symbol.node.expr
    equality = sys.modules["sympy"].Equality
    return expression.is_number or any(
        isinstance(guard.expr, equality)
        and expression.free_symbols & guard.expr.free_symbols
        for guard in symbol.node.shape_env.guards
    )


def _tells_of_nan(guard: str) -> bool:
    """Return whether the guard says of one input that it is not NaN."""
    # No symbolic float is, so the guard always holds. To evaluate it, torch would pin
    # the float to its value, and each new value would compile again.
    number = guard.removeprefix("not math.isnan(L['t").removesuffix("'])")
    return number.isdecimal()


def _argument(wrapper: Wrapper, name: str, args: Any, named: Any) -> Any:
    """Return an argument of the function, passed by position or by keyword."""
    at = wrapper.original.__code__.co_varnames.index(name)
    return named[name] if name in named else args[at]


def _replace_autograd_cache_key(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `autograd_cache_key` mark graphs with floats, and add compiled-in values."""

    def autograd_cache_key(*args: Any, **named: Any) -> Any:
        key, lines = wrapper.next(*args, **named)
        floats = _floats(_argument(wrapper, "example_inputs", args, named))
        if floats:
            values = [
                f"{at}:{float(symbol.node.hint)!r}"
                for at, symbol in enumerate(floats)
                if _is_compiled_in(symbol)
            ]
            text = f"float_in_cache_key/{_REVISION} {' '.join(values)}"
            key += hashlib.sha256(text.encode()).hexdigest()[:32]
            lines = [*lines, f"[{key}] compat: {text}"]
        return key, lines

    return autograd_cache_key


def _replace_try_load(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `try_load` remember the floats, for the lookup and for a later save."""

    def try_load(*args: Any, **named: Any) -> Any:
        # A compound expression, which a partition can get, has no symbol of its own
        # that a guard could name.
        floats = tuple(
            symbol
            for symbol in _floats(_argument(wrapper, "args", args, named))
            if symbol.node.expr.is_symbol or symbol.node.expr.is_number
        )
        if not floats:
            return wrapper.next(*args, **named)
        token = _looked_up.set(floats)
        try:
            result = wrapper.next(*args, **named)
        finally:
            _looked_up.reset(token)
        # From 2.13 on torch returns a new configuration.
        config = _argument(wrapper, "aot_config", args, named)
        config = result[1] if isinstance(result, tuple) else config
        if config.cache_info is not None:
            setattr(config.cache_info, _ATTRIBUTE, floats)
        return result

    return try_load


def _replace_generate_guards(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `generate_guards_expression` write the guards of floats, too."""

    def generate_guards_expression(cls: Any, cache_info: Any) -> Any:
        floats = vars(cache_info).get(_ATTRIBUTE, ())
        if not floats:
            return wrapper.next(cls, cache_info)
        integers = cache_info.forward_symints
        try:
            # Torch writes guards of floats as well, if it is given the floats.
            both = replace(cache_info, forward_symints=[*integers, *floats])
            parts = (wrapper.next(cls, both) or "").split(" and ")
            return " and ".join(part for part in parts if not _tells_of_nan(part))
        except Exception:  # an entry must not end the compile
            text = "cannot write the guards of floats; the entry is for these values"
            logging.getLogger(_CACHE).info(text, exc_info=True)
            equal = [
                f"L['t{at}'] == {float(symbol.node.hint)!r}"
                for at, symbol in enumerate(floats, len(integers))
            ]
            return " and ".join(filter(None, [wrapper.next(cls, cache_info), *equal]))

    return generate_guards_expression


def _replace_evaluate_guards(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `evaluate_guards` check the guards of floats, too."""

    def evaluate_guards(expression: Any, hints: Any) -> Any:
        floats = _looked_up.get()
        if floats and (not hints or isinstance(hints[0], int)):
            # A lookup. If an entry does not fit, its guards must not become guards of
            # this process, so torch gets plain values.
            values = [symbol.node.hint for symbol in floats]
            fits = wrapper.next(expression, [*hints, *values])
            # Without integers, torch asks for a lookup and for a hit in the same form.
            # If the entry fits, the guards are added for both.
            if hints or not fits:
                return fits
        return wrapper.next(expression, [*hints, *floats])

    return evaluate_guards


def _explain_stale(tensorify: Callable[..., Any]) -> str | None:
    """Try a graph that multiplies by a float, after a guard has pinned the float.

    A repaired torch starts over and makes the value a part of the graph. This takes a
    millisecond.
    """
    torch, fx = sys.modules["torch"], sys.modules["torch.fx"]
    symbolic, source = sys.modules[_SYMBOLIC], sys.modules["torch._dynamo.source"]
    state = sys.modules["torch._dynamo.symbolic_convert"].TensorifyState
    restart = sys.modules["torch._dynamo.exc"].TensorifyScalarRestartAnalysis
    shapes = symbolic.ShapeEnv()
    fake = sys.modules["torch._subclasses.fake_tensor"].FakeTensorMode(shape_env=shapes)
    name = source.FloatTensorSource(source.LocalSource("compat_float_in_cache_key"))
    scalar = fake.from_tensor(torch.tensor(0.5, dtype=torch.float64), source=name)
    float(scalar.item_memo + 1)
    tensor = fake.from_tensor(torch.ones(2))
    graph = fx.Graph()
    inputs = graph.placeholder("x"), graph.placeholder("s")
    item = graph.call_function(torch.ops.aten._local_scalar_dense.default, inputs[1:])
    product = graph.call_function(torch.ops.aten.mul.Tensor, (inputs[0], item))
    values = (tensor, scalar, scalar.item_memo, tensor)
    for node, value in zip((*inputs, item, product), values):
        node.meta["val"] = value
    graph.output((product,))
    before = set(state.force_specializations)
    try:
        tensorify(fx.GraphModule(torch.nn.Module(), graph), shapes, fake)
    except restart:
        return None
    finally:
        state.force_specializations.intersection_update(before)
    return "it leaves the float a symbol that its guard pins to one value"


SHIM = Shim(
    name="float_in_cache_key",
    kind="fix",
    upstream="pytorch#197889, open; pytorch#194976, partly in torch 2.15.0",
    # Only the keys of graphs with floats change, and here it changes them itself.
    changes_codegen=False,
    revision=_REVISION,
    # The source does not tell in which words torch will repair it: the check tries it.
    native=(Behaves(_TENSORIFY, _STARTS_OVER, _explain_stale),),
    backport=(
        Symbol(_KEY, "function"),
        Takes(_KEY, "example_inputs"),
        Symbol(_LOAD, "function"),
        Takes(_LOAD, "args"),
        Takes(_LOAD, "aot_config"),
        Symbol(_GUARDS, "function"),
        Parameters(_GUARDS, ("cls", "cache_info")),
        Refers(_GUARDS, "forward_symints"),
        Symbol(_EVALUATE, "function"),
        Parameters(_EVALUATE, ("guard_expr", "hints")),
        Refers(_EVALUATE, "evaluate_guards_expression"),
        Symbol(f"{_FAKE}.item_memo", "value"),
        Refers(f"{_SYMBOLIC}:ShapeEnv.produce_guards", "produce_guards_verbose"),
    ),
    replacements={
        _KEY: _replace_autograd_cache_key,
        _LOAD: _replace_try_load,
        _GUARDS: _replace_generate_guards,
        _EVALUATE: _replace_evaluate_guards,
    },
)
