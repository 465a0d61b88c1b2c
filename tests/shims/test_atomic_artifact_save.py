"""`atomic_artifact_save`: cases beyond its reproducer, with the same results on torches that are fixed natively."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch._inductor.standalone_compile  # noqa: F401
from helpers.this_torch import RELEASE
from torch._dynamo.aot_compile import AOTCompiledFunction

import compat
from compat.shims.atomic_artifact_save import _replace_save, _save_atomically

MODULE: Any = sys.modules["torch._inductor.standalone_compile"]
AFFECTED = RELEASE < (2, 12)
Save = Callable[[Any], Any]


class Function(AOTCompiledFunction):
    def __init__(self, content: bytes) -> None:
        self.content = content

    @classmethod
    def serialize(cls, fn: Any, external_data: Any = None) -> Any:
        return fn.content if RELEASE < (2, 11) else SimpleNamespace(serialized_data=fn.content, data=external_data)


def function(content: bytes) -> Save:
    return Function(content).save_compiled_function


def artifact(content: bytes) -> Save:
    kind = getattr(MODULE, "CacheCompiledArtifact", MODULE.CompiledArtifact)
    made = kind(None, (content, SimpleNamespace(aot_autograd_artifacts=["key"])))
    return lambda path: made.save(path=path)


@pytest.fixture(params=[function, artifact])
def saving(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], Save]]:
    compat.install("atomic_artifact_save")
    yield request.param
    compat.uninstall("atomic_artifact_save")


def test_save_replaces_existing_file(saving: Callable[[bytes], Save], tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    for content in (b"one", b"three"):
        saving(content)(str(path))
        assert content in path.read_bytes()
    assert b"one" not in path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_save_accepts_relative_path_and_path_object(
    saving: Callable[[bytes], Save], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saving(b"one")("artifact")
    saving(b"two")(Path("other"))
    assert sorted(os.listdir()) == ["artifact", "other"]


def test_save_keeps_file_mode_and_symlink(saving: Callable[[bytes], Save], tmp_path: Path) -> None:
    if not AFFECTED or (saving is artifact and RELEASE >= (2, 10)):
        pytest.skip("torch itself sets a file mode of its own and replaces symlinks")
    path, link = tmp_path / "artifact", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    saving(b"new")(str(link))
    assert link.is_symlink()
    assert b"new" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not AFFECTED, reason="torch itself makes files of mode 600")
def test_new_file_has_default_mode(saving: Callable[[bytes], Save], tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    saving(b"new")(str(tmp_path / "artifact"))
    assert (tmp_path / "artifact").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_target_that_is_no_file_is_left_to_torch(saving: Callable[[bytes], Save], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, IsADirectoryError)):
        saving(b"new")(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(RELEASE < (2, 11), reason="this torch takes no other argument and returns nothing")
def test_save_passes_arguments_and_result_through(tmp_path: Path) -> None:
    compat.install("atomic_artifact_save")
    try:
        data: dict[str, Any] = {"a": 1}
        result = Function(b"x").save_compiled_function(path=str(tmp_path / "artifact"), external_data=data)
    finally:
        compat.uninstall("atomic_artifact_save")
    assert result.data is data


def test_unpacked_format_is_left_to_torch(tmp_path: Path) -> None:
    compat.install("atomic_artifact_save")
    try:
        kind = getattr(MODULE, "CacheCompiledArtifact", MODULE.CompiledArtifact)
        made = kind(None, (b"no cache artifacts", SimpleNamespace(aot_autograd_artifacts=["key"])))
        (tmp_path / "folder").mkdir()
        with pytest.raises(Exception):  # noqa: B017, PT011 (the error of torch about the missing artifacts)
            made.save(path=str(tmp_path / "folder"), format="unpacked")
    finally:
        compat.uninstall("atomic_artifact_save")
    assert not (tmp_path / "folder").is_file()


def test_formats_without_one_binary_file_are_passed_on_unchanged() -> None:
    seen: list[Any] = []
    wrapper = SimpleNamespace(next=lambda *args, **named: seen.append((args, named)))
    save = _replace_save(wrapper)  # type: ignore[arg-type]
    for args, named in (("self",), {"path": "there", "format": "unpacked"}), (("self", "there"), {"format": "binary"}):
        save(*args, **named)
        assert seen.pop() == (args, named)


def test_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def half(path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        _save_atomically(str(tmp_path / "artifact"), half)
    assert not list(tmp_path.iterdir())


def test_uninstall_restores_original_code() -> None:
    functions = (AOTCompiledFunction.save_compiled_function, MODULE.CompiledArtifact.save)
    before = [f.__code__ for f in functions]
    compat.install("atomic_artifact_save")
    assert [f.__code__ is not code for f, code in zip(functions, before)] == [AFFECTED, AFFECTED]
    compat.uninstall("atomic_artifact_save")
    assert [f.__code__ for f in functions] == before
