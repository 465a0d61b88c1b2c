"""`vector_isa_probe`: find out once, not in every folder, which vectors the CPU has.

Symptom: Every fresh compile cache folder costs 5 to 15 seconds. Before its first CPU
kernel, Inductor compiles and loads up to ten small C++ programs to find out which
vector instructions it can use. It keeps the answers in the compile cache folder.
Upstream: pytorch#100378 is about the time that this takes; no torch so far changes it.
Affected: every torch so far (2.15).
Removal: when torch keeps these answers outside the compile cache folder.

The shim keeps them in the user's cache folder: `$XDG_CACHE_HOME/torch_compat` or
`~/.cache/torch_compat`; on Windows below `%LOCALAPPDATA%`. An answer counts only if all
that it depends on is the same: the program, the compiler's full command line, path,
version and files, the CPU, torch, and the environment that compilers and loaders read.
If the folder cannot be used, or a file in it is damaged, torch probes as ever. Only
"yes" is kept, as in torch itself: "no" may come from a full disk.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..patching.patch import Wrapper
from ..probe.definition import Definition
from ..probe.requirements import Parameters, Refers, Symbol, Takes
from .base import Shim

_TARGET = "torch._inductor.cpu_vec_isa:VecISA.check_build"
_BUILDER = "torch._inductor.cpp_builder"

# Environment variables by which compilers, linkers and loaders find files and options.
_VARIABLES = (
    *("C_INCLUDE_PATH", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH"),
    *("GCC_EXEC_PREFIX", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_RUN_PATH", "LDFLAGS"),
    *("CFLAGS", "CXXFLAGS", "CPPFLAGS", "DYLD_LIBRARY_PATH", "SDKROOT"),
    *("MACOSX_DEPLOYMENT_TARGET", "CONDA_BUILD_SYSROOT", "CCC_OVERRIDE_OPTIONS"),
    *("NIX_CFLAGS_COMPILE", "NIX_LDFLAGS", "INCLUDE", "LIB", "LIBPATH"),
    *("CL", "_CL_", "LINK"),
)
# Lines of /proc/cpuinfo that tell one kind of CPU from another. The others are about
# one core, or change while the machine runs.
_CPU_LINES = frozenset(
    (
        *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
        *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
        *("cpu", "machine", "features", "isa", "uarch"),
    )
)


class _NotYet(NamedTuple):
    """Torch has the behaviour. No torch so far does."""

    target: str
    words: str

    def explain_failure(self, definition: Definition) -> str | None:
        return "no torch so far does"

    def __str__(self) -> str:
        return f"{self.target} {self.words}"


def _replace_check_build(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `check_build` keep a "yes" in the user's cache folder."""

    def check_build(isa: Any, code: Any) -> Any:
        question = _question(isa, code)
        if question is None:
            return wrapper.next(isa, code)
        if _is_answered(question):
            return True
        answer = wrapper.next(isa, code)
        if answer is True:
            _keep(question)
        return answer

    return check_build


def _question(isa: Any, code: str) -> str | None:
    """Return all that the answer depends on, as text; None if it cannot be told."""
    try:
        return "\n".join(_facts(isa, code))
    except Exception:  # noqa: BLE001 (torch probes, and has its own words about this)
        return None


def _facts(isa: Any, code: str) -> Iterator[str]:
    builder, torch = sys.modules[_BUILDER], sys.modules["torch"]
    compiler = builder.get_cpp_compiler()
    options = builder.CppTorchOptions(vec_isa=isa, warning_all=False)
    yield "torch_compat vector_isa_probe 1"
    yield f"torch {torch.__version__} {torch.version.git_version} {torch.__file__}"
    yield f"library {_file(torch._C.__file__)}"
    yield f"system {platform.platform()} {platform.machine()}"
    yield from _cpu(torch)
    yield f"compiler {compiler} {builder.get_compiler_version_info(compiler)}"
    for program in (*shlex.split(compiler), "as", "ld"):
        yield f"file {program} {_file(program)}"
    # With fixed names for the files that torch puts into the compile cache folder.
    command = builder.CppBuilder("probe", ["probe.cpp"], options, "folder")
    yield f"command {command.get_command_line()}"
    for name in _VARIABLES:
        if name in os.environ:
            yield f"variable {name}={os.environ[name]}"
    yield f"code {code}"


def _file(program: str) -> str:
    """Return the program's path with what changes if another file takes its place."""
    path = os.path.realpath(shutil.which(program) or program)
    try:
        status = os.stat(path)
    except OSError:  # an option, or not installed
        return "missing"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _cpu(torch: Any) -> Iterator[str]:
    found = False
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in _CPU_LINES:
                    found = True
                    yield f"cpu {name.strip()} {value.strip()}"
                if found and not line.strip():
                    break  # the next core
    except OSError:
        pass  # not on Linux
    if not found:
        capabilities: Callable[[], Any] = getattr(torch.cpu, "get_capabilities", dict)
        yield f"cpu {platform.processor()} {sorted(capabilities().items())}"


def _folder() -> str | None:
    """Return the user's own folder for answers; None if there is no place for one."""
    parent = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if not os.path.isabs(parent):
        parent = os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(parent):  # a user without a home
        return None
    return os.path.join(parent, "torch_compat", "vector_isa_probe")


def _path(question: str) -> str | None:
    """Return the path of the answer's file; None if there is no place for one."""
    folder = _folder()
    digest = hashlib.sha256(question.encode(errors="surrogatepass")).hexdigest()
    return None if folder is None else os.path.join(folder, f"{digest[:32]}.txt")


def _is_answered(question: str) -> bool:
    """Return whether the file has exactly this question. Damaged files do not."""
    path = _path(question)
    try:
        if path is None or not _is_private(os.path.dirname(path)):
            return False
        with open(path, "rb") as file:
            return file.read() == question.encode(errors="surrogatepass")
    except OSError:
        return False


def _is_private(folder: str) -> bool:
    """Return whether no other user can put an answer there."""
    if not hasattr(os, "geteuid"):
        return True  # Windows, where the folder is in the user's profile
    status = os.stat(folder)
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.geteuid() and not writable


def _keep(question: str) -> None:
    """Write the file at once or not at all; if that fails, torch probes again."""
    path, beside = _path(question), None
    if path is None:
        return
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not _is_private(folder):
            return
        number, beside = tempfile.mkstemp(dir=folder)
        with open(number, "wb") as file:
            file.write(question.encode(errors="surrogatepass"))
        os.replace(beside, path)
    except OSError:
        _remove(beside)
    except BaseException:
        _remove(beside)
        raise


def _remove(path: str | None) -> None:
    try:
        if path is not None:
            os.remove(path)
    except OSError:
        pass


SHIM = Shim(
    name="vector_isa_probe",
    kind="speed",
    upstream="pytorch#100378; no torch so far keeps the answers",
    changes_codegen=False,
    revision=1,
    native=(_NotYet(_TARGET, "keeps its answers outside the cache folder"),),
    backport=(
        Parameters(f"{_BUILDER}:CppBuilder.get_command_line", ("self",)),
        Parameters(
            f"{_BUILDER}:CppBuilder.__init__",
            ("self", "name", "sources", "BuildOption", "output_dir"),
        ),
        Takes(f"{_BUILDER}:CppTorchOptions.__init__", "vec_isa"),
        Takes(f"{_BUILDER}:CppTorchOptions.__init__", "warning_all"),
        Symbol(f"{_BUILDER}:get_cpp_compiler", "function"),
        Symbol(f"{_BUILDER}:get_compiler_version_info"),
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "code")),
        Refers(_TARGET, "CppBuilder"),
        Refers(_TARGET, "CppTorchOptions"),
        Refers(_TARGET, "write"),
    ),
    replacements={_TARGET: _replace_check_build},
)
