"""Names that tell by themselves what they hold or do, for code that is out of reach."""

from __future__ import annotations

import re

from packaging.version import Version

_NUMBERS = r"v?(\d+)[._](\d+)(?:[._](\d+))?"
_TORCH = r"_*(?:is_|has_|use_|if_)*(?:py)?torch(?:_version)?"
_SIGNS = {
    ">=": "at_least|ge|gte|geq|greater_or_equal(?:_than)?|greater_equal|greater_than_or_equal|equal_or_newer"
    "|(?:equal_or_)?newer_or_equal|min",
    ">": "gt|greater_than|greater|newer_than|above",
    "<=": "at_most|le|lte|leq|less_or_equal(?:_than)?|less_equal|less_than_or_equal|equal_or_older",
    "<": "lt|less_than|less|older_than|below|before|pre",
    "==": "eq|equal|equals",
}
_FLAG = re.compile(
    rf"{_TORCH}_(?:(?P<sign>[a-z_]+?)_)?{_NUMBERS}(?P<after>_(?:plus|or_newer|or_later|or_above))?_*", re.I
)
_HELPER = re.compile(rf"{_TORCH}_(?P<sign>[a-z_]+?)(?:_version)?_*", re.I)
_TELLS = re.compile(
    r"(?i)(?:^|_|is|has)(?:py)?torch(?=_|version|\d)(?:_?version)?_?(?:.*(?:version|\d+_\d+)|"
    r"(?:is_|at_|greater|newer|older|less|ge$|gt$|le$|lt$|eq$|equal|min_|max_))"
)
_PRESENCE = re.compile(r"(?i)(?:available|installed|importable|imported|_?has_?(?:py)?torch$|_?use_?torch$)")
# Projects of their own.
_OTHERS = re.compile(r"(?i)torch_?(?:xla|npu|mlu|musa|hpu|ao|vision|audio|data|text|rec|tune|titan|codec|tensorrt)")
COMPARERS = frozenset(
    ["is_torch_version", "is_torch_version_", "compare_torch_version", "check_torch_version", "torch_version_compare"]
)


def flag(name: str) -> tuple[str, Version] | None:
    """Sign and version that a name such as `TORCH_2_4` or `is_torch_greater_or_equal_than_2_8` tells."""
    found = _FLAG.fullmatch(name)
    if not found or _PRESENCE.search(name):
        return None
    version = Version(".".join(filter(None, found.group(2, 3, 4))))
    if found["after"] or not found["sign"]:
        return (">=", version) if found["after"] or not found["sign"] else None
    sign = sign_of(found["sign"])
    return (sign, version) if sign else None


def sign_of(words: str) -> str | None:
    return next((sign for sign, told in _SIGNS.items() if re.fullmatch(told, words, re.I)), None)


def helper(name: str) -> str | None:
    """The sign that a function such as `torch_version_at_least` compares torch's version by, if its name tells."""
    found = _HELPER.fullmatch(name)
    return sign_of(found["sign"]) if found else None


def tells(name: str) -> bool:
    """Whether a name says that it is about torch's version."""
    return bool(_TELLS.search(name)) and not _OTHERS.search(name) and not presence(name)


def presence(name: str) -> bool:
    """Whether a name says that it is about torch being installed, whichever version."""
    return bool(_PRESENCE.search(name))


WORDS = {sign: sign for sign in (">=", ">", "<=", "<", "==", "!=")} | {
    word: sign
    for sign, words in {">=": ("ge", "gte"), ">": ("gt",), "<=": ("le", "lte"), "<": ("lt",), "==": ("eq",)}.items()
    for word in words
}


def version_of(values: list[object]) -> Version | None:
    """The version that a helper is called with: one text, or two or three numbers."""
    numbers = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
    if len(numbers) in (2, 3) and all(isinstance(number, int) for number in numbers):
        return Version(".".join(map(str, numbers)))
    if len(values) == 1 and isinstance(values[0], str) and re.match(r"v?\d+\.\d", values[0]):
        try:
            return Version(values[0])
        except ValueError:
            return None
    return values[0] if len(values) == 1 and isinstance(values[0], Version) else None
