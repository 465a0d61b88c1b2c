"""`vector_isa_probe`: a kept answer counts for the same question alone."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.this_torch import ROOT, needs_compiler, slow
from helpers.torch_state import status_of
from torch._inductor import config, cpp_builder, cpu_vec_isa

from compat.probe.definition import Definition
from compat.shims import vector_isa_probe
from compat.shims.vector_isa_probe import SHIM, _question, _replace_check_build

pytestmark = needs_compiler
CODE = 'extern "C" int f() { return 1; }'
needs_posix = pytest.mark.skipif(os.name == "nt", reason="about POSIX permissions")


class Probe:
    """Stands in for torch's own probe, which takes seconds, and counts."""

    def __init__(self, answer: Any = True) -> None:
        self.answer, self.asked = answer, 0
        wrapper: Any = SimpleNamespace(next=self._own)
        self._check_build = _replace_check_build(wrapper)

    def _own(self, isa: Any, code: str) -> Any:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def __call__(self, code: str = CODE, isa: Any = None) -> Any:
        return self._check_build(isa or cpu_vec_isa.VecAVX2(), code)

    def asked_by(self, *arguments: Any) -> int:
        """Return how often torch has to probe for this."""
        before = self.asked
        assert self(*arguments) is True
        return self.asked - before


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "torch_compat" / "vector_isa_probe"


def test_answer_is_kept_for_every_process_and_folder(cache: Path) -> None:
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by(), Probe().asked_by()] == [1, 0, 0]
    (file,) = cache.iterdir()
    assert file.read_text() == _question(cpu_vec_isa.VecAVX2(), CODE)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700 or os.name == "nt"


def other_code(_: Any) -> tuple[Any, ...]:
    return (CODE + "\n",)


def other_vectors(_: Any) -> tuple[Any, ...]:
    return (CODE, cpu_vec_isa.VecAVX512())


def other_flags(_: Any) -> tuple[Any, ...]:
    isa = cpu_vec_isa.VecAVX2()
    isa._arch_flags += " -mavx512bf16"
    return (CODE, isa)


def other_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch, "__version__", "2.99.0")


def other_build_of_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.version, "git_version", "0" * 40)


def other_version_of_the_compiler(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cpp_builder, "get_compiler_version_info", lambda compiler: "99")


def other_options(patch: pytest.MonkeyPatch) -> None:
    own = cpp_builder.CppBuilder.get_command_line
    patch.setattr(cpp_builder.CppBuilder, "get_command_line", lambda self: f"{own(self)} -Ofast")


def other_path_of_headers(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CPLUS_INCLUDE_PATH", "/elsewhere")


def other_loader(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("LD_PRELOAD", "")


def other_kernel(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vector_isa_probe.platform, "platform", lambda: "other")


def other_cpu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vector_isa_probe, "_cpu", lambda torch: iter(["cpu flags fpu sse2"]))


CHANGES: list[Any] = [
    *(other_code, other_flags, other_version_of_the_compiler, other_cpu, other_torch, slow(other_vectors)),
    *(other_build_of_torch, other_options, other_path_of_headers, other_loader, other_kernel),
]


def question(code: str = CODE, isa: Any = None) -> str | None:
    return _question(isa or cpu_vec_isa.VecAVX2(), code)


@pytest.mark.parametrize("change", CHANGES)
def test_question_depends_on(change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = question()
    with monkeypatch.context() as patch:
        after = question(*(change(patch) or ()))
    assert None not in (before, after)
    assert before != after
    assert question() == before


def test_file_is_told_from_one_that_takes_its_place(tmp_path: Path) -> None:
    program = tmp_path / "as"
    assert vector_isa_probe._file(str(program)) == "missing"
    program.write_text("one")
    first = vector_isa_probe._file(str(program))
    program.write_text("another")
    assert first.startswith(f"{program.resolve()} 3 ")
    assert vector_isa_probe._file(str(program)).startswith(f"{program.resolve()} 7 ")


@pytest.mark.parametrize("change", [other_code, other_cpu])
def test_answer_counts_for_the_same_question_alone(
    change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe()
    assert probe.asked_by() == 1
    with monkeypatch.context() as patch:
        arguments = change(patch) or ()
        assert [probe.asked_by(*arguments), probe.asked_by(*arguments)] == [1, 0]
    assert probe.asked_by() == 0


@needs_posix
def test_another_compiler_or_a_new_file_in_its_place_is_asked(tmp_path: Path) -> None:
    compiler, probe = tmp_path / "g++", Probe()
    assert probe.asked_by() == 1
    with config.patch({"cpp.cxx": (str(compiler),)}):
        for arguments in ("", "-O1 "):
            compiler.write_text(f'#!/bin/sh\nexec g++ {arguments}"$@"\n')
            compiler.chmod(0o755)
            cpp_builder.get_compiler_version_info.cache_clear()
            getattr(cpp_builder.cpp_compiler_search, "cache_clear", lambda: None)()
            assert [probe.asked_by(), probe.asked_by()] == [1, 0]
    getattr(cpp_builder.cpp_compiler_search, "cache_clear", lambda: None)()
    assert probe.asked_by() == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"True", b"\xff\x00\xfe", None],
    ids=["empty", "true", "binary", "cut"],
)
def test_damaged_answer_is_not_believed_and_repaired(content: bytes | None, cache: Path) -> None:
    probe = Probe()
    assert probe.asked_by() == 1
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    assert [probe.asked_by(), probe.asked_by()] == [1, 0]
    assert list(cache.iterdir()) == [file]


def test_folder_in_the_place_of_an_answer_is_left_alone(cache: Path) -> None:
    probe = Probe()
    probe()
    (file,) = cache.iterdir()
    file.unlink()
    file.mkdir()
    assert [probe.asked_by(), probe.asked_by()] == [1, 1]
    assert list(cache.iterdir()) == [file]  # and no temporary file


def test_folder_that_is_gone_is_made_again(cache: Path) -> None:
    probe = Probe()
    probe()
    for file in cache.iterdir():
        file.unlink()
    cache.rmdir()
    assert [probe.asked_by(), probe.asked_by()] == [1, 0]


def test_file_in_the_place_of_the_folder(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("")
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by()] == [1, 1]


@needs_posix
def test_folder_of_another_user_is_not_believed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe()
    probe()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
        assert [probe.asked_by(), probe.asked_by()] == [1, 1]
    for mode in (0o770, 0o702):
        cache.chmod(mode)
        assert [probe.asked_by(), probe.asked_by()] == [1, 1]
    cache.chmod(0o755)
    assert probe.asked_by() == 0


def test_without_users_ids_the_folder_is_believed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid", raising=False)  # Windows
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by()] == [1, 0]


def refused(*_: Any, **__: Any) -> Any:
    raise PermissionError("read-only")


@pytest.mark.parametrize("name", ["makedirs", "replace", "stat", "remove"])
def test_folder_that_cannot_be_used_is_no_error(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe()
    for function in {name, "replace"} if name == "remove" else {name}:
        own = getattr(os, function)
        # `stat` has to work for the compiler.
        monkeypatch.setattr(
            os,
            function,
            lambda path, *a, own=own, **k: refused() if str(path).startswith(str(cache.parent)) else own(path, *a, **k),
        )
    assert [probe.asked_by(), probe.asked_by()] == [1, 1]


def test_user_without_a_home_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by()] == [1, 1]


@pytest.mark.skipif(os.name == "nt", reason="about POSIX homes")
@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_folder_is_in_the_home_if_no_other_is_named(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by()] == [1, 0]
    assert list((tmp_path / "home" / ".cache" / "torch_compat").rglob("*.txt"))


def test_no_is_not_kept(cache: Path) -> None:
    probe = Probe(False)
    assert [probe(), probe(), probe.asked] == [False, False, 2]
    assert not cache.exists()


def test_errors_are_torchs_own(cache: Path) -> None:
    for error in (RuntimeError("no compiler"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            Probe(error)()
    assert not cache.exists()


def test_compiler_that_is_not_there_leaves_the_question_to_torch(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", refused)
    probe = Probe()
    assert [probe.asked_by(), probe.asked_by()] == [1, 1]
    assert not cache.exists()


def test_interrupted_write_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Probe()()
    assert list(cache.iterdir()) == []
    assert Probe().asked_by() == 1


def test_threads_at_once_leave_one_whole_answer(cache: Path) -> None:
    probes = [Probe() for _ in range(8)]
    threads = [threading.Thread(target=probe) for probe in probes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Probe().asked_by() == 0
    assert len(list(cache.iterdir())) == 1


def test_cpu_is_told_by_its_flags_and_not_by_its_clock() -> None:
    lines = list(vector_isa_probe._cpu(torch))
    assert lines == list(vector_isa_probe._cpu(torch))
    assert lines
    if os.path.exists("/proc/cpuinfo"):
        assert not any("MHz" in line or "core id" in line for line in lines)
        assert len(lines) < 12  # of one core


def test_cpu_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    for opened in (refused, lambda *_, **__: io.StringIO("processor : 0\n\n")):
        monkeypatch.setattr("builtins.open", opened)
        (line,) = vector_isa_probe._cpu(torch)
        assert line.startswith("cpu ")
    (line,) = vector_isa_probe._cpu(SimpleNamespace(cpu=SimpleNamespace()))
    assert line.endswith("[]")


ASK = """
import sys, torch, torch._inductor.codecache
from torch._inductor import cpp_builder, cpu_vec_isa
import compat
compat.install("vector_isa_probe")
builds, build = [], cpp_builder.CppBuilder.build
cpp_builder.CppBuilder.build = lambda self: (builds.append(self), build(self))[1]
assert cpu_vec_isa.supported_vec_isa_list[-1].check_build(sys.argv[1]) is True
print(len(builds))
"""


@pytest.mark.slow
def test_next_process_with_another_cache_folder_compiles_nothing(
    tmp_path: Path,
) -> None:
    last = cpu_vec_isa.supported_vec_isa_list[-1]
    if last._arch_flags.startswith("-march=armv8") and os.uname().machine == "x86_64":
        code = ASK.replace("[-1]", "[3]")  # VecAVX2
    else:
        code = ASK

    def run(folder: str) -> str:
        variables = {
            **os.environ,
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / folder),
            "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT)))),
        }
        command = [sys.executable, "-W", "ignore", "-c", code, CODE]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert [run("one"), run("two")] == ["1", "0"]


def test_every_torch_so_far_gets_the_backport() -> None:
    row = status_of("vector_isa_probe")
    assert (row.mode, row.kind, row.changes_codegen) == ("backport", "speed", False)
    assert SHIM.native[0].explain_failure(Definition("function")) == "no torch so far does"
