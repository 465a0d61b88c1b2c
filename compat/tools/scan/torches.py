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
from ...adapters import NEWEST_FIRST, minor_of
from ...errors import UNPARSABLE, CompatError
from ...probe.definition import Definition, Undecided
from ...probe.source import SourceReader

Read = Callable[[str], "bytes | None"]

# Packages that every supported torch has. A tree without one of them is incomplete: scanning it would report missing
# files as removed functions.
_ESSENTIAL = ("torch", "torch/fx", "torch/_dynamo", "torch/_inductor", "torch/_functorch")
# Folders of an environment that may hold torch: on Linux and macOS, Debian, Fedora, with PyPy, on Windows.
_INSTALLED = (
    "lib*/python3*/site-packages",
    "lib*/python3*/dist-packages",
    "lib*/pypy3*/site-packages",
    "site-packages",
    "Lib/site-packages",
)


class Unreadable(CompatError):
    """There is no complete torch at this path. The message gives the reason in one sentence."""


class Torch(NamedTuple):
    """A torch whose source can be read."""

    path: str
    version: str
    source: SourceReader
    text: Callable[[str], str | None]  # the text of a file, as in `torch/fx/graph.py`; None if there is no such file
    files: Callable[[], list[str]]  # the paths of all files, in the same form


def places(path: str) -> list[str]:
    """Return the folders below an environment that hold a torch, if it has several. In all other cases: the path."""
    found = _environments(path)
    return list(found) if len(found) > 1 else [path]


@contextmanager
def opened(path: str) -> Iterator[Torch]:
    """Open the torch at `path` until the context ends.

    Raises:
        Unreadable: on entry, or when a file of the torch is read.
    """
    if not os.path.exists(path):  # unlike Path.exists, it does not raise for a name that is too long
        raise Unreadable(f"{path}: there is no such file or folder")
    if os.path.isdir(path):
        found = _environments(path)
        if len(found) > 1:
            raise Unreadable(f"{path}: it has several torches, name one of them: {', '.join(found)}")
        folder = Path(found[0]) if found else _parent(Path(path))
        records = [f"{info.name}/RECORD" for info in folder.glob("torch-*.dist-info")]
        yield _torch(path, _below(folder), records, lambda: _files_below(folder))
        return
    try:
        wheel = zipfile.ZipFile(path)
    except NotImplementedError as error:
        raise Unreadable(f"{path}: this wheel is not readable by this Python ({error})") from error
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Unreadable(f"{path}: not a folder and not a whole wheel ({error})") from error
    with wheel:
        names = wheel.namelist()
        records = [name for name in names if name.endswith(".dist-info/RECORD")]
        if "torch/__init__.py" in names and not records:
            raise Unreadable(f"{path}: not a whole wheel, because it has no RECORD")
        yield _torch(path, _inside(wheel, path), records, wheel.namelist)


def _torch(path: str, read: Read, records: list[str], files: Callable[[], list[str]]) -> Torch:
    text = _texts(path, read, records)
    if text("torch/__init__.py") is None:
        raise Unreadable(f"{path}: no torch in it, because there is no torch/__init__.py")
    generated = text("torch/version.py")
    # A git checkout has no generated version.py until it is built.
    stated = version.stated(generated) if generated is not None else (text("version.txt") or "").strip()
    parsed, oldest = version.parse(stated), minor_of(NEWEST_FIRST[-1])
    if parsed is not None and parsed.release[:2] < oldest:
        least = ".".join(map(str, oldest))
        raise Unreadable(f"{path}: torch {stated} is older than what compat supports ({least} and newer)")
    for package in _ESSENTIAL:
        if text(f"{package}/__init__.py") is None:
            raise Unreadable(f"{path}: not a whole torch, because there is no {package}/__init__.py")
    if not stated:
        raise Unreadable(f"{path}: neither torch/version.py nor version.txt states the version of this torch")
    return Torch(path, stated, _Source(path, text), text, files)


def _environments(path: str) -> tuple[str, ...]:
    """Return the folders below an environment that hold a torch. A folder that has two names counts once."""
    folder = Path(path)
    if not os.path.isdir(path) or os.path.isfile(folder / "torch" / "__init__.py"):
        return ()
    found: dict[str, str] = {}
    for place in (place for pattern in _INSTALLED for place in sorted(folder.glob(pattern))):
        if os.path.isdir(place / "torch"):  # unlike Path.is_dir, it does not raise if access is denied
            found.setdefault(os.path.realpath(place), str(place))
    return tuple(found.values())


def _parent(folder: Path) -> Path:
    """Return the folder that contains the torch package: `folder` itself, or its parent if it is the package."""
    package = os.path.exists(folder / "__init__.py") and not os.path.exists(folder / "torch")
    return folder.parent if folder.name == "torch" and package else folder


def _files_below(folder: Path) -> list[str]:
    """List the files of the torch package in `folder`."""
    walked = os.walk(folder / "torch")
    return [Path(where, name).relative_to(folder).as_posix() for where, _, names in walked for name in names]


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
        except (NotImplementedError, RuntimeError) as error:  # an unknown compression, or encrypted
            raise Unreadable(f"{path}: {name} in it is not readable by this Python ({error})") from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
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


class _Source(SourceReader):
    """A SourceReader that raises Unreadable for text that cannot be parsed, because the user named its path."""

    def __init__(self, path: str, read: Callable[[str], str | None]) -> None:
        super().__init__(read)
        self._path = path
        self._found: dict[str, Definition] = {}

    def find(self, target: str) -> Definition:
        if target not in self._found:
            try:
                self._found[target] = super().find(target)
            except Undecided as error:
                if isinstance(error.__cause__, UNPARSABLE):
                    raise Unreadable(f"{self._path}: {error}") from error
                raise
        return self._found[target]
