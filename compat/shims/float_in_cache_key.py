"""`float_in_cache_key`: a cached graph is served only for the Python floats that it was compiled for.

Symptom: a Python float that changes between calls (a clamp limit, an attention scale, the eps of a norm, a pad value)
keeps an old value, without an error. Dynamo passes the float to the graph as a tensor, and the graph is the same for
all values. If AOTAutograd cannot compute with that tensor, it compiles the value into the code and adds a guard.
AOTAutograd's cache knows neither: its key has no value, and it keeps guards of integers only. So the next value gets
the code of an earlier one.
Upstream: pytorch#194976, partly fixed in 2.15.0 (pytorch#195040); pytorch#197889, open.
Affected: every torch so far (2.15). On 2.15.0 fewer operators are affected. Entries that were saved without this shim
are wrong for good, so the shim is part of the cache keys, and they are not read.
Removal: when every supported torch has it.

This shim saves the guards of floats with each entry. A lookup checks them, and a hit adds them to the guards of this
process: without that, the next value would run the code that the cache gave. If a value is compiled in already before
AOTAutograd starts, it becomes a part of the key. Graphs that compute with any value are still shared by all values.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from ..cache import KEYED
from ..patch import Layer
from ..replacing import replacing
from ..requirements import Behaves, Parameters, Refers, Symbol, Takes

_CACHE = "torch._functorch._aot_autograd.autograd_cache"
_KEY = f"{_CACHE}:autograd_cache_key"
_LOAD = f"{_CACHE}:AOTAutogradCache.try_load"
_GUARDS = f"{_CACHE}:AOTAutogradCache.generate_guards_expression"
_EVALUATE = f"{_CACHE}:AOTAutogradCache.evaluate_guards"
_TENSORIFY = "torch.fx.passes._tensorify_python_scalars:tensorify_python_scalars"
_FAKE = "torch._subclasses.fake_tensor:FakeTensor"
_SYMBOLIC = "torch.fx.experimental.symbolic_shapes"

# The symbolic floats of the graph that this thread or task is looking up.
_looked_up: ContextVar[tuple[Any, ...]] = ContextVar("compat_floats", default=())
_ATTRIBUTE = "compat_floats"  # where AOTAutogradCacheInfo carries them from the lookup to the save


def _floats(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Return the symbolic floats among the inputs of a graph, in their order.

    An input is one itself (in a partition of a graph), or it is a tensor of no dimension that remembers one: Dynamo
    makes such a tensor of a Python float, and torch treats a float64 tensor of the user in the same way.
    """
    sym_float = sys.modules["torch"].SymFloat
    fake_tensor = sys.modules["torch._subclasses.fake_tensor"].FakeTensor
    found = (value.item_memo if isinstance(value, fake_tensor) else value for value in inputs)
    return tuple(value for value in found if isinstance(value, sym_float) and value.node.hint is not None)


def _is_compiled_in(symbol: Any) -> bool:
    """Whether a guard pins this float to its value."""
    expression = symbol.node.expr
    equality = sys.modules["sympy"].Equality
    return expression.is_number or any(
        isinstance(guard.expr, equality) and expression.free_symbols & guard.expr.free_symbols
        for guard in symbol.node.shape_env.guards
    )


def _add_values(layer: Layer) -> Callable[..., Any]:
    def autograd_cache_key(mod: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        key, lines = layer.below.call(mod, inputs, *rest, **named)
        values = [f"{at}:{float(s.node.hint)!r}" for at, s in enumerate(_floats(inputs)) if _is_compiled_in(s)]
        if values:
            key += hashlib.sha256(" ".join(values).encode()).hexdigest()[:32]
            lines = [*lines, f"[{key}] compat_float_values: {values}"]
        return key, lines

    return autograd_cache_key


def _remember(layer: Layer) -> Callable[..., Any]:
    def try_load(mod: Any, args: Any, aot_config: Any, *rest: Any, **named: Any) -> Any:
        # A compound expression (the input of a partition) has no symbol of its own that a guard could name.
        floats = tuple(s for s in _floats(args) if s.node.expr.is_symbol or s.node.expr.is_number)
        if not floats:
            return layer.below.call(mod, args, aot_config, *rest, **named)
        token = _looked_up.set(floats)
        try:
            result = layer.below.call(mod, args, aot_config, *rest, **named)
        finally:
            _looked_up.reset(token)
        config = result[1] if isinstance(result, tuple) else aot_config  # from 2.13 on it returns a new one
        if config.cache_info is not None:
            setattr(config.cache_info, _ATTRIBUTE, floats)
        return result

    return try_load


def _save_guards(layer: Layer) -> Callable[..., Any]:
    def generate_guards_expression(cls: Any, cache_info: Any) -> Any:
        floats = vars(cache_info).get(_ATTRIBUTE, ())
        if not floats:
            return layer.below.call(cls, cache_info)
        integers = cache_info.forward_symints
        try:
            # Torch writes guards of floats as well, if it is given the floats.
            return layer.below.call(cls, replace(cache_info, forward_symints=[*integers, *floats]))
        except Exception:  # noqa: BLE001 (a guard that torch cannot write must not end the compile)
            logging.getLogger(_CACHE).info("cannot write the guards of floats", exc_info=True)
            equal = [f"L['t{at}'] == {float(s.node.hint)!r}" for at, s in enumerate(floats, len(integers))]
            return " and ".join(filter(None, [layer.below.call(cls, cache_info), *equal]))

    return generate_guards_expression


def _check_guards(layer: Layer) -> Callable[..., Any]:
    def evaluate_guards(expression: Any, hints: Any) -> Any:
        floats = _looked_up.get()
        if floats and (not hints or isinstance(hints[0], int)):
            # A lookup. The guards of an entry that does not fit must not become guards of this process.
            plain = layer.below.call(expression, [*hints, *(s.node.hint for s in floats)])
            # Without integers torch asks for a lookup and for a hit in the same form. If the entry fits, both are one.
            if hints or not plain:
                return plain
        return layer.below.call(expression, [*hints, *floats])

    return evaluate_guards


def _explain_stale(tensorify: Callable[..., Any]) -> str | None:
    """Try a graph that multiplies by a float, after a guard has pinned the float to its value.

    A repaired torch starts over and makes the value a part of the graph. This takes a millisecond.
    """
    torch, fx = sys.modules["torch"], sys.modules["torch.fx"]
    symbolic, source = sys.modules[_SYMBOLIC], sys.modules["torch._dynamo.source"]
    state = sys.modules["torch._dynamo.symbolic_convert"].TensorifyState
    restart = sys.modules["torch._dynamo.exc"].TensorifyScalarRestartAnalysis
    shapes = symbolic.ShapeEnv()
    mode = sys.modules["torch._subclasses.fake_tensor"].FakeTensorMode(shape_env=shapes)
    where = source.FloatTensorSource(source.LocalSource("compat_float_in_cache_key"))
    scalar = mode.from_tensor(torch.tensor(0.5, dtype=torch.float64), source=where)
    float(scalar.item_memo + 1)
    tensor = mode.from_tensor(torch.ones(2))
    graph = fx.Graph()
    placeholders = graph.placeholder("x"), graph.placeholder("s")
    item = graph.call_function(torch.ops.aten._local_scalar_dense.default, placeholders[1:])
    product = graph.call_function(torch.ops.aten.mul.Tensor, (placeholders[0], item))
    for node, value in zip((*placeholders, item, product), (tensor, scalar, scalar.item_memo, tensor)):
        node.meta["val"] = value
    graph.output((product,))
    before = set(state.force_specializations)
    try:
        tensorify(fx.GraphModule(torch.nn.Module(), graph), shapes, mode)
    except restart:
        return None
    finally:
        state.force_specializations.intersection_update(before)
    return "it leaves the float a symbol that its guard pins to one value"


SHIM = replacing(
    {_KEY: _add_values, _LOAD: _remember, _GUARDS: _save_guards, _EVALUATE: _check_guards},
    name="float_in_cache_key",
    kind="fix",
    upstream="pytorch#197889, open; pytorch#194976, partly in torch 2.15.0",
    changes_codegen=True,
    revision=1,
    # The sources do not tell: nobody knows in which words upstream will repair it. The check tries it.
    native=(Behaves(_TENSORIFY, "starts over for a float that a guard has pinned", _explain_stale),),
    backport=(
        *KEYED,
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
)
