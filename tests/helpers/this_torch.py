"""What depends on the installed torch: its release, the mode that `lazy_graph_module` can have on it, skip marks."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
RELEASE = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
# What `lazy_graph_module` can be on this torch, and the word that gets it. By upstream (pytorch#177907), not by compat.
WORKING = "native" if RELEASE >= (2, 12) else "backport"
ASK = "auto" if RELEASE >= (2, 11) else "backport"

# Inductor's CPU kernels are C++. What needs them is skipped, with this reason, where nobody can compile them.
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler, which Inductor needs"
)

# What does not hang on the version of torch is asked with one alone: that of the demo.
same_on_every_torch = pytest.mark.skipif(RELEASE != (2, 11), reason="comes out alike on every torch: run with 2.11")
