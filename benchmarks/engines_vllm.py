"""vLLM's `split_graph` as shipped, in torch's own lazy context, and with the context of a vendored `compat`; then
`compat` and vLLM's `env_override` together, in both orders of import.

Run in an environment with vLLM, the torch that it pins, and compat. With 0.33.0 (torch 2.14.0), vLLM's split is lazy
without compat, which gains nothing there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engines import Engine, measure, python

VLLM = Engine(
    name="vllm",
    file="vllm.compilation.backends",
    edits={
        "from torch.fx._lazy_graph_module import _use_lazy_graph_module\n": (
            "from vllm._vendor.compat import lazy_graph_module as _use_lazy_graph_module\n"
        )
    },
    attention="compat_demo::attention",
    least={"0.22.1": {57: 3.0, 161: 2.7}, "0.33.0": {}},
)

TOGETHER = """
import importlib.util, json, sys
def ours():  # not as part of vllm, whose import runs env_override
    spec = importlib.util.spec_from_file_location("ours", {init!r})
    sys.modules["ours"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["ours"])
    sys.modules["ours"].install("lazy_graph_module")
def theirs():
    import vllm.env_override
for step in ({order}):
    step()
import torch
from torch.fx._lazy_graph_module import _LazyGraphModule, _get_graph_module_cls
from torch.fx.passes.split_module import split_module
def split():
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    parts = split_module(graph, torch.nn.Module(), lambda node: int(node.name == "relu"))
    return "lazy" if isinstance(parts.submod_0, _LazyGraphModule) else "plain"
def by_vllm():
    spaces = [(name, module) for name, module in list(sys.modules.items()) if name.partition(".")[0] == "torch"]
    spaces += [(f"{{name}}.{{key}}", value) for name, module in spaces for key, value in list(vars(module).items())
               if isinstance(value, type) and value.__module__ == name]
    return sorted(f"{{name}}.{{key}}" for name, space in spaces for key, value in list(vars(space).items())
                  if str(getattr(value, "__module__", "")).partition(".")[0] == "vllm")
found = {{"split": split()}}
function = lambda x: torch.softmax(x, -1) * 2
x = torch.randn(8, 64)
found["compiles"] = torch.allclose(torch.compile(function)(x), function(x))
if "ours" in sys.modules:
    copy = sys.modules["ours"]
    found["mode"] = copy.status()[0].mode
    copy.uninstall("lazy_graph_module")
found["split_after"] = split()
found["own_code_after"] = [f.__code__.co_name for f in (split_module, _get_graph_module_cls)]
found["torch_names_by_vllm"] = by_vllm()  # after a compilation: some go in when Inductor is first used
print()
print(json.dumps(found))
"""


def together(copy: Path) -> dict[str, Any]:
    orders = {"env_override alone": "theirs,", "env_override first": "theirs, ours", "compat first": "ours, theirs"}
    init = str(copy / "__init__.py")
    found = {
        name: json.loads(python(TOGETHER.format(init=init, order=order)).splitlines()[-1])
        for name, order in orders.items()
    }
    alone, *both = found.values()
    assert alone["split"] == "plain"
    assert alone["torch_names_by_vllm"]
    for one in both:
        assert one["mode"] in ("backport", "native")
        assert (one["split"], one["split_after"]) == ("lazy", "plain")
        assert one["compiles"]
        assert one["torch_names_by_vllm"] == alone["torch_names_by_vllm"]
    return {"with_env_override": found}


if __name__ == "__main__":
    measure(VLLM, together)
