"""`cache_dir`: Inductor's default cache directory has a name also where the user has none.

Symptom: A user without a name, as in many containers, cannot import Inductor. If the
UID has no passwd entry, `import torch._inductor`, and with it `torch.compile`, raises
KeyError (OSError from Python 3.13 on), because Inductor asks for the user's name during
its import. TORCHINDUCTOR_CACHE_DIR does not help: Inductor asks all the same.
Upstream: pytorch#184208, in 2.13.0. Affected: up to 2.12.1.
Removal: when no supported torch is older than 2.13.

It has to be installed before `torch._inductor` is imported; an import that failed cannot be tried again. The module
that has the function does not call it while it is imported itself, so the function is patched when that module has run,
before anybody can have it.

Inductor's helper processes (parallel compiles, autotuning) import torch alone and would die of the same error, with
their output thrown away: Triton kernels are then compiled one by one, and where a helper has to answer nobody ever
does. So the environment that Inductor makes for its child processes gets a name, too, and no other environment does.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch._inductor.runtime.cache_dir_utils:default_cache_dir"
# Not asked about in a requirement: the shim would have to wait for that module, whose import is too late for it. When
# it acts that module is half imported, so it waits for the one that starts the helpers.
_CHILDREN = "torch._inductor.utils:python_subprocess_env"
_STARTS_THEM = "torch._inductor.compile_worker.subproc_pool"
# What `getpass.getuser` raises, by platform and version of Python.
_NAMELESS = (KeyError, ImportError, OSError)


def _user() -> str:
    """Upstream's name for a user without one, so that the cache is still found after an update of torch."""
    return f"uid_{os.getuid()}" if hasattr(os, "getuid") else "unknown_user"


def _naming(wrapper: Wrapper) -> Callable[..., Any]:
    own = wrapper.original
    # Torch's own function in a world where every user has a name: where the directory is stays torch's business.
    named = FunctionType(own.__code__, {**own.__globals__, "getpass": SimpleNamespace(getuser=_user)}, own.__name__)

    def default_cache_dir() -> Any:
        try:
            return wrapper.next()
        except _NAMELESS:
            return named()

    return default_cache_dir


def _telling(wrapper: Wrapper) -> Callable[..., Any]:
    def python_subprocess_env(*args: Any, **kwargs: Any) -> Any:
        environment = wrapper.next(*args, **kwargs)
        try:
            getpass.getuser()
        except _NAMELESS:
            environment["LOGNAME"] = _user()
        return environment

    return python_subprocess_env


SHIM = Shim(
    name="cache_dir",
    kind="fix",
    upstream="pytorch#184208, in torch 2.13.0",
    changes_codegen=False,
    revision=1,
    # All that can raise KeyError there is the question for the user's name: who names that error catches it.
    native=(Refers(_TARGET, "getuser"), Refers(_TARGET, "KeyError")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ()),
        Refers(_TARGET, "getpass"),
        Refers(_TARGET, "getuser"),
    ),
    replacements={_TARGET: _naming},
    late={_STARTS_THEM: {_CHILDREN: _telling}},
)
