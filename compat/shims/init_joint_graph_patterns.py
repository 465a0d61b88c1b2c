"""`init_joint_graph_patterns`: load Inductor's patterns of the joint graph in advance.

Symptom: The first compile on a device traces Inductor's patterns for attention and
padded matmuls, and may wait for the GPU. If every compile of a warm-up is a cache
hit, that happens at a later request. An engine calls `joint_graph.lazy_init` in
advance, which took no argument before 2.11 and keeps its result by device since then.
Upstream: none; `input_device` came in 2.11.
Affected: up to 2.10.
Removal: when no supported torch is older than 2.11.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..probe.requirements import Parameters, Takes
from ._calls import demanded_mode
from .base import Shim

_MODULE = "torch._inductor.fx_passes.joint_graph"
_TARGET = f"{_MODULE}:lazy_init"


def init_joint_graph_patterns(device: Any = None) -> None:
    """Load Inductor's patterns of the joint graph for a device, once a process.

    The first compile on a device does this otherwise. It traces the patterns of
    attention and padded matmuls, and may wait for the GPU. A second call does nothing.

    It stands for `torch._inductor.fx_passes.joint_graph.lazy_init`, which takes the
    device from 2.11 on.

    Args:
        device: the torch.device of the inputs of later compiles, with its index. Up to
            2.10, torch loads the patterns once for all devices.

    Raises:
        UnsupportedError: this torch loads its patterns in another way.

    """
    mode = demanded_mode(SHIM)
    lazy_init = importlib.import_module(_MODULE).lazy_init
    # By position: torch keeps the result by its arguments as they were passed, so a
    # keyword argument would not spare the compile anything.
    lazy_init(*((device,) if mode == "native" else ()))


SHIM = Shim(
    name="init_joint_graph_patterns",
    kind="api",
    upstream="the parameter `input_device` came in torch 2.11.0",
    changes_codegen=False,
    revision=1,
    native=(Takes(_TARGET, "input_device"),),
    backport=(Parameters(_TARGET, ()),),
    replacements={},
)
