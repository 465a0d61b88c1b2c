"""A backend that runs Inductor's passes and then the graph, without generated code.

It tells in a second what the passes make of a program. The result of the lowering needs
a C++ compiler, and half a minute.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch


class Passes:
    """Give `compile` to get a function compiled; `graphs` has the text of its graphs."""

    def __init__(self) -> None:
        self.graphs: list[str] = []

    def compile(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return torch.compile(function, fullgraph=True, backend=self._backend, **options)

    def _backend(self, module: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        from torch._inductor.compile_fx import compile_fx

        return compile_fx(module, inputs, inner_compile=self._run_passes)

    def _run_passes(self, module: torch.fx.GraphModule, inputs: Any, **options: Any) -> Any:
        from torch._dynamo.utils import detect_fake_mode
        from torch._inductor.compile_fx import _recursive_post_grad_passes, view_to_reshape
        from torch._inductor.virtualized import V
        from torch.fx.passes.fake_tensor_prop import FakeTensorProp

        mode = detect_fake_mode(inputs)
        view_to_reshape(module)
        FakeTensorProp(module, mode=mode).propagate_dont_convert_inputs(*inputs)
        with V.set_fake_mode(mode):
            inference = options.get("is_inference", False)
            _recursive_post_grad_passes(module, is_inference=inference)
        # An op on lists that writes in place returns nothing, and has dead readers.
        module.graph.eliminate_dead_code()
        module.recompile()
        self.graphs.append(re.sub(r"\s*#.*", "", module.print_readable(False)))

        def run(arguments: list[Any]) -> Any:
            return module(*arguments)

        run._boxed_call = True  # type: ignore[attr-defined]
        return run
