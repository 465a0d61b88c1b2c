"""SGLang's compilation backend, which opens no lazy context, as shipped and with a vendored `compat`.

Run in an environment with SGLang 0.5.17 or 0.5.23, the torch that it pins, and compat.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from engines import Engine, measure

SGLANG = Engine(
    name="sglang",
    file="sglang.srt.compilation.backend",
    edits={
        "import torch.fx as fx\n": "import torch.fx as fx\nfrom sglang._vendor.compat import lazy_graph_module\n",
        "    split_gm = torch.fx.passes": "    with lazy_graph_module():\n        split_gm = torch.fx.passes",
    },
    attention="compat_demo.attention.default",
    least={"0.5.17": {57: 3.0, 161: 2.7}, "0.5.23": {57: 2.5, 161: 2.5}},
)


# The module in 0.5.17, and in 0.5.23.
WEAK_REFERENCES = (
    "sglang.srt.compilation.weak_ref_tensor",
    "sglang.srt.model_executor.runner_backend_utils.weak_ref_tensor",
)


def without_gpu() -> None:
    """Without one the backend's file cannot be imported, for the sake of a function that a split never calls."""
    if torch.cuda.is_available():
        return
    for name in WEAK_REFERENCES:
        stub = ModuleType(name)
        stub.weak_ref_tensors = stub.weak_ref_tensor = None
        sys.modules[name] = stub


if __name__ == "__main__":
    without_gpu()
    measure(SGLANG)
