"""`vendor --torch --shims --header`: a copy without what its engine cannot use, that remembers how it was made."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.this_torch import ASK, ROOT, same_on_every_torch
from packaging.version import Version

import compat
from compat import adapters, selection, shims
from compat.__main__ import main
from compat.adapters import NAMES, NEWEST_FIRST
from compat.probe.requirements import Answer
from compat.shims.base import all_shims
from compat.tools import vendor
from compat.tools.scan.support import known
from compat.tools.subset import subset

pytestmark = same_on_every_torch

HEADER = "# SPDX-License-Identifier: Apache-2.0\n# SPDX-FileCopyrightText: the engine\n"
FIXES = {shim.name for shim in all_shims() if shim.kind == "fix"}


def manifest(copy: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((copy / vendor.MANIFEST).read_bytes())
    return read


def modules(copy: Path, folder: str) -> set[str]:
    return {path.stem for path in (copy / folder).glob("*.py")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "third_party"


@pytest.fixture
def header(tmp_path: Path) -> str:
    (tmp_path / "header.txt").write_text(HEADER)
    return str(tmp_path / "header.txt")


def vendored(place: Path, *options: str) -> Path:
    assert main(["vendor", str(place), *options]) == 0
    return place / "compat"


# --- the choice ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("torch", "gone", "stays"), [
    (">=2.14", {"view_meta_cache", "fx_strides", "cache_dir"}, {"pattern_matcher_dtypes", "lazy_graph_module"}),
    (">=2.13", {"fx_strides", "cache_dir"}, {"view_meta_cache"}),
    ("==2.14.0", {"view_meta_cache"}, {"pattern_matcher_dtypes"}),
    ("2.14", {"view_meta_cache"}, {"pattern_matcher_dtypes"}),
    ("torch>=2.14.1,<2.15", {"view_meta_cache"}, {"pattern_matcher_dtypes"}),
    ("==2.14.0a0+git12", {"fx_strides"}, {"pattern_matcher_dtypes", "view_meta_cache"}),
    ("2.15.0a0+git12", {"view_meta_cache"}, {"ambient_autocast", "cleared_cache_folder"}),
    (">=2.15.0.dev20260901", {"view_meta_cache"}, {"ambient_autocast", "cleared_cache_folder"}),
    (">2.15.0rc1,<2.16", {"view_meta_cache"}, {"ambient_autocast", "cleared_cache_folder"}),
    (">=2.15,!=2.15.0rc1", {"view_meta_cache", "ambient_autocast", "cleared_cache_folder"}, {"lazy_graph_module"}),
    (">=2.15,<2.16.0a0", {"view_meta_cache", "ambient_autocast", "cleared_cache_folder"}, {"lazy_graph_module"}),
    (">=2.99", {"view_meta_cache"}, {"pattern_matcher_dtypes"}),
    ("==2.11.*", {"fx_cache_pickle"}, {"fx_strides", "aot_runtime_env", "realize_on_reuse"}),
    (">=2.9", set(), FIXES),
])  # fmt: skip
def test_shims_that_no_torch_in_the_range_can_use_are_left_out(torch: str, gone: set[str], stays: set[str]) -> None:
    left_out = subset(torch, None).left_out
    assert gone <= left_out.keys()
    assert not stays & left_out.keys()
    assert all(shim not in left_out for shim in ("lazy_graph_module", "realize_on_reuse"))  # an engine calls them


@pytest.mark.parametrize(("torch", "same"), [
    ("2", ">=2,<3"),
    ("2.*", ">=2,<3"),
    ("v2", ">=2,<3"),
    ("2.14", "==2.14.*"),
    ("2.14.*", "==2.14.*"),
    ("2.14.1", "==2.14.1"),
    ("2.14.1.*", "==2.14.1"),
    (" torch 2.14.1 ", "==2.14.1"),
])  # fmt: skip
def test_a_bare_version_is_a_range(torch: str, same: str) -> None:
    chosen, other = subset(torch, None), subset(same, None)
    assert (chosen.left_out.keys(), chosen.adapters) == (other.left_out.keys(), other.adapters)
    assert [*map(chosen.covers, vendor.TESTED)] == [*map(other.covers, vendor.TESTED)]


@pytest.mark.parametrize(("torch", "oldest"), [
    (">=2.14", "torch_2_14"),
    ("==2.14.1", "torch_2_14"),
    (">=2.12,<2.14", "torch_2_12"),
    (">=2.14.0.dev1", "torch_2_14"),
    (">=2.15.0.dev20260901", "torch_2_15"),
    ("<2.12", "torch_2_9"),
    (">=2.4", "torch_2_9"),
    (">=2.99", "torch_2_15"),
])  # fmt: skip
def test_adapters_older_than_the_range_are_left_out_and_newer_ones_stay(torch: str, oldest: str) -> None:
    names = [adapter.__name__.rpartition(".")[2] for adapter in NEWEST_FIRST]
    kept = [name for name in names if name not in subset(torch, None).adapters]
    assert kept == names[: names.index(oldest) + 1]


def test_every_left_out_fix_is_native_on_every_recorded_torch_in_the_range() -> None:
    for name in subset(">=2.13", None).left_out:
        for torch in ("2.13.0", "2.14.1", "2.15.0"):
            assert known()[torch]["live"][name]["auto"] == "native"


def test_without_a_range_or_names_nothing_is_left_out() -> None:
    assert subset(None, None) == (None, None, {}, (), (), True, True)


def test_named_shims_are_kept_with_the_shims_that_they_import() -> None:
    left_out = subset(None, ["lazy_graph_break"]).left_out
    assert set(NAMES) - left_out.keys() == {"lazy_graph_break", "lazy_graph_module"}
    assert left_out["fx_strides"] == "not among --shims"


def test_a_named_shim_that_no_torch_can_use_is_left_out_with_the_reason() -> None:
    left_out = subset(">=2.14", ["fx_strides", "pattern_matcher_dtypes"]).left_out
    assert left_out["fx_strides"] == "vendored for torch >=2.14, which has it"
    assert "pattern_matcher_dtypes" not in left_out


@pytest.mark.parametrize(("options", "said"), [
    (["--torch", ">=2.14", "--shims", "fx_strides"], "empty; fx_strides: vendored for torch >=2.14, which has it"),
    (["--torch", "new"], "--torch is 'new'; it can be a version specifier such as '>=2.14'"),
    (["--torch", ""], "--torch is ''; it can be a version specifier such as '>=2.14'"),
    (["--torch", " "], "--torch is ' '; it can be a version specifier such as '>=2.14'"),
    (["--torch", "torch"], "--torch is 'torch'; it can be a version specifier such as '>=2.14'"),
    (["--torch", "2.14.x"], "--torch is '2.14.x'; it can be a version specifier such as '>=2.14'"),
    (["--torch", "<1.0"], "there is no torch version in it"),
    (["--shims", "nothing"], "there is no shim 'nothing'"),
    (["--header", "nowhere.txt"], "--header is 'nowhere.txt', which cannot be read"),
    (["--check", "--torch", ">=2.14"], "--check takes no --torch"),
    (["--check", "--torch", ""], "--check takes no --torch"),
    (["--header", ""], "--header is '', which cannot be read"),
])  # fmt: skip
def test_an_unusable_option_is_one_sentence_and_writes_nothing(
    options: list[str], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["vendor", str(place), *options]) == 2
    assert said in capsys.readouterr().err
    assert not place.exists()


# --- the copy ------------------------------------------------------------------------------------------------------


def test_a_smaller_copy_lacks_the_files_and_every_mention_in_imports(place: Path) -> None:
    copy = vendored(place, "--torch", ">=2.14", "--shims", "pattern_matcher_dtypes")
    assert modules(copy, "shims") & set(NAMES) == {"pattern_matcher_dtypes"}
    assert modules(copy, "selfcheck/reproducers") == {"__init__", "pattern_matcher_dtypes"}
    assert modules(copy, "adapters") == {"__init__", "torch_2_14", "torch_2_15"}
    for path in copy.rglob("*.py"):
        ast.parse(path.read_bytes())
    init = (copy / "__init__.py").read_text()
    assert "import force_recompile" not in init
    assert '    "lazy_graph_module",' not in init
    assert '"install"' in init
    text = (copy / "adapters" / "__init__.py").read_text()
    assert "torch_2_13,\n" not in text
    assert text.count("torch_2_14,\n") == 2


def said(place: Path, code: str, *arguments: str) -> str:
    """Return what a new Python prints that imports the copy."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_adapter_names_the_shims_of_the_copy_alone(place: Path) -> None:
    vendored(place, "--torch", ">=2.14", "--shims", "pattern_kwargs", "lazy_graph_module")
    code = "from compat import adapters, version; print(adapters.NAMES, adapters.modes_for(version.parse('2.14')))"
    modes = "{'lazy_graph_module': 'native', 'pattern_kwargs': 'backport'}"
    assert said(place, code) == f"('lazy_graph_module', 'pattern_kwargs') {modes}\n"


def test_a_copy_has_the_functions_of_api_that_its_shims_are_behind(place: Path) -> None:
    copy = vendored(place, "--shims", "register_custom_class", "mark_unbacked")
    text = (copy / "api.py").read_text()
    assert "trace_files" not in text
    code = "from compat import api; print(api.__all__, api.mark_unbacked.__name__, api.custom_class_base.__name__)"
    functions = "['custom_class_base', 'mark_unbacked', 'register_custom_class']"
    assert said(place, code) == f"{functions} mark_unbacked custom_class_base\n"


def test_a_copy_without_any_function_of_api_has_no_api(place: Path) -> None:
    copy = vendored(place, "--shims", "pattern_matcher_dtypes")
    assert not (copy / "api.py").exists()
    code = "import compat; print([row.reason for row in compat.status() if row.kind == 'api'], 'api' in compat.__all__)"
    left_out = [name for name, (kind, _) in listed(copy).items() if kind == "api"]
    reasons = ["left out of this copy of compat: not among --shims"] * len(left_out)
    assert said(place, code) == f"{reasons} False\n"


def listed(copy: Path) -> dict[str, tuple[str, str]]:
    """Return the shims that the text of the copy lists as left out."""
    body = ast.parse((copy / "shims" / "__init__.py").read_text()).body
    (value,) = [node.value for node in body if isinstance(node, ast.AnnAssign) and node.value]
    read: dict[str, tuple[str, str]] = ast.literal_eval(value)
    return read


NO_CHECK = [["--shims", "lazy_graph_module"], ["--shims", "fx_strides", "--no-reproducers"]]


@pytest.mark.parametrize("options", NO_CHECK, ids=["no shim has a reproducer", "none is wanted"])
def test_a_copy_without_reproducers_has_no_check(options: list[str], place: Path) -> None:
    copy = vendored(place, *options)
    assert not (copy / "selfcheck").exists()
    command = [sys.executable, "-m", "compat"]
    shown = subprocess.run([*command, "status"], cwd=place, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    done = subprocess.run([*command, "check"], cwd=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    advice = "vendor it again without --no-reproducers, and with a shim that has one"
    assert done.stderr == f"compat: this copy of compat has no reproducers; {advice}\n"


def test_an_update_keeps_no_reproducers_and_whole_forgets_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = vendored(place, "--no-reproducers")
    vendored(place, "--torch", ">=2.14")
    assert main(["vendor", str(place), "--check"]) == 0
    assert "(for torch >=2.14, without reproducers)" in capsys.readouterr().out
    assert manifest(copy)["reproducers"] is False
    assert not (copy / "selfcheck").exists()
    vendored(place, "--whole")
    assert manifest(copy)["reproducers"] is True
    assert (copy / "selfcheck").exists()


@pytest.mark.parametrize("options", [[], ["--shims", "pattern_matcher_dtypes"]], ids=["range", "range and shims"])
def test_a_smaller_copy_can_be_imported(options: list[str], place: Path) -> None:
    vendored(place, "--torch", ">=2.14", *options)
    code = "import compat; from compat.adapters import NEWEST_FIRST; print(len(NEWEST_FIRST), compat.__all__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 ")
    assert ("realize_on_reuse" in done.stdout) is (not options)


LEFT_OUT = """
import json, compat
rows = [[row.name, row.kind, row.mode, row.active, row.reason] for row in compat.status()]
compat.install()
compat.uninstall()
try:
    compat.install("fx_strides")
except ValueError as error:
    print(json.dumps([rows, str(error)]))
"""


def test_a_smaller_copy_says_which_shims_were_left_out(place: Path) -> None:
    copy = vendored(place, "--torch", ">=2.14")
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, error = json.loads(done.stdout)
    assert sorted(row[0] for row in rows) == sorted(NAMES)
    reasons = {name: why for name, kind, *rest, why in rows if [kind, *rest] == ["fix", "noop", False]}
    for name, why in manifest(copy)["left_out"].items():
        assert reasons[name] == f"left out of this copy of compat: {why}"
    why = "vendored for torch >=2.14, which has it"
    assert error.startswith(f"fx_strides was left out of this copy of compat ({why}); ")


# Decide for a torch that lacks the behaviour, and for one that has it.
DECIDE = """
import sys
from compat import selection
from compat.probe.requirements import Answer
class Shim:
    name, native, backport = "pattern_matcher_dtypes", ("native",), ("backport",)
for has_it in (False, True):
    selection.answer = lambda required, reader: Answer("X", has_it or required == "backport", "")
    print(selection.decide(Shim, "auto", "", sys.argv[1], object()).reason)
"""
OLDER = "torch {} lacks it, and this copy of compat was vendored for torch >=2.14; mode='backport' works here"
UNKNOWN = "torch {} lacks it, and gets the backport only on request; mode='backport' works here"
FITS = "torch {} lacks it and the backport fits: X"


@pytest.mark.parametrize(("torch", "lacks_it", "surprise"), [
    ("2.11.0", OLDER, ""),
    ("1.2", OLDER, ""),
    ("2.14.0a0+git1", FITS, ", though by its number it should be backport"),
    ("2.15.0", FITS, ", though by its number it should be backport"),
    ("odd", UNKNOWN, ", though by its number it should be noop"),
])  # fmt: skip
def test_a_copy_names_its_range_to_an_older_torch(torch: str, lacks_it: str, surprise: str, place: Path) -> None:
    vendored(place, "--torch", ">=2.14")
    has_it = f"torch {torch} has it: X{surprise}"
    assert said(place, DECIDE, torch).splitlines() == [lacks_it.format(torch), has_it]


def test_adapter_of_an_older_torch_is_left_out_in_a_copy_with_a_range_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not adapters.is_left_out(Version("2.8"))
    monkeypatch.setattr(adapters, "VENDORED_FOR", ">=2.9")
    torches = [Version("2.8.9"), Version("2.9.0a0"), Version("3"), None]
    assert [*map(adapters.is_left_out, torches)] == [True, False, False, False]
    monkeypatch.setattr(selection, "VENDORED_FOR", ">=2.9")
    failed = {"native": Answer("X", False, "nothing")}
    assert "vendored for torch >=2.9" in selection._no_mode("2.8.0", failed, "")
    assert "vendored" not in selection._no_mode("2.9.0", failed, "")


def test_a_copy_with_the_oldest_adapter_names_no_range(place: Path) -> None:
    vendored(place, "--torch", ">=2.9")
    assert said(place, "from compat import adapters; print(repr(adapters.VENDORED_FOR))") == "''\n"


# The set of docs/engines.md that stands for vLLM's `env_override`.
ENV_OVERRIDE = [
    "fx_strides",
    "fx_cache_pickle",
    "cpp_indirect_assert",
    "aot_runtime_env",
    "operator_str",
    "pattern_matcher_dtypes",
    "autotune_raw_stream",
]
REFUSED = """
try:
    {}
except (ImportError, AttributeError) as error:
    print(type(error).__name__, error, sep=": ")
"""
ADVICE = "to have it, vendor again with a wider --torch or with it among --shims"


@pytest.mark.parametrize(("code", "what"), [
    ("from compat import lazy_graph_module", "lazy_graph_module: lazy_graph_module"),
    ("from compat import force_recompile", "force_recompile: lazy_graph_module"),
    ("import compat; compat.realize_on_reuse", "realize_on_reuse: realize_on_reuse"),
    ("from compat import api", "api: trace_files"),
])  # fmt: skip
def test_a_function_that_was_left_out_says_so(code: str, what: str, place: Path) -> None:
    vendored(place, "--shims", *ENV_OVERRIDE)
    why = f"was left out of this copy of compat (not among --shims); {ADVICE}"
    assert said(place, REFUSED.format(code)) == f"ImportError: compat.{what} {why}\n"


@pytest.mark.parametrize("name", ["lazy_graph_modul", "fx_strides", "__wrapped__"])
def test_a_name_that_compat_never_has_is_an_attribute_error(name: str, place: Path) -> None:
    vendored(place, "--shims", "pattern_matcher_dtypes")
    error = f"AttributeError: module 'compat' has no attribute '{name}'\n"
    assert said(place, REFUSED.format(f"import compat; compat.{name}")) == error


def test_names_of_a_smaller_copy_fail_in_the_same_way_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match="no attribute 'force_recompile'"):
        compat.__getattr__("force_recompile")  # nothing is left out
    monkeypatch.setitem(shims.LEFT_OUT, "lazy_graph_module", ("speed", "not among --shims"))
    with pytest.raises(ImportError, match=r"lazy_graph_module was left out .* \(not among --shims\)"):
        compat.__getattr__("force_recompile")


def test_every_name_that_a_copy_may_lack_has_its_shim() -> None:
    smallest = subset(None, ["pattern_matcher_dtypes"]).trim("__init__.py", Path(compat.__file__).read_bytes()).decode()
    left_out = {name for name in compat.__all__ if f'    "{name}",\n' not in smallest}
    assert left_out == compat._SHIMS.keys()
    assert set(compat._SHIMS.values()) <= set(NAMES)


def test_a_left_out_shim_that_another_copy_has_put_in_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shims.LEFT_OUT, "lazy_graph_module", ("speed", "not among --shims"))
    with compat.lazy_graph_module(mode=ASK):
        # This copy has the shim, too, so it has two rows.
        assert [row.active for row in compat.status() if row.name == "lazy_graph_module"] == [True, True]


def test_all_other_files_are_unchanged(place: Path) -> None:
    copy = vendored(place, "--torch", ">=2.14")
    for path in copy.rglob("*.py"):
        inside = path.relative_to(copy)
        if inside.name != "__init__.py" and inside.parts[0] not in ("adapters", "api.py"):
            assert path.read_bytes() == (vendor.PACKAGE / inside).read_bytes()


def test_the_manifest_records_how_the_copy_was_made(place: Path, header: str) -> None:
    copy = vendored(place, "--torch", ">=2.14", "--shims", "pattern_matcher_dtypes", "--header", header)
    read = manifest(copy)
    assert (read["torch"], read["shims"], read["header"]) == (">=2.14", ["pattern_matcher_dtypes"], HEADER)
    assert read["left_out"]["fx_strides"] == "vendored for torch >=2.14, which has it"
    assert read["left_out"]["lazy_graph_module"] == "not among --shims"
    assert read["adapters_left_out"] == ["torch_2_13", "torch_2_12", "torch_2_11", "torch_2_10", "torch_2_9"]
    assert read["tested_on_torch"] == [torch for torch in vendor.TESTED if torch.startswith(("2.14", "2.15"))]
    assert "shims/fx_strides.py" not in read["files"]


def test_a_complete_copy_leaves_nothing_out(place: Path) -> None:
    read = manifest(vendored(place))
    assert (read["torch"], read["shims"], read["header"], read["left_out"]) == (None, None, "", {})


def test_an_update_keeps_range_shims_and_header(place: Path, header: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy = vendored(place, "--torch", ">=2.14", "--shims", "pattern_matcher_dtypes", "--header", header)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    capsys.readouterr()
    vendored(place)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert "(for torch >=2.14, with the shims pattern_matcher_dtypes, with a header)" in capsys.readouterr().out


def test_an_option_replaces_that_of_the_copy_and_whole_forgets_all(place: Path, header: str) -> None:
    copy = vendored(place, "--torch", ">=2.14", "--header", header)
    vendored(place, "--torch", ">=2.13")
    assert manifest(copy)["torch"] == ">=2.13"
    assert manifest(copy)["header"] == HEADER
    assert "view_meta_cache" in modules(copy, "shims")
    vendored(place, "--whole")
    assert (manifest(copy)["torch"], manifest(copy)["header"], manifest(copy)["left_out"]) == (None, "", {})
    assert set(NAMES) <= modules(copy, "shims")


def test_a_copy_of_a_version_without_options_is_updated_to_a_complete_one(place: Path) -> None:
    copy = vendored(place)
    old = manifest(copy)
    (copy / vendor.MANIFEST).write_text(json.dumps({"compat": "0.1.0", "files": old["files"]}))
    vendored(place)
    assert manifest(copy) == old


@pytest.mark.parametrize("edit", ["add", "remove", "change"])
def test_check_finds_edits_in_a_smaller_copy(edit: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = vendored(place, "--torch", ">=2.14")
    assert main(["vendor", str(place), "--check"]) == 0
    assert "(for torch >=2.14)" in capsys.readouterr().out
    if edit == "add":
        (copy / "shims" / "fx_strides.py").write_bytes((vendor.PACKAGE / "shims" / "fx_strides.py").read_bytes())
    elif edit == "remove":
        (copy / "shims" / "pattern_matcher_dtypes.py").unlink()
    else:
        (copy / "__init__.py").write_bytes((vendor.PACKAGE / "__init__.py").read_bytes() + b"\n")
    assert main(["vendor", str(place), "--check"]) == 1


COPIES = {
    "whole": [],
    "from 2.14": ["--torch", ">=2.14"],
    "from 2.15": ["--torch", ">=2.15"],
    "one shim": ["--shims", "pattern_matcher_dtypes"],
    "one shim from 2.15": ["--torch", ">=2.15", "--shims", "pattern_matcher_dtypes"],
    "one function of api": ["--shims", "trace_files"],
    "no reproducers": ["--no-reproducers"],
    "long range": ["--torch", ">=2.14.0.dev20260901,<2.15.0.dev20261001,!=2.14.0"],
}


@pytest.mark.skipif(shutil.which("ruff") is None, reason="needs ruff")
@pytest.mark.parametrize("options", COPIES.values(), ids=COPIES)
def test_ruff_accepts_a_copy_as_it_is(options: list[str], place: Path) -> None:
    copy = vendored(place, *options)
    rules = ["--no-cache", "--config", str(ROOT / "compat" / "ruff.toml")]
    for command in (["check", *rules], ["format", "--check", *rules]):
        done = subprocess.run(["ruff", *command, copy], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def rewrite(copy: Path, **options: object) -> None:
    """Edit the manifest. The option `options_digest=None` removes it."""
    edited = {**manifest(copy), **options}
    if edited.get("options_digest") is None:
        del edited["options_digest"]
    (copy / vendor.MANIFEST).write_text(json.dumps(edited))


@pytest.mark.parametrize("edit", [
    {"torch": ">=2.9"},
    {"torch": None},
    {"shims": None},
    {"header": "# ours\n"},
    {"reproducers": False},
], ids=str)  # fmt: skip
def test_an_edited_option_in_the_manifest_stops_an_update(
    edit: dict[str, object], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = vendored(place, "--torch", ">=2.14", "--shims", "pattern_matcher_dtypes")
    rewrite(copy)
    assert main(["vendor", str(place), "--check"]) == 0  # another layout of the same JSON is no edit
    rewrite(copy, **edit)
    capsys.readouterr()
    assert main(["vendor", str(place), "--check"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["  changed  VENDORED.json (torch, shims, header, reproducers)"]
    assert main(["vendor", str(place)]) == 1
    vendored(place, "--force", "--whole")
    assert main(["vendor", str(place), "--check"]) == 0


def test_a_manifest_without_the_digest_of_its_options_is_accepted(place: Path) -> None:
    copy = vendored(place, "--torch", ">=2.14")
    rewrite(copy, options_digest=None)
    assert main(["vendor", str(place), "--check"]) == 0
    vendored(place)
    assert "options_digest" in manifest(copy)


@pytest.mark.parametrize(
    "edit",
    [{"torch": 5}, {"shims": "fx_strides"}, {"shims": [5]}, {"shims": {}}, {"header": None}, {"reproducers": "no"}],
    ids=str,
)
@pytest.mark.parametrize("options", [[], ["--check"], ["--force"]], ids=str)
def test_an_option_of_another_type_in_the_manifest_is_one_sentence(
    edit: dict[str, object], options: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = vendored(place)
    rewrite(copy, **edit, options_digest=None)
    capsys.readouterr()
    assert main(["vendor", str(place), *options]) == 2
    ((name, value),) = edit.items()
    words = f"{name!r} is {value!r}; restore the file, or remove {copy} and vendor again"
    assert capsys.readouterr() == ("", f"compat: {copy / vendor.MANIFEST} was edited: {words}\n")


@pytest.mark.parametrize(("kept", "asks", "error"), [
    ({"shims": ["gone_shim"]}, "the shims gone_shim", "there is no shim 'gone_shim'; "),
    ({"torch": "new", "shims": ["fx_strides"]}, "torch new and the shims fx_strides", "--torch is 'new'; "),
    ({"shims": []}, "the shims (none)", "a copy with these --shims "),
])  # fmt: skip
def test_an_update_names_the_options_of_the_manifest_that_it_cannot_keep(
    kept: dict[str, object], asks: str, error: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = vendored(place)
    rewrite(copy, **kept, options_digest=None)
    capsys.readouterr()
    assert main(["vendor", str(place)]) == 2
    start = f"compat: the manifest of the copy asks for {asks}; pass --torch, --shims or --whole: {error}"
    assert capsys.readouterr().err.startswith(start)
    vendored(place, "--whole")


# --- the header ----------------------------------------------------------------------------------------------------


def test_the_header_starts_each_python_file_and_check_accepts_it(place: Path, header: str) -> None:
    copy = vendored(place, "--header", header)
    for path in copy.rglob("*.py"):
        text = path.read_text()
        assert text.startswith(HEADER)
        assert text.removeprefix(HEADER) == (vendor.PACKAGE / path.relative_to(copy)).read_text()
    assert not (copy / "LICENSE").read_text().startswith("# SPDX")
    assert main(["vendor", str(place), "--check"]) == 0


def test_a_removed_header_is_an_edit(place: Path, header: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy = vendored(place, "--header", header)
    path = copy / "version.py"
    path.write_text(path.read_text().removeprefix(HEADER))
    capsys.readouterr()
    assert main(["vendor", str(place), "--check"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["  changed  version.py"]


def test_a_header_without_a_final_newline_gets_one(place: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_bytes(b"# one\r\n# two")
    copy = vendored(place, "--header", str(tmp_path / "short.txt"))
    assert (copy / "version.py").read_bytes().startswith(b"# one\n# two\n")


@pytest.mark.parametrize("text", ["import os\n", "# fine\nprint()\n", "", "\n\n"])
def test_a_header_that_is_no_comment_is_refused(
    text: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code.txt").write_text(text)
    assert main(["vendor", str(place), "--header", str(tmp_path / "code.txt")]) == 2
    assert "it can be a file of Python comments" in capsys.readouterr().err
    assert not place.exists()


def test_helper_module_goes_with_the_last_shim_that_imports_it() -> None:
    assert subset(None, ["trace_files"]).helpers == ("_buffers", "_copies", "_inputs", "_lists", "_redirect", "_trials")
    chosen, other = subset(None, ["kept_snapshots"]), subset(None, ["fx_strides"])
    assert not any(chosen.removes(f"shims/{name}.py") for name in ("_copies", "_buffers", "_lists", "base", "__init__"))
    assert all(other.removes(f"shims/{name}.py") for name in ("_copies", "_buffers", "_lists"))
    assert not any(other.removes(f"shims/{name}.py") for name in ("base", "__init__"))
    assert subset(None, None).helpers == ()
