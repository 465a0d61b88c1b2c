"""`cleared_cache_folder`: a folder that goes away, or cannot be read, at every step of a lookup and of a write."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.this_torch import RELEASE
from helpers.warm import Warm

import compat
from compat.selfcheck.quick import compile_quickly
from compat.shims import cleared_cache_folder as shim

NATIVE = RELEASE >= (2, 15)


class Cache:
    """Stands for what torch's cache classes give to the mixin, with one folder for all keys."""

    root = Path()

    @classmethod
    def _get_tmp_dir_for_key(cls, key: str) -> str:
        return str(cls.root / key[:2] / key)


class Remote:
    def __init__(self, entry: str) -> None:
        import base64

        self.data = {"data": base64.b64encode(pickle.dumps(entry)).decode()}

    def get(self, key: str) -> Any:
        return self.data


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    """torch's `iterate_over_candidates` over a folder of two entries, with the shim installed."""
    # The shim waits for both modules that it patches.
    from torch._functorch._aot_autograd import autograd_cache  # noqa: F401
    from torch._inductor.codecache import GuardedCache

    compat.install("cleared_cache_folder")

    class Candidates(Cache, GuardedCache):  # type: ignore[type-arg]
        root = tmp_path

    folder = tmp_path / "ab" / "abc"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / name).write_bytes(pickle.dumps(name))
    yield Candidates
    compat.uninstall("cleared_cache_folder")


def entries(cache: Any, remote: Any = None, local: bool = True) -> list[str]:
    return [candidate[0] for candidate in cache.iterate_over_candidates(local, remote, "abc")]


def test_entries_are_found_as_before(cache: Any) -> None:
    assert entries(cache) == ["one", "two"]
    assert entries(cache, Remote("far")) == ["one", "two", "far"]
    assert entries(cache, Remote("far"), local=False) == ["far"]
    assert entries(cache, local=False) == []


@pytest.mark.parametrize("level", ["", "ab", "ab/abc"])
def test_folder_that_is_gone_before_the_lookup_holds_nothing(level: str, cache: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / level)
    assert entries(cache) == []
    assert entries(cache, Remote("far")) == ["far"]


@pytest.mark.parametrize("level", ["", "ab", "ab/abc"])
def test_folder_that_goes_after_it_was_found_holds_nothing(level: str, cache: Any, tmp_path: Path) -> None:
    exists = os.path.exists

    def racing(path: str) -> bool:
        there = exists(path)
        shutil.rmtree(tmp_path / level, ignore_errors=True)
        return there

    with mock.patch.object(os.path, "exists", racing):
        found = entries(cache, Remote("far"))
    # A torch that does not look first lists the folder, and the race cannot happen.
    assert found == (["one", "two", "far"] if NATIVE else ["far"])


def test_folder_that_goes_while_it_is_read_gives_what_was_read(cache: Any, tmp_path: Path) -> None:
    candidates = cache.iterate_over_candidates(True, Remote("far"), "abc")
    assert next(candidates)[0] == "one"
    shutil.rmtree(tmp_path)
    assert [candidate[0] for candidate in candidates] == ["far"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.EMFILE])
def test_folder_that_cannot_be_listed_holds_nothing_and_is_reported(
    code: int, cache: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("torch._inductor.codecache")
    with (
        mock.patch.object(os, "listdir", side_effect=OSError(code, os.strerror(code))),
        mock.patch.object(logger, "warning") as told,
    ):
        assert entries(cache, Remote("far")) == ["far"]
    told.assert_called_once()  # a native torch has words of its own


def test_file_in_place_of_the_folder_holds_nothing(cache: Any, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "ab" / "abc")
    (tmp_path / "ab" / "abc").write_text("")
    assert entries(cache) == []


def test_other_errors_and_the_readers_own_are_not_caught(cache: Any) -> None:
    with mock.patch.object(os, "listdir", side_effect=MemoryError), pytest.raises(MemoryError):
        entries(cache)

    def reads() -> None:
        for _ in cache.iterate_over_candidates(True, None, "abc"):
            raise FileNotFoundError("the reader's")

    with pytest.raises(FileNotFoundError, match="the reader's"):
        reads()


Write = Callable[[str, bytes], None]


def replaced(stock: Write) -> Write:
    wrapper: Any = SimpleNamespace(next=stock)
    made: Write = shim._replace_write_to_local_cache(wrapper)
    return made


def test_write_is_tried_again_if_the_folder_has_gone() -> None:
    outcomes: list[Any] = [FileNotFoundError(), FileNotFoundError(), None]
    stock = mock.Mock(side_effect=outcomes)
    replaced(stock)("key", b"content")
    assert stock.mock_calls == [mock.call("key", b"content")] * 3


@pytest.mark.parametrize(
    ("error", "tries"),
    [(FileNotFoundError("gone"), 3), (OSError(errno.ENOSPC, "full"), 1), (PermissionError("no"), 1)],
    ids=["gone for good", "full", "not allowed"],
)
def test_write_that_fails_is_reported_and_given_up(error: OSError, tries: int) -> None:
    stock = mock.Mock(side_effect=error)
    with mock.patch.object(logging.getLogger(shim._AUTOGRAD), "warning") as told:
        replaced(stock)("key", b"content")
    assert stock.call_count == tries
    told.assert_called_once_with("unable to write a cache entry: %s", error)


def test_other_errors_of_a_write_stay_errors() -> None:
    with pytest.raises(ValueError, match="no"):
        replaced(mock.Mock(side_effect=ValueError("no")))("key", b"content")


def compiled(folder: str, install: bool, steps: tuple[str, ...]) -> list[str]:
    """Compile while the folder of one cache goes away at a step. Return what came of each compile."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=folder, TORCHINDUCTOR_COMPILE_THREADS="1")
    from torch._functorch import config as functorch

    if install:
        compat.install("cleared_cache_folder")
    said = []
    strict = functorch.patch(strict_autograd_cache=True)
    with compile_quickly(call_operators=True), strict:
        torch.compile(lambda x: x @ x * 2)(torch.eye(2))
        for number, step in enumerate(steps, 2):
            torch._dynamo.reset()
            patches = [mock.patch.object(owner, name, new) for owner, name, new in RACES[step](Path(folder))]
            try:
                for patch in patches:
                    patch.start()
                result = torch.compile(lambda x, n=number: x @ x * n)(torch.eye(2))
                said.append("right" if result[0, 0] == number else "wrong")
            except Exception as error:  # noqa: BLE001 (that it ends is the outcome)
                said.append(type(error).__name__)
            finally:
                mock.patch.stopall()
    return said


def gone(folder: Path, cache: str) -> Callable[[object], None]:
    """Remove the folder of this cache, once, as soon as a path in it is touched."""
    left = [folder / cache]

    def touched(path: object) -> None:
        if left and left[0] in (Path(str(path)), *Path(str(path)).parents) and left[0].exists():
            shutil.rmtree(left.pop())

    return touched


def at_exists(folder: Path, cache: str) -> list[tuple[Any, str, Any]]:
    touched, exists = gone(folder, cache), os.path.exists

    def racing(path: str) -> bool:
        there = exists(path)
        touched(path)
        return there

    return [(os.path, "exists", racing)]


def at_rename(folder: Path, cache: str) -> list[tuple[Any, str, Any]]:
    touched, rename = gone(folder, cache), Path.rename

    def racing(path: Path, target: Path) -> Path:
        touched(path)
        return rename(path, target)

    return [(Path, "rename", racing)]


def at_open(folder: Path, cache: str) -> list[tuple[Any, str, Any]]:
    touched, opened = gone(folder, cache), Path.open

    def racing(path: Path, *args: Any, **named: Any) -> Any:
        touched(path)
        return opened(path, *args, **named)

    return [(Path, "open", racing)]


def at_list(folder: Path, cache: str) -> list[tuple[Any, str, Any]]:
    touched, listed = gone(folder, cache), os.listdir

    def racing(path: str) -> list[str]:
        touched(path)
        return listed(path)

    return [(os, "listdir", racing)]


RACES: dict[str, Callable[[Path], list[tuple[Any, str, Any]]]] = {
    f"{cache} {step.__name__}": lambda folder, cache=cache, step=step: step(folder, cache)  # type: ignore[misc]
    for cache in ("aotautograd", "fxgraph")
    for step in (at_exists, at_list, at_open, at_rename)
}


@pytest.mark.slow
@pytest.mark.parametrize("install", [True, False])
def test_compile_goes_on_at_every_step(install: bool, warm: Warm, tmp_path: Path) -> None:
    said = dict(zip(RACES, warm(compiled, str(tmp_path), install, tuple(RACES))))
    ended = {step for step, outcome in said.items() if outcome != "right"}
    assert "wrong" not in said.values()
    if install or NATIVE:
        assert ended == set()
    else:
        assert ended >= {"aotautograd at_open", "aotautograd at_rename"}
