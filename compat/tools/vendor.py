"""`python -m compat vendor`: the runtime copied into an engine's tree, with a manifest that tells whether it is whole.

A copy is made whole beside its place and then exchanged with what stands there, so an interrupted run leaves the old
copy or the new one.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import keyword
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..errors import CompatError

PACKAGE = Path(__file__).parents[1]
LEFT_BEHIND = ("tools", "__pycache__")
MANIFEST, LICENSE = "VENDORED.json", "LICENSE"
# The torches that this version was tested on; pyproject.toml has the same list, and a test compares the two.
TESTED = ("2.9.1", "2.10.0", "2.11.0", "2.12.0", "2.12.1", "2.13.0", "2.14.0", "2.14.1", "2.15.0")

Files = dict[str, bytes]


class Copy(NamedTuple):
    """A copy as it is, held against its own manifest."""

    version: str
    changed: list[str]
    missing: list[str]
    extra: list[str]

    def differences(self) -> Iterator[str]:
        for kind in ("changed", "missing", "extra"):
            yield from (f"  {kind:<8} {path}" for path in getattr(self, kind))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("dest", metavar="DEST", help="the folder that holds the copy, or will hold it")
    parser.add_argument("--name", help="the name of the copy in that folder (default: compat)")
    parser.add_argument("--force", action="store_true", help="overwrite a copy that was edited")
    parser.add_argument("--check", action="store_true", help="change nothing; list the edits in the copy")


def run(dest: str, name: str | None, force: bool, check: bool) -> int:
    """The command. Returns 0, or 1 where a copy is not what its manifest says. Raises ValueError and CompatError."""
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise ValueError(f"--name is {name!r}; it can be any name that Python can import")
    # What a link leads to is replaced, not the link. os.path, since Path raises for names and links that lead nowhere.
    there = name is None and os.path.exists(os.path.join(dest, MANIFEST))
    place = Path(os.path.realpath(dest if there else os.path.join(dest, name or PACKAGE.name)))
    try:
        return _check(place) if check else _vendor(place, force)
    except OSError as error:
        raise CompatError(f"{error.filename or place}: {error.strerror or error}") from error


def _check(place: Path) -> int:
    copy = read(place)
    differences = list(copy.differences())
    if differences:
        print(f"{place} is not compat {copy.version} as it was vendored:", *differences, sep="\n")
        return 1
    print(f"{place} is compat {copy.version}, whole and unmodified")
    return 0


def _vendor(place: Path, force: bool) -> int:
    files = runtime()
    place.parent.mkdir(parents=True, exist_ok=True)
    tidy(place)
    before = None
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        before = read(place)
        differences = list(before.differences())
        if differences and not force:
            print(f"{place} was edited since compat {before.version} was vendored there:", *differences, sep="\n")
            print(
                f"To see the edits: vendor compat {before.version} elsewhere, then `diff -ru ELSEWHERE/{place.name} "
                f"{place}`. To overwrite them: --force."
            )
            return 1
    replace(place, files)
    print(f"{place} is compat {__version__} now" + (f"; it was {before.version}" if before else ""))
    return 0


def runtime() -> Files:
    """What a copy consists of, the manifest included."""
    files = {}
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] not in LEFT_BEHIND and (path.suffix == ".py" or path.name == "py.typed"):
            files[inside.as_posix()] = path.read_bytes()
    files[LICENSE] = _license().read_bytes()
    digests = {path: digest(content) for path, content in files.items()}
    manifest = {"compat": __version__, "tested_on_torch": TESTED, "files": digests}
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    return files


def _license() -> Path:
    """Beside the package in a checkout; where pip installed it, in what pip keeps about it."""
    about = PACKAGE.parent / f"{PACKAGE.name}-{__version__}.dist-info"
    for path in (about / "licenses" / LICENSE, about / LICENSE):
        if path.is_file():
            return path
    if (PACKAGE.parent / "pyproject.toml").is_file() and (PACKAGE.parent / LICENSE).is_file():
        return PACKAGE.parent / LICENSE
    raise CompatError(f"no {LICENSE} belongs to {PACKAGE}: vendor from a checkout, or from compat as pip installs it")


def digest(content: bytes) -> str:
    # Line ends do not count: git may turn them when it checks a copy out.
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read(place: Path) -> Copy:
    """The copy at `place`. Raises CompatError where there is none."""
    try:
        manifest = json.loads((place / MANIFEST).read_bytes())
        version, digests = manifest["compat"], dict(manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        raise CompatError(f"{place} is no copy of compat: it has no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError):
        raise CompatError(f"{place} is no copy of compat: its {MANIFEST} is not one of compat's") from None
    inside = [path.relative_to(place) for path in place.rglob("*") if not path.is_dir()]
    here = {path.as_posix(): place / path for path in inside if "__pycache__" not in path.parts}
    del here[MANIFEST]
    changed = [name for name in here if name in digests and digest(here[name].read_bytes()) != digests[name]]
    return Copy(version, sorted(changed), sorted(digests.keys() - here.keys()), sorted(here.keys() - digests.keys()))


def _aside(place: Path, why: str) -> Path:
    return place.with_name(f".{place.name}.{why}-{secrets.token_hex(4)}")


def replace(place: Path, files: Files) -> None:
    """Makes `place` a folder of exactly these files. It is what it was until, in one step, it is that."""
    new = _aside(place, "new")
    try:
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if place.exists():
            exchange(new, place)
        else:
            os.replace(new, place)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # the old copy, or what there is of a new one that failed


def exchange(new: Path, place: Path) -> None:
    """Swaps two folders. In one step where the system can (Linux). Elsewhere in two, and a run that is killed between
    them leaves the old copy aside, where `tidy` finds it."""
    if _exchange_in_one_step(new, place):
        return
    old = _aside(place, "old")
    os.replace(place, old)
    try:
        os.replace(new, place)
    except BaseException:
        os.replace(old, place)
        raise
    os.replace(old, new)


def _exchange_in_one_step(one: Path, other: Path) -> bool:
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    at_cwd, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), swap) == 0)


def tidy(place: Path) -> None:
    """Cleans up after a run that was killed: puts an old copy back that has no successor, removes the rest."""
    for left in list(place.parent.iterdir()):
        if left.name.startswith(f".{place.name}.old-") and not place.exists():
            os.replace(left, place)
        elif left.name.startswith((f".{place.name}.old-", f".{place.name}.new-")):
            shutil.rmtree(left)
