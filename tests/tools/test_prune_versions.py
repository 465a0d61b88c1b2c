"""Regions of versions: what specifiers accept, how regions compare, and how they are split."""

import pytest
from helpers.this_torch import same_on_every_torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from compat.tools.prune.pins import torch_range
from compat.tools.prune.specifiers import accepts, regions_of
from compat.tools.prune.versions import EVERY, LOCAL, Region, Split, Unclear, compare, refine, stage_of

pytestmark = same_on_every_torch

FORMS = (".dev0", ".dev20260101", "a0", "a0+git1", "b1", "rc1", "rc2", "", "+cpu", "+cu130", ".post1", ".post1+cpu")
NUMBERS = [f"{major}.{minor}.{micro}" for major in (1, 2, 3) for minor in (0, 9, 10, 12, 14, 99) for micro in (0, 1, 9)]
VERSIONS = [f"{number}{form}" for number in NUMBERS for form in FORMS]
SPECIFIERS = [
    ">=2.10", ">=2.10,<3", "==2.14.0", "==2.14.*", "<2.12", ">2.10.0", "~=2.10", "~=2.10.1", "!=2.12.0,>=2.9",
    ">=2.12.0.dev0,<2.13", "<=2.12.0", ">2.12.0rc1", "<2.12.0rc2", ">2.10.0.post1", "!=2.12.*", "<2.12.0.post1",
]  # fmt: skip


def point(text):
    """The region that holds one version."""
    version = Version(text)
    stage, serial, _ = stage_of(version)
    return Region(tuple((n, n) for n in (*version.release, stage, serial, int(version.local is not None))))


def holds(region, text):
    return all(low <= n <= high for (low, high), (n, _) in zip(region.axes, point(text).axes))


@pytest.mark.parametrize("text", SPECIFIERS)
def test_specifier_accepts_what_packaging_accepts(text):
    specifiers = SpecifierSet(text)
    regions = regions_of(specifiers)
    for version in VERSIONS:
        accepted = specifiers.contains(version, prereleases=True)
        assert accepts(specifiers, point(version)) is accepted, version
        assert [holds(region, version) for region in regions].count(True) == accepted, version


@pytest.mark.parametrize("other", ["2.9", "2.12", "2.12.0.dev0", "2.12.0a0", "2.12.0rc1.dev3", "2.12.0.1", "1!1.0"])
def test_region_compares_as_packaging_does(other):
    for version in VERSIONS:
        order = compare(point(version), Version(other))
        left, right = Version(version), Version(other)
        assert order == (left > right) - (left < right), version


def test_builds_of_one_release_are_not_told_apart():
    with pytest.raises(Unclear, match="depends on the build"):
        compare(point("2.12.0+cpu"), Version("2.12.0+cu130"))


def test_parts_of_a_split_make_up_the_region():
    with pytest.raises(Split) as split:
        compare(EVERY, Version("2.12"))
    parts = EVERY.parts(split.value)
    for version in VERSIONS:
        assert [holds(part, version) for part in parts].count(True) == 1


def test_refining_ends_with_one_answer_for_each_part():
    parts = list(refine(EVERY, lambda region: compare(region, Version("2.12.1rc2"))))
    assert {answer for _, answer in parts} == {-1, 0, 1}
    for version in VERSIONS:
        (answer,) = (answer for part, answer in parts if holds(part, version))
        assert answer == (Version(version) > Version("2.12.1rc2")) - (Version(version) < Version("2.12.1rc2"))


def test_a_release_has_no_serial():
    region = EVERY.narrowed(3, 4)
    assert region.example() == "0.0.0"
    assert region.narrowed(LOCAL, 1).example() == "0.0.0+cu130"


FILES = {
    "pyproject.toml": ('[project]\nkeywords = ["torch"]\ndependencies = [\n  "numpy",\n  "torch>=2.12,<2.16", # us\n]\n'
                       '[build-system]\nrequires = ["torch==2.14.0"]\n', "<2.16,>=2.12"),
    "build.toml": ('[build-system]\nrequires = [\n    "torch == 2.14.0",\n]\n[project]\ndependencies = ["torchao"]\n',
                   "==2.14.0"),
    "extra.toml": ('[project.optional-dependencies]\na = ["torch[opt]==2.11.*"]\nb = ["torch==2.12.1; extra==\'b\'"]\n',
                   "==2.11.* or ==2.12.1"),
    "poetry.toml": ('[tool.poetry.dependencies]\npython = "^3.10"\ntorch = "^2.4"\n', "<3,>=2.4"),
    "groups.toml": ('[tool.poetry.group.gpu.dependencies]\ntorch = {version = "~2.4.1", source = "x"}\n',
                    "<2.5,>=2.4.1"),
    "exact.toml": ('[tool.poetry.dependencies]\ntorch = "2.14.0"\n', "==2.14.0"),
    "setup.py": ("from setuptools import setup\nsetup(install_requires=['numpy', 'torch>=2.6'])\n", ">=2.6"),
    "METADATA": ("Name: engine\nRequires-Dist: torch (>=2.6) ; extra == 'x'\nRequires-Dist: torchao\n", ">=2.6"),
    "requirements.txt": ("# torch==1.0\n-r other/more.txt\n--extra-index-url x\ntorchaudio==2.11.0\n", ">=2.10"),
    "bare.txt": ("torch\n", "any"),
    "local.txt": ("torch==2.11.0+cpu ; python_version > '3'\n", "==2.11.0+cpu"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_range_is_read_from_an_engines_own_file(tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "more.txt").write_text("torch>=2.10 --hash=sha256:00\n")
    (tmp_path / name).write_text(FILES[name][0])
    torches = torch_range(str(tmp_path / name))
    assert torches.text == FILES[name][1]
    assert torches.regions


@pytest.mark.parametrize(("typed", "meant"), [
    ("2.10", "==2.10.*"), ("2.14.0", "==2.14.0"), ("torch>=2.10", ">=2.10"), ("torch == 2.14.1", "==2.14.1"),
    ("2.15.0.dev0", "==2.15.0.dev0"),
])  # fmt: skip
def test_version_and_requirement_are_taken_as_specifiers(typed, meant):
    assert torch_range(typed).text == meant


def test_several_specs_make_one_range():
    torches = torch_range("==2.11.0+cpu", "==2.14.*")
    assert "2.14.1" in torches
    assert torches.texts == ["==2.11.0+cpu", "==2.14.*"]
    assert any(region.axes[1] == (11, 11) for region in torches.regions)


@pytest.mark.parametrize(("spec", "says"), [
    ("no/such/file.toml", "no version specifier"),
    ("x" * 300, "no version specifier"),
    ("numpy>=2", "not on torch"),
    ("===2.10.0", "compares the text of versions"),
    (">=2.12,<2.11", "there is no torch version in"),
    ("{folder}/none.txt", "has no requirement on torch"),
    ("{folder}/broken.txt", "cannot be read"),
])  # fmt: skip
def test_bad_range_is_one_sentence(tmp_path, spec, says):
    (tmp_path / "none.txt").write_text("numpy\n")
    (tmp_path / "broken.txt").write_text("-r missing.txt\n")
    with pytest.raises(ValueError, match=says) as error:
        torch_range(spec.format(folder=tmp_path))
    assert "\n" not in str(error.value)
