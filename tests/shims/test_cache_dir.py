"""`cache_dir`: cases beyond its reproducer, with the same results on torches that are fixed natively."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from typing import Any

import pytest
from helpers.this_torch import RELEASE

import compat

TARGET = "torch._inductor.runtime.cache_dir_utils"
AFFECTED = RELEASE < (2, 13)


def lose_the_name() -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)

    def without_entry(uid: int) -> Any:
        raise KeyError(uid)

    pwd.getpwuid = without_entry


def directory_and_environment() -> tuple[str, dict[str, str]]:
    """Return the directory, read through an alias in another module, and the environment of child processes."""
    from torch._inductor import async_compile, codecache

    return codecache.default_cache_dir(), async_compile.SubprocPool.__init__.__globals__["python_subprocess_env"]()


def with_a_name() -> tuple[str, str, str | None]:
    os.environ["LOGNAME"] = "test:user"
    compat.install("cache_dir")
    directory, environment = directory_and_environment()
    compat.uninstall("cache_dir")
    return directory, directory_and_environment()[0], environment["LOGNAME"]


def without_a_name() -> tuple[str, str | None, list[str]]:
    lose_the_name()
    compat.install("cache_dir")
    armed = [name for name in (TARGET, "torch._inductor") if name in sys.modules]
    directory, environment = directory_and_environment()
    return directory, environment.get("LOGNAME"), armed


def installed_late() -> tuple[str, str | None]:
    """Install after Inductor was imported by a user with a name."""
    os.environ["LOGNAME"] = "test:user"
    directory_and_environment()
    compat.install("cache_dir")
    lose_the_name()
    directory, environment = directory_and_environment()
    return directory, environment.get("LOGNAME")


def taken_out_while_another_thread_imports(in_the_middle: bool) -> None:
    """Uninstall before the import hook acts in the other thread, or while it acts."""
    from compat import installation
    from compat.shims.cache_dir import SHIM

    acts, make = [], SHIM.patch
    installation.Watcher.start = lambda watcher: acts.append(watcher.act)
    compat.install("cache_dir")
    from torch._inductor import compile_worker, utils  # noqa: F401
    from torch._inductor.runtime import cache_dir_utils

    functions = utils.python_subprocess_env, cache_dir_utils.default_cache_dir
    codes = [function.__code__ for function in functions]

    def patch(key: str) -> Any:
        if key in SHIM.late:
            compat.uninstall("cache_dir")
        return make(key)

    if in_the_middle:
        SHIM.patch = patch
    else:
        compat.uninstall("cache_dir")
    assert len(acts) == 2
    for act in acts:
        act()
    compat.uninstall("cache_dir")
    assert [function.__code__ for function in functions] == codes


def taken_out() -> None:
    finders = list(sys.meta_path)
    compat.install("cache_dir")
    directory_and_environment()
    from torch._inductor import utils
    from torch._inductor.runtime import cache_dir_utils

    functions = (cache_dir_utils.default_cache_dir, utils.python_subprocess_env)
    patched = [function.__code__ for function in functions]
    compat.uninstall("cache_dir")
    assert [f.__code__ is not code for f, code in zip(functions, patched)] == [AFFECTED, AFFECTED]
    assert all(f.__code__.co_filename == sys.modules[f.__module__].__file__ for f in functions)
    assert sys.meta_path == finders
    lose_the_name()
    if AFFECTED:
        with pytest.raises((KeyError, OSError)):  # KeyError up to Python 3.12
            cache_dir_utils.default_cache_dir()
    assert "LOGNAME" not in utils.python_subprocess_env()


def test_user_with_name_keeps_directory(fresh: Callable[..., Any]) -> None:
    ours, torchs, logname = fresh(with_a_name)
    assert ours == torchs
    assert ours.endswith("torchinductor_test_user")
    assert logname == "test:user"


def test_install_waits_for_inductor_and_child_processes_get_the_name(fresh: Callable[..., Any]) -> None:
    directory, logname, armed = fresh(without_a_name)
    assert armed == []
    assert os.path.basename(directory) == f"torchinductor_uid_{os.getuid()}"
    assert logname == (f"uid_{os.getuid()}" if AFFECTED else None)


def test_install_after_inductor_import_takes_effect(fresh: Callable[..., Any]) -> None:
    directory, logname = fresh(installed_late)
    assert os.path.basename(directory) == f"torchinductor_uid_{os.getuid()}"
    assert logname == (f"uid_{os.getuid()}" if AFFECTED else None)


def test_uninstall_restores_original_code(fresh: Callable[..., Any]) -> None:
    fresh(taken_out)


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_uninstall_during_import_in_another_thread_leaves_torch_unpatched(
    in_the_middle: bool, fresh: Callable[..., Any]
) -> None:
    fresh(taken_out_while_another_thread_imports, in_the_middle)
