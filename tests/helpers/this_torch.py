"""The installed torch: its release, the mode that `lazy_graph_module` can have on it, and skip marks."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

try:
    import torch

    VERSION = torch.__version__
except ModuleNotFoundError:
    VERSION = "2.11.0"  # without torch run the tests that need none, as with the torch of the demo

ROOT = Path(__file__).parents[2]
RELEASE = tuple(int(number) for number in re.findall(r"\d+", VERSION)[:2])
# The mode in which `lazy_graph_module` can work on this torch, and the word that requests it. Both follow upstream's
# history (pytorch#177907), not compat's own answer.
WORKING = "native" if RELEASE >= (2, 12) else "backport"
ASK = "auto" if RELEASE >= (2, 11) else "backport"

# Inductor's CPU kernels are C++, so without a compiler the tests that run them are skipped.
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler, which Inductor needs"
)

# Tests that do not depend on the version of torch run on one torch only, that of the demo.
same_on_every_torch = pytest.mark.skipif(RELEASE != (2, 11), reason="does not depend on torch: runs with 2.11 only")

# Tests that take long run by default on the torch that has most backports. On other torches they are slow tests.
SLOW_ELSEWHERE = () if RELEASE == (2, 11) else (pytest.mark.slow,)


def slow(parameter: object) -> object:
    """Leave the parameter of a test to `nox -s matrix` and `nox -s proof`."""
    return pytest.param(parameter, marks=pytest.mark.slow)
