"""Torch's own behaviour stays its own: models through `torch.compile` and `torch.export`, with all shims and without.

What comes out is equal bit by bit: also for the shims that change generated code, for the fixes only change what was
wrong, and `realize_on_reuse` is exact.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import ROOT, needs_compiler
from models import MODELS


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    """What every model gives, without shims and with all of them."""
    found = []
    for words in ([], ["with"]):
        paths = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(ROOT)]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", "tests/models.py", *words]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=1500)
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [one["name"] for one in said] == [*MODELS], done.stderr[-2000:]
        found.append({one["name"]: one for one in said})
    return found


@needs_compiler
@pytest.mark.slow
@pytest.mark.xdist_group("models")  # one process for all that share the outcomes
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_same_bits_with_all_shims(name: str, outcomes: list[dict[str, Any]]) -> None:
    without, with_shims = (outcome[name] for outcome in outcomes)
    assert {"lazy_graph_module", "realize_on_reuse"} <= {*with_shims["active"]}
    assert isinstance(without["results"], list), without["results"]
    assert with_shims["results"] == without["results"]
