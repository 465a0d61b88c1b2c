"""The release number alone picks the adapter, no version string raises, and all adapters list the same shims."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.this_torch import RELEASE
from hypothesis import given
from hypothesis import strategies as st

from compat import version
from compat.adapters import (
    NAMES,
    NEWEST_FIRST,
    minor_of,
    modes_for,
    torch_2_9,
    torch_2_10,
    torch_2_11,
    torch_2_12,
    torch_2_15,
)
from compat.shims.base import all_shims

number = st.integers(0, 99)
SUFFIXES = [
    "",
    "+cu130",
    "+rocm7.0",
    "a0+eb65b36.nv26.2",
    ".dev20260301+cu130",
    "rc1",
    "b2",
    ".post1",
    ".post1.dev3+gaudi.1",
]


def test_installed_torch_is_the_one_the_session_names():
    asked = os.environ.get("COMPAT_TEST_TORCH")
    if asked is None:
        pytest.skip("COMPAT_TEST_TORCH is not set")
    assert torch.__version__.partition("+")[0] == asked


def differences(adapter):
    return {name: word for name, word in vars(adapter).items() if not name.startswith("_")}


def modes_of(adapter):
    """Return the modes on an adapter's torches: those of the newest, changed by each older one up to this."""
    if adapter is None:
        return dict.fromkeys(NAMES, "noop")
    modes = {}
    for one in NEWEST_FIRST[: NEWEST_FIRST.index(adapter) + 1]:
        modes |= differences(one)
    return modes


@given(number, number, number, st.sampled_from(SUFFIXES))
def test_release_number_alone_picks_adapter(major, minor, patch, suffix):
    parsed = version.parse(f"{major}.{minor}.{patch}{suffix}")
    expected = next((a for a in NEWEST_FIRST if (major, minor) >= minor_of(a)), None)
    assert modes_for(parsed) == modes_of(expected)


@pytest.mark.parametrize(
    ("said", "adapter"),
    [
        ("2.11.0a0+eb65b36.nv26.2", torch_2_11),
        ("2.11.0.dev20260101", torch_2_11),
        ("2.12.0.dev20260301+cu130", torch_2_12),
        ("2.12.0a0+x", torch_2_12),
        ("2.12.0rc1", torch_2_12),
        ("2.12", torch_2_12),
        ("3", torch_2_15),
        ("2.15.0", torch_2_15),
        ("2.10.9", torch_2_10),
        ("2.9.1", torch_2_9),
        ("2.8.0", None),
        ("2", None),
        ("", None),
        ("unknown", None),
        ("2.12.0-dirty!", None),
        (None, None),
    ],
)
def test_unusual_version_strings_pick_adapter_by_release(said, adapter):
    assert modes_for(version.parse(said)) == modes_of(adapter)


@given(st.text() | st.from_regex(r"2\.1[0-9][a-z.+0-9-]*"))
def test_version_parsing_never_raises(said):
    assert modes_for(version.parse(said)) in [modes_of(adapter) for adapter in (None, *NEWEST_FIRST)]


def test_newest_adapter_lists_every_shim_and_older_ones_only_differences():
    newest, *older = NEWEST_FIRST
    assert list(differences(newest)) == list(NAMES) == [shim.name for shim in all_shims()]
    modes = differences(newest)
    for adapter in older:
        for name, word in differences(adapter).items():
            assert modes[name] != word, f"{adapter.__name__} repeats {name}"
            modes[name] = word
    assert set(modes) == set(NAMES)
    assert {word for adapter in NEWEST_FIRST for word in differences(adapter).values()} <= {
        "native",
        "backport",
        "noop",
    }


def test_torch_without_adapter_gets_noop_for_every_shim():
    for said in ("2.8.0", "unknown", None):
        assert modes_for(version.parse(said)) == dict.fromkeys(NAMES, "noop")


def test_modes_follow_adapters_down_to_the_version():
    assert modes_for(version.parse("2.13.0"))["view_meta_cache"] == "backport"
    assert modes_for(version.parse("2.14.0"))["view_meta_cache"] == "native"
    assert modes_for(version.parse("2.9.1"))["autotune_raw_stream"] == "backport"
    assert modes_for(version.parse("2.10.0a0+x"))["autotune_raw_stream"] == "native"


def test_adapters_are_ordered_newest_first():
    numbers = [minor_of(adapter) for adapter in NEWEST_FIRST]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == len(numbers)


def test_version_and_root_of_running_torch_are_found():
    assert version.text() == torch.__version__
    assert version.folder() == str(Path(torch.__file__).parent)
    assert version.parse(version.text()).release[:2] == RELEASE


@pytest.mark.parametrize("said", [None, 7, ("2", "12")])
def test_odd_torch_version_is_read_from_version_file(monkeypatch, said):
    monkeypatch.setattr(torch, "__version__", said)
    assert version.parse(version.text()).release[:2] == RELEASE


def test_version_of_unimported_torch_is_read_without_import(python):
    code = "import sys; from compat import version; print(version.text(), version.folder(), 'torch' in sys.modules)"
    got: subprocess.CompletedProcess[str] = python("-c", code)
    assert got.stdout.split() == [torch.__version__, str(Path(torch.__file__).parent), "False"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__version__ = '2.12.0'", "2.12.0"),
        ("__version__: str = '2.12.0+cpu'", "2.12.0+cpu"),
        ("from typing import *\n__all__ = []\n__version__ = '1'\ndebug = False", "1"),
        ("__version__ = compute()", None),
        ("version = '2.12.0'", None),
        ("not python(", None),
        ("", None),
        ("\0", None),
    ],
)
def test_version_is_read_from_source_text(tmp_path, text, said):
    file = tmp_path / "version.py"
    file.write_text(text)
    assert version._read(str(file)) == said


def test_missing_version_file_gives_no_version(tmp_path):
    assert version._read(str(tmp_path / "version.py")) is None


def test_blocked_torch_import_gives_no_version(monkeypatch):
    def find_spec(name, path=None, target=None):
        raise ImportError(f"{name} is blocked")

    with monkeypatch.context() as blocked:
        blocked.delitem(sys.modules, "torch")
        blocked.setattr(sys, "meta_path", [SimpleNamespace(find_spec=find_spec)])
        assert version.folder() is None
        assert version.text() is None


def test_source_too_deep_for_the_parser_gives_no_version(tmp_path):
    assert version.stated("x = " + "-" * 100_000 + "1") is None
