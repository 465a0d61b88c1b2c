"""`cache_dir`: name Inductor's default cache directory for users without a name.

Symptom: A user without a name, as in many containers, cannot import Inductor. If the
UID has no passwd entry, `import torch._inductor`, and with it `torch.compile`, raises
KeyError (OSError from Python 3.13 on), because Inductor asks for the user's name during
its import. TORCHINDUCTOR_CACHE_DIR does not help: Inductor asks all the same.
Upstream: pytorch#184208, in 2.13.0.
Affected: up to 2.12.1.
Removal: when no supported torch is older than 2.13.

Install it before `torch._inductor` is imported: an import that failed cannot be tried
again. The module that defines the function does not call it during its own import. So
the patch goes in when that module has run, before any other module gets the function.

Inductor's helper processes (parallel compiles, autotuning) import torch without
`compat`, and end with the same error. Inductor discards their output. It then compiles
Triton kernels one by one, or waits for an answer that never comes. So the shim also
adds a user's name to the environment that Inductor makes for its child processes. It
changes no other environment.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..patching.bytecode import copied
from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch._inductor.runtime.cache_dir_utils:default_cache_dir"
# No requirement names this function: the shim would wait for its module, whose import
# comes too late for the shim. When the shim acts, that module is half imported. So this
# replacement waits for the module that starts the helper processes.
_CHILDREN = "torch._inductor.utils:python_subprocess_env"
_STARTS_CHILDREN = "torch._inductor.compile_worker.subproc_pool"
# The errors of `getpass.getuser`; they depend on the platform and on Python's version.
_NO_NAME = (KeyError, ImportError, OSError)


def _user() -> str:
    """Name a user without a name as upstream does.

    So the cache is still found after an update of torch.
    """
    return f"uid_{os.getuid()}" if hasattr(os, "getuid") else "unknown_user"


def _replace_default_cache_dir(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `default_cache_dir` use upstream's name if the user has none."""
    own = wrapper.original
    # The same code, with a `getpass` that knows a name. So torch still chooses the path
    # of the directory.
    named_globals = {**own.__globals__, "getpass": SimpleNamespace(getuser=_user)}
    named = copied(own, names=named_globals)

    def default_cache_dir() -> Any:
        try:
            return wrapper.next()
        except _NO_NAME:
            return named()

    return default_cache_dir


def _replace_python_subprocess_env(wrapper: Wrapper) -> Callable[..., Any]:
    """Have Inductor's child processes find a name for the user."""

    def python_subprocess_env(*args: Any, **kwargs: Any) -> Any:
        environment = wrapper.next(*args, **kwargs)
        try:
            getpass.getuser()
        except _NO_NAME:
            environment["LOGNAME"] = _user()
        return environment

    return python_subprocess_env


SHIM = Shim(
    name="cache_dir",
    kind="fix",
    upstream="pytorch#184208, in torch 2.13.0",
    changes_codegen=False,
    revision=1,
    # Only the question for the user's name can raise KeyError there. If the function
    # refers to KeyError, it catches it.
    native=(Refers(_TARGET, "getuser"), Refers(_TARGET, "KeyError")),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ()),
        Refers(_TARGET, "getpass"),
        Refers(_TARGET, "getuser"),
    ),
    replacements={_TARGET: _replace_default_cache_dir},
    late={_STARTS_CHILDREN: {_CHILDREN: _replace_python_subprocess_env}},
)
