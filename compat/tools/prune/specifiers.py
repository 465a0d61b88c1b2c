"""Which regions a specifier accepts, as `packaging` has it."""

from __future__ import annotations

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from .versions import (
    CANDIDATE,
    EVERY,
    LOCAL,
    MICRO,
    POST,
    STAGE,
    Region,
    Unclear,
    compare,
    compare_release,
    refine,
)


def accepts(specifiers: SpecifierSet, region: Region) -> bool:
    """Whether the whole region is accepted, pre-releases included. Raises Split or Unclear."""
    return all(_accepts(specifier, region) for specifier in specifiers)


def is_prerelease(region: Region) -> bool:
    return region.order(STAGE, CANDIDATE + 0.5) < 0


def _accepts(specifier: Specifier, region: Region) -> bool:
    sign, text = specifier.operator, specifier.version
    if sign == "===":
        raise Unclear("`===` compares the text of versions")
    if text.endswith(".*"):
        return _has_prefix(region, Version(text[:-2]).release) is (sign == "==")
    version = Version(text)
    if sign in ("==", "!="):
        return (compare(region, version, local=version.local is not None) == 0) is (sign == "==")
    if sign == "~=":
        at_least = compare(region, version, local=False) >= 0
        return at_least and _has_prefix(region, version.release[:-1])
    if sign == "<":
        if compare(region, version, local=False) >= 0:
            return False
        plain = not version.is_prerelease and not version.is_postrelease
        return not (plain and _same_release(region, version) and is_prerelease(region))
    if sign == ">":
        if compare(region, version) <= 0:
            return False
        if version.is_prerelease or not _same_release(region, version):
            return True
        post_of_final = not version.is_postrelease and region.order(STAGE, POST) == 0
        return not post_of_final and region.order(LOCAL, 0) == 0
    order = compare(region, version, local=False)
    return order >= 0 if sign == ">=" else order <= 0


def _same_release(region: Region, version: Version) -> bool:
    return compare_release(region, version.release) == 0


def _has_prefix(region: Region, prefix: tuple[int, ...]) -> bool:
    exact = all(region.order(axis, number) == 0 for axis, number in enumerate(prefix[: MICRO + 1]))
    return exact and not any(prefix[MICRO + 1 :])


def regions_of(specifiers: SpecifierSet) -> list[Region]:
    """The regions that make up all torch versions the specifiers accept."""
    return [part for part, inside in refine(EVERY, lambda region: accepts(specifiers, region)) if inside]
