"""The device of the tests in `tests/gpu/`, and processes that compute on it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

DEVICE = os.environ.get("COMPAT_TEST_DEVICE", "cuda")
ON_CPU = DEVICE == "cpu"
TESTS = Path(__file__).parents[1]


def absence() -> str | None:
    """Return why no test can run on the device, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.empty(1, device=DEVICE)
    except Exception as error:  # noqa: BLE001 (each kind of device has errors of its own)
        kind = "GPU" if DEVICE.startswith("cuda") else DEVICE
        return f"torch sees no {kind}: {str(error).splitlines()[0][:80]}"
    return None


def card() -> str:
    """Return the name of the GPU, or "CPU"."""
    return str(torch.get_device_module(DEVICE).get_device_name(DEVICE)) if not ON_CPU else "CPU"


def on_device(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a module-level function in a new process, with the device as torch's default one. Return its result.

    A forked process cannot use a GPU that its parent has used, so this one imports torch anew.

    Raises:
        AssertionError: the process failed. The message is the end of its stderr.
    """
    folders = [path for path in sys.path if TESTS in Path(path).parents]
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = os.pathsep.join([*given, *folders, str(TESTS), str(TESTS.parent)])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        variables = {"PYTHONPATH": paths, "TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__],
            env=os.environ | variables,
            input=pickle.dumps((function, arguments)),
            capture_output=True,
            timeout=280,
        )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return pickle.loads(done.stdout)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of the function must not mix with the answer
    torch.set_default_device(DEVICE)
    function, arguments = pickle.load(sys.stdin.buffer)
    pickle.dump(function(*arguments), answers)
    answers.close()


if __name__ == "__main__":
    _serve()
