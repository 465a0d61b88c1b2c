"""`split_module_tuple_return`: have every partition return a tuple on request.

Symptom: `split_module(..., tuple_return=True)` raises TypeError. Without the parameter,
a partition with one result returns that result bare. `torch._inductor.compile_fx` does
not take that, so engines wrap it themselves.
Upstream: the parameter is in 2.12.0.
Affected: up to 2.11.
Removal: when no supported torch is older than 2.12.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol, Takes
from .base import Shim

_TARGET = "torch.fx.passes.split_module:split_module"


def _replace_split_module(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `split_module` take `tuple_return`."""
    if "tuple_return" not in wrapper.original.__code__.co_varnames:
        # A torch that takes it gets this by mode="backport" alone, and needs no other.
        wrapper.new_parameters = {"tuple_return": False}

    def split_module(*args: Any, tuple_return: bool = False, **kwargs: Any) -> Any:
        result = wrapper.next(*args, **kwargs)
        if tuple_return:
            _wrap_results(result)
        return result

    return split_module


def _wrap_results(split: Any) -> None:
    """Wrap the bare result of each partition in a tuple, and unpack it in the root."""
    fx = sys.modules["torch.fx"]
    # Build the root's graph anew from its first node on. So its nodes get the names
    # that they have on a torch with the parameter.
    graph = fx.Graph()
    copies: dict[Any, Any] = {}
    for node in split.graph.nodes:
        if node.target is operator.getitem:  # in the root, each one unpacks a result
            copies[node] = fx.Proxy(copies[node.args[0]])[node.args[1]].node
            continue
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node.op == "call_module":  # in the root, each one calls a partition
            partition = split.get_submodule(node.target)
            output = next(iter(reversed(partition.graph.nodes)))
            (result,) = output.args
            if isinstance(result, fx.Node):
                output.args = (output.args,)
                partition.recompile()
                copies[node] = fx.Proxy(copies[node])[0].node
    split.graph = graph


SHIM = Shim(
    name="split_module_tuple_return",
    kind="fix",
    upstream="torch 2.12.0",
    changes_codegen=False,
    revision=1,
    # A torch that takes the parameter has the whole behaviour.
    native=(Takes(_TARGET, "tuple_return"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("m", "root_m", "split_callback")),
        # The root calls partitions by one name, and unpacks results by the other.
        Refers(_TARGET, "call_module"),
        Refers(_TARGET, "Proxy"),
    ),
    replacements={_TARGET: _replace_split_module},
)
