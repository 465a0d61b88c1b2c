"""Read torch source text from a wheel, an unpacked tree, a git checkout or an environment.

A wheel is read in place: first its directory, then the few files that the requirements ask about. Nothing is unpacked,
imported or executed.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ... import version
from ...errors import UNPARSABLE, CompatError
from ...requirements import Found, Undecided
from ...source import Source

Read = Callable[[str], "bytes | None"]

# What every torch with a compile stack has had. A tree without one of them is a part of a torch: judging it would
# report as removed what is only not there.
_ESSENTIAL = ("torch", "torch/fx", "torch/_dynamo", "torch/_inductor", "torch/_functorch")


class Unreadable(CompatError):
    """There is no whole torch at this path. The message says in one sentence why not."""


class Torch(NamedTuple):
    path: str
    version: str
    source: Source


@contextmanager
def opened(path: str) -> Iterator[Torch]:
    """The torch at `path`, for as long as the context lasts. Raises Unreadable, here or while its source is read."""
    if not os.path.exists(path):  # no error, whatever the name is; Path has one for a name that is too long
        raise Unreadable(f"{path}: there is no such file or folder")
    if Path(path).is_dir():
        folder = _parent(Path(path))
        yield _torch(path, _below(folder), [f"{info.name}/RECORD" for info in folder.glob("torch-*.dist-info")])
        return
    try:
        wheel = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(f"{path}: not a folder and not a whole wheel ({error})") from error
    with wheel:
        names = wheel.namelist()
        records = [name for name in names if name.endswith(".dist-info/RECORD")]
        if "torch/__init__.py" in names and not records:
            raise Unreadable(f"{path}: not a whole wheel, for it has no RECORD")
        yield _torch(path, _inside(wheel, path), records)


def _torch(path: str, read: Read, records: list[str]) -> Torch:
    text = _texts(path, read, records)
    for package in _ESSENTIAL:
        if text(f"{package}/__init__.py") is None:
            what = "no torch in it" if package == "torch" else "not a whole torch"
            raise Unreadable(f"{path}: {what}, for there is no {package}/__init__.py")
    generated = text("torch/version.py")
    # A git checkout has no generated version.py until it is built.
    said = version.stated(generated) if generated is not None else (text("version.txt") or "").strip()
    if not said:
        raise Unreadable(f"{path}: neither torch/version.py nor version.txt says which torch this is")
    return Torch(path, said, _Source(path, text))


def _parent(folder: Path) -> Path:
    """The folder that holds the torch package: itself, or within an environment."""
    here = os.path.exists  # which, other than Path.exists, says no of what it may not look at
    if folder.name == "torch" and here(folder / "__init__.py") and not here(folder / "torch"):
        return folder.parent
    installed = [*folder.glob("lib/python3*/site-packages"), folder / "Lib" / "site-packages"]
    return next((place for place in installed if os.path.isdir(place / "torch")), folder)


def _below(folder: Path) -> Read:
    def read(name: str) -> bytes | None:
        try:
            return folder.joinpath(*name.split("/")).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def _inside(wheel: zipfile.ZipFile, path: str) -> Read:
    names = frozenset(wheel.namelist())

    def read(name: str) -> bytes | None:
        try:
            return wheel.read(name) if name in names else None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise Unreadable(f"{path}: {name} in it is damaged ({error})") from error

    return read


def _texts(path: str, read: Read, records: list[str]) -> Callable[[str], str | None]:
    def text(name: str) -> str | None:
        try:
            raw = read(name)
            if raw is None and any(f"\n{name},".encode() in b"\n" + (read(record) or b"") for record in records):
                raise Unreadable(f"{path}: it lacks {name}, which its own RECORD lists")
            return None if raw is None else raw.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"{path}: {name} cannot be read ({error})") from error

    return text


class _Source(Source):
    """As Source, but what it reads is a file somebody named: text that cannot be parsed is an error of that path."""

    def __init__(self, path: str, read: Callable[[str], str | None]) -> None:
        super().__init__(read)
        self._path = path
        self._found: dict[str, Found] = {}

    def find(self, target: str) -> Found:
        if target not in self._found:
            try:
                self._found[target] = super().find(target)
            except Undecided as error:
                if isinstance(error.__cause__, UNPARSABLE):
                    raise Unreadable(f"{self._path}: {error}") from error
                raise
        return self._found[target]
