"""`auto` never raises and never guesses, whatever stands in for torch: it gives `noop` with the reason."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from helpers.this_torch import same_on_every_torch

# Each piece of code makes one stand-in for torch. It runs in a process that has not imported torch.
STAND_INS = {
    "Mock": "from unittest.mock import Mock\nsys.modules['torch'] = Mock()",
    "MagicMock": "from unittest.mock import MagicMock\nsys.modules['torch'] = MagicMock()",
    "mock with submodules": """
from unittest.mock import MagicMock
for name in ("torch", "torch.fx", "torch.fx.passes", "torch._inductor", "torch.compiler"):
    sys.modules[name] = MagicMock()
""",
    "SimpleNamespace": "sys.modules['torch'] = types.SimpleNamespace(__version__='2.11.0')",
    "object": "sys.modules['torch'] = object()",
    "None": "sys.modules['torch'] = None",
    "empty module": "sys.modules['torch'] = types.ModuleType('torch')",
    "module whose __getattr__ raises": """
class Raising(types.ModuleType):
    def __getattr__(self, name):
        raise RuntimeError(name)
sys.modules['torch'] = Raising('torch')
""",
    "module whose __getattribute__ raises": """
class Raising(types.ModuleType):
    def __getattribute__(self, name):
        raise RuntimeError(name)
sys.modules['torch'] = Raising('torch')
""",
    "module whose __dict__ raises": """
class Raising(types.ModuleType):
    @property
    def __dict__(self):
        raise RuntimeError('no')
sys.modules['torch'] = Raising('torch')
""",
    "object whose __class__ raises": """
class Raising:
    @property
    def __class__(self):
        raise RuntimeError('no')
sys.modules['torch'] = Raising()
""",
    "module whose truth raises": """
class Raising(types.ModuleType):
    def __bool__(self):
        raise RuntimeError('no')
sys.modules['torch'] = Raising('torch')
""",
    "module without a path": "m = types.ModuleType('torch'); m.__path__ = None; sys.modules['torch'] = m",
    "path of numbers": "m = types.ModuleType('torch'); m.__path__ = [1, None]; sys.modules['torch'] = m",
    "path that raises": """
class Path:
    def __iter__(self):
        raise OSError('gone')
m = types.ModuleType('torch'); m.__path__ = Path(); sys.modules['torch'] = m
""",
    "version that is a tuple": """
m = types.ModuleType('torch'); m.__path__ = [sys.prefix]; m.__version__ = (2, 11, 0); sys.modules['torch'] = m
""",
    "version whose __str__ raises": """
class Version(str):
    def __str__(self):
        raise RuntimeError('no')
m = types.ModuleType('torch'); m.__path__ = [sys.prefix]; m.__version__ = Version('2.11.0'); sys.modules['torch'] = m
""",
    "version of too many digits": """
m = types.ModuleType('torch'); m.__path__ = [sys.prefix]; m.__version__ = '9' * 6000; sys.modules['torch'] = m
""",
    "version that is no string": """
class Version:
    def __str__(self):
        raise RuntimeError('no')
m = types.ModuleType('torch'); m.__path__ = [sys.prefix]; m.__version__ = Version(); sys.modules['torch'] = m
""",
    "finder that raises OSError": """
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'torch':
            raise OSError('stale file handle')
sys.meta_path.insert(0, Finder)
""",
    "finder that raises ValueError": """
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'torch':
            raise ValueError('torch.__spec__ is None')
sys.meta_path.insert(0, Finder)
""",
    "spec without a loader": """
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'torch':
            return importlib.machinery.ModuleSpec('torch', None)
sys.meta_path.insert(0, Finder)
""",
    "torch that raises OSError": "MAKE = 'raise OSError(\"libcuda.so.1: cannot open shared object file\")'",
    "torch that raises SystemError": "MAKE = 'raise SystemError(1)'",
    "torch that is half imported": "MAKE = 'import asks; asks.use()\\n__version__ = \"2.11.0\"'",
}
USE = """
import importlib, importlib.machinery, os, sys, tempfile, types, warnings
warnings.simplefilter("error")
import compat

def use():
    rows = compat.status()
    assert rows and all(row.mode == "noop" and row.reason and not row.active for row in rows), rows
    ran = []
    with compat.lazy_graph_module(), compat.realize_on_reuse():
        ran.append(1)
    compat.install()
    compat.install(kind="speed")
    assert compat.cache_key() == ""
    assert all(row.mode == "noop" and not row.error for row in compat.status())
    compat.uninstall()
    compat.uninstall(kind="speed")
    for mode in ("native", "backport"):
        try:
            compat.lazy_graph_module(mode=mode)
        except compat.UnsupportedError as error:
            assert "lazy_graph_module" in str(error)
        else:
            raise AssertionError(mode)
    print(*sorted({row.reason for row in rows}), sep="\\n")
    return ran

sys.modules["asks"] = types.SimpleNamespace(use=use, __spec__=None)
finders = len(sys.meta_path)
MAKE = ...
"""
THEN = """
if MAKE is not ...:
    folder = tempfile.mkdtemp()
    os.mkdir(folder + "/torch")
    with open(folder + "/torch/__init__.py", "w") as file:
        file.write(MAKE)
    sys.path.insert(0, folder)
    try:
        import torch
    except (OSError, SystemError):
        pass
use()
assert not any("compat" in type(finder).__module__ for finder in sys.meta_path), sys.meta_path
"""


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_stand_in_for_torch_gets_noop_with_reason(stand_in: str, python: Callable[..., subprocess.CompletedProcess]):
    done = python("-c", USE + STAND_INS[stand_in] + THEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "torch" in done.stdout


# The context imports torch a second time, which fails. After that torch 2.12.1 crashes at the end of the process, with
# and without compat: the script ends before.
TORN = """
import os, sys, warnings, importlib
import compat, torch
before = {row.name: row.mode for row in compat.status()}
compat.install()
kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "torch"}
assert all(not row.error for row in compat.status())
with compat.lazy_graph_module():
    pass
assert "torch" not in sys.modules  # to import it a second time crashes torch 2.12.1
sys.modules.update(kept)
assert {row.name: row.mode for row in compat.status()} == before
compat.uninstall()
assert not any(row.active for row in compat.status())
print("torch", flush=True)
os._exit(0)
"""


def test_torch_removed_from_sys_modules_keeps_status_true(python: Callable[..., subprocess.CompletedProcess]):
    done = python("-c", TORN)
    assert (done.returncode, done.stdout) == (0, "torch\n"), done.stderr


PURGED = """
import importlib, shutil, sys, tempfile
from unittest import mock
from pathlib import Path
import torch
with mock.patch.dict(sys.modules):
    import compat as first
    first.install("lazy_graph_module", mode={mode!r})
assert "compat" not in sys.modules
import compat as second
assert second is not first
(row,) = [row for row in second.status() if row.name == "lazy_graph_module"]
assert row.active, "the second copy does not see the first one's patch"
with second.lazy_graph_module(False, mode={mode!r}):
    pass
first.uninstall("lazy_graph_module")
(row,) = [row for row in second.status() if row.name == "lazy_graph_module"]
assert not row.active
print("ok")
"""


@same_on_every_torch
def test_copies_share_state_after_sys_modules_is_restored(python: Callable[..., subprocess.CompletedProcess]):
    from helpers.this_torch import ASK

    done = python("-c", PURGED.format(mode=ASK))
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
