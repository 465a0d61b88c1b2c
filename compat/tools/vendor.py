"""Copy the runtime into an engine's tree, with a manifest that tells whether the copy is complete and unmodified.

A copy is built beside its place and then exchanged with the folder that is there. If a run is interrupted, the old copy
or the new one is in place, never a mixture.
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
from typing import Any, NamedTuple

from .. import __version__
from ..errors import CompatError
from .subset import Subset, subset

PACKAGE = Path(__file__).parents[1]
LEFT_BEHIND = ("tools", "__pycache__")
MANIFEST, LICENSE = "VENDORED.json", "LICENSE"
# The torches that this version was tested on; pyproject.toml has the same list, and a test compares the two.
TESTED = ("2.9.1", "2.10.0", "2.11.0", "2.12.0", "2.12.1", "2.13.0", "2.14.0", "2.14.1", "2.15.0")

Files = dict[str, bytes]


class Options(NamedTuple):
    """How a copy was made. The manifest keeps it, so that an update makes the new copy in the same way."""

    torch: str | None = None  # the range of torches that the copy is for
    shims: tuple[str, ...] | None = None  # the shims that were asked for
    header: str = ""  # the first lines of each Python file
    reproducers: bool = True  # whether the copy has them, and the command `check`

    @property
    def digest(self) -> str:
        """Return what shows an edit of the options in the manifest."""
        # Without the defaults, so that an option that joins later changes no digest.
        chosen = dict(self._asdict().items() - self._field_defaults.items())
        return digest(json.dumps(chosen, sort_keys=True).encode())


class Copy(NamedTuple):
    """A copy on disk, compared with its own manifest."""

    version: str
    options: Options
    changed: list[str]
    missing: list[str]
    extra: list[str]

    def differences(self) -> Iterator[str]:
        for kind in ("changed", "missing", "extra"):
            yield from (f"  {kind:<8} {path}" for path in getattr(self, kind))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    place = "the folder that holds the copy, or will hold it: engine/third_party, which linters leave alone"
    parser.add_argument("dest", metavar="DEST", help=place)
    parser.add_argument("--name", help="the name of the copy in that folder (default: compat)")
    parser.add_argument("--torch", metavar="SPEC", help="leave out what no torch in this range can use, as in '>=2.14'")
    parser.add_argument("--shims", nargs="+", metavar="SHIM", help="leave out all other shims")
    parser.add_argument("--header", metavar="FILE", help="start each Python file with the text of this file")
    parser.add_argument("--no-reproducers", action="store_true", help="leave out the command `check` and its files")
    whole = "forget these options of the copy that is there; without it, an update keeps them"
    parser.add_argument("--whole", action="store_true", help=whole)
    parser.add_argument("--force", action="store_true", help="overwrite a copy that was edited")
    parser.add_argument("--check", action="store_true", help="change nothing; list the edits in the copy")


def run(
    dest: str,
    name: str | None = None,
    torch: str | None = None,
    shims: list[str] | None = None,
    header: str | None = None,
    no_reproducers: bool = False,
    whole: bool = False,
    force: bool = False,
    check: bool = False,
) -> int:
    """Run the command.

    Args:
        dest: the folder of the copy, or the folder that holds it.
        name: the name of the copy.
        torch: a version specifier. Shims and adapters that no torch in it can use are left out.
        shims: the shims to keep.
        header: a file of comment lines, for the start of each Python file.
        no_reproducers: leave out the command `check` and its files.
        whole: do not take the options above from the copy that is there.
        force: overwrite a copy that was edited.
        check: change nothing.

    Returns:
        0, or 1 if the copy was edited.

    Raises:
        ValueError: an argument cannot be used.
        CompatError: the folder cannot be read or written, or it has something else in it.
    """
    if not dest.strip():  # as from an unset shell variable
        raise ValueError(f"DEST is {dest!r}; it can be the folder that holds the copy, such as engine/third_party")
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise ValueError(f"--name is {name!r}; it can be any name that Python can import")
    if check and ((torch, shims, header) != (None, None, None) or no_reproducers or whole):
        words = "--torch, --shims, --header, --no-reproducers or --whole"
        raise ValueError(f"--check takes no {words}; the manifest of the copy has them")
    text = "" if header is None else _header(header)
    asked = Options(torch, None if shims is None else tuple(shims), text, not no_reproducers)
    # Replace the target of a link, not the link. Path.exists raises for some names; os.path.exists does not.
    there = name is None and os.path.exists(os.path.join(dest, MANIFEST))
    place = Path(os.path.realpath(dest if there else os.path.join(dest, name or PACKAGE.name)))
    try:
        return _check(place) if check else _vendor(place, asked, whole, force)
    except OSError as error:
        raise CompatError(f"{error.filename or place}: {error.strerror or error}") from error


def _header(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"--header is {path!r}, which cannot be read: {error}") from error
    lines = text.splitlines()
    if not any(lines) or not all(line.startswith("#") or not line.strip() for line in lines):
        raise ValueError(
            f"--header is {path!r}; it can be a file of Python comments, with `#` at the start of each line"
        )
    return "".join(f"{line}\n" for line in lines)


def _check(place: Path) -> int:
    copy = read(place)
    differences = list(copy.differences())
    if differences:
        print(f"{place} differs from compat {copy.version} as it was vendored:", *differences, sep="\n")
        return 1
    print(f"{place} is compat {copy.version}, complete and unmodified{_described(copy.options)}")
    return 0


def _described(options: Options) -> str:
    words = [f"for torch {options.torch}"] if options.torch else []
    words += [f"with the shims {', '.join(options.shims)}"] if options.shims is not None else []
    words += ["with a header"] if options.header else []
    words += [] if options.reproducers else ["without reproducers"]
    return f" ({', '.join(words)})" if words else ""


def _vendor(place: Path, asked: Options, whole: bool, force: bool) -> int:
    runtime(asked)  # raises for what was asked for, before anything is written
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
    options = _merged(asked, before.options if before and not whole else Options())
    replace(place, runtime(options))
    print(
        f"{place} is now compat {__version__}{_described(options)}" + (f"; it was {before.version}" if before else "")
    )
    for shim, reason in _subset(options).left_out.items():
        print(f"  left out: {shim} ({reason})")
    return 0


def _merged(asked: Options, kept: Options) -> Options:
    """Return the options of an update.

    Raises:
        CompatError: no copy can be made with them. `asked` alone is known to be fine.
    """
    options = Options(
        asked.torch or kept.torch,
        kept.shims if asked.shims is None else asked.shims,
        asked.header or kept.header,
        asked.reproducers and kept.reproducers,
    )
    try:
        _subset(options)
    except ValueError as error:
        asks = [f"torch {kept.torch}"] if kept.torch and not asked.torch else []
        if kept.shims is not None and asked.shims is None:
            asks.append(f"the shims {', '.join(kept.shims) or '(none)'}")
        what = f"the manifest of the copy asks for {' and '.join(asks)}"
        raise CompatError(f"{what}; pass --torch, --shims or --whole: {error}") from error
    return options


def runtime(options: Options = Options()) -> Files:  # noqa: B008 (immutable)
    """Return the files of a copy by path, including the manifest.

    Raises:
        ValueError: the options name an unknown shim, or a range without a torch.
        CompatError: the licence of this package cannot be found.
    """
    chosen = _subset(options)
    files = {}
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE).as_posix()
        is_runtime = inside.split("/")[0] not in LEFT_BEHIND and not chosen.removes(inside)
        if is_runtime and path.suffix == ".py":
            files[inside] = options.header.encode() + chosen.trim(inside, path.read_bytes())
        elif is_runtime and path.name == "py.typed":
            files[inside] = path.read_bytes()
    files[LICENSE] = _license().read_bytes()
    manifest = {
        "compat": __version__,
        "tested_on_torch": [version for version in TESTED if chosen.covers(version)],
        **options._asdict(),
        "options_digest": options.digest,
        "left_out": chosen.left_out,
        "adapters_left_out": chosen.adapters,
        "files": {path: digest(content) for path, content in files.items()},
    }
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    return files


def _subset(options: Options) -> Subset:
    return subset(options.torch, options.shims, options.reproducers)


def _license() -> Path:
    """Return the path of the licence: in pip's metadata if pip installed the package, else beside it in a checkout."""
    about = PACKAGE.parent / f"{PACKAGE.name}-{__version__}.dist-info"
    for path in (about / "licenses" / LICENSE, about / LICENSE):
        if path.is_file():
            return path
    if (PACKAGE.parent / "pyproject.toml").is_file() and (PACKAGE.parent / LICENSE).is_file():
        return PACKAGE.parent / LICENSE
    raise CompatError(f"no {LICENSE} belongs to {PACKAGE}: vendor from a checkout, or from compat as pip installs it")


def digest(content: bytes) -> str:
    # Line ends do not count, because git may convert them when it checks a copy out.
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read(place: Path) -> Copy:
    """Read the copy at `place`.

    Raises:
        CompatError: there is no copy, or its manifest is not one of compat's.
    """
    try:
        manifest = json.loads((place / MANIFEST).read_bytes())
        version, digests = manifest["compat"], dict(manifest["files"])
        given = {name: manifest[name] for name in Options._fields if name in manifest}  # compat 0.1 has none
        seal = manifest.get("options_digest")  # older copies have none
    except (FileNotFoundError, NotADirectoryError):
        raise CompatError(f"{place} is no copy of compat: it has no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CompatError(f"{place} is no copy of compat: its {MANIFEST} is not one of compat's") from None
    options = _options(place, given)
    inside = [path.relative_to(place) for path in place.rglob("*") if not path.is_dir()]
    here = {path.as_posix(): place / path for path in inside if "__pycache__" not in path.parts}
    del here[MANIFEST]
    changed = [name for name in here if name in digests and digest(here[name].read_bytes()) != digests[name]]
    if seal not in (None, options.digest):
        changed.append(f"{MANIFEST} ({', '.join(Options._fields)})")
    missing, extra = digests.keys() - here.keys(), here.keys() - digests.keys()
    return Copy(version, options, sorted(changed), sorted(missing), sorted(extra))


def _options(place: Path, given: dict[str, Any]) -> Options:
    """Check the types of the options that a manifest has."""
    for name, value in given.items():
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        right = {
            "torch": value is None or isinstance(value, str),
            "shims": value is None or is_list,
            "header": isinstance(value, str),
            "reproducers": isinstance(value, bool),
        }
        if not right[name]:
            what = f"{place / MANIFEST} was edited: {name!r} is {value!r}"
            raise CompatError(f"{what}; restore the file, or remove {place} and vendor again")
    options = Options(**given)
    return options._replace(shims=None if options.shims is None else tuple(options.shims))


def _aside(place: Path, why: str) -> Path:
    return place.with_name(f".{place.name}.{why}-{secrets.token_hex(4)}")


def replace(place: Path, files: Files) -> None:
    """Make `place` a folder of exactly these files. The last step alone changes `place`."""
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
        shutil.rmtree(new, ignore_errors=True)  # the old copy, or a new one that is not complete


def exchange(new: Path, place: Path) -> None:
    """Swap two folders.

    Linux does it in one step. Elsewhere it takes two: if a run is killed between them, the old copy stays aside, and
    the next run puts it back with `tidy`.
    """
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
    """Clean up after a run that was killed: put back an old copy that has no successor, and remove the rest."""
    for left in list(place.parent.iterdir()):
        if left.name.startswith(f".{place.name}.old-") and not place.exists():
            os.replace(left, place)
        elif left.name.startswith((f".{place.name}.old-", f".{place.name}.new-")):
            shutil.rmtree(left)
