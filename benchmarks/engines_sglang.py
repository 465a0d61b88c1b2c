"""SGLang's compilation backend, which opens no lazy context, as shipped and with a vendored `compat`.

Run in an environment with SGLang 0.5.17, the torch that it pins, and compat.
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
    least={57: 3.0, 161: 2.7},
)


def without_gpu() -> None:
    """Without one the backend's file cannot be imported, for the sake of a function that a split never calls."""
    if not torch.cuda.is_available():
        stub = ModuleType("sglang.srt.compilation.weak_ref_tensor")
        stub.weak_ref_tensors = stub.weak_ref_tensor = None
        sys.modules[stub.__name__] = stub


if __name__ == "__main__":
    without_gpu()
    measure(SGLANG)
