"""Tells from the text of a file, before it is parsed, whether it is worth parsing."""

from __future__ import annotations

import re

# Each pattern starts with fixed text, which `re` finds many times faster than a choice.
_NAME = re.compile(
    rb"torch(?:\w*version|\w*\d_\d|\.torch_version|_?(?:is_)?(?:ge|gt|le|lt|eq|at_least|greater|less|newer|older)(?![a-z]))"
)
_REQUIREMENT = re.compile(rb"torch\s*(?:[<>=!~]=|[<>]\s*\d)")
_QUOTE = re.compile(rb"[\"']\s*\Z")
_METADATA = re.compile(rb"importlib[._]metadata|importlib\s+import[^\n]*metadata|pkg_resources|get_distribution")
_ASKED_BY_NAME = re.compile(
    rb"(?:version|implement_for|distribution)\(\s*[\"']torch[\"']|(?:compare|require)\w*\(\s*[\"']torch"
)
_NAMED = (b'"torch', b"'torch")
# With `__version__` in the same file, one of these may read the version of torch.
_OWNER = re.compile(
    rb"torch(?:\w*[\"')\]\s]*\.\s*__version__|[\"']|[\"']?\s*,\s*[\"']__version__|\s+as\b"
    rb"|(?:\.\w*version)?\s+import\s+(?:\(|[^\n]*version|\*)|\.version\b(?!\.(?:cuda|hip|xpu)|,\s*[\"'](?:cuda|hip|xpu)))"
)
_ASKS_SOURCE = re.compile(rb"(?<=has|get)attr\(\s*_?torch\b")
_TRIES_IMPORT = re.compile(rb"try:\s*(?:#.*\s*)*(?:from torch\.|import torch\.|from torch import)")
_SEPARATORS = bytes(c if chr(c).isalnum() or c == ord("_") or c > 127 else 32 for c in range(256))


def names_torch(text: bytes) -> bool:
    return b"torch" in text or b"TORCH" in text or b"Torch" in text


def may_read_version(text: bytes) -> bool:
    """Return whether a file may read torch's version, or have a flag that tells of it."""
    text = text.lower()
    if _NAME.search(text) or (b"__version__" in text and _OWNER.search(text)) or _has_requirement(text):
        return True
    if not any(name in text for name in _NAMED):
        return False
    return bool(_METADATA.search(text) or _ASKED_BY_NAME.search(text))


def _has_requirement(text: bytes) -> bool:
    """Return whether a quoted text starts with a requirement such as `torch>=2.4`: a comment's does not count."""
    return any(_QUOTE.search(text, max(0, at.start() - 20), at.start()) for at in _REQUIREMENT.finditer(text))


def asks_torch(text: bytes) -> int:
    """Return how many places ask torch itself: `hasattr(torch, ...)`, `try: from torch import ...`."""
    return len(_ASKS_SOURCE.findall(text)) + len(_TRIES_IMPORT.findall(text))


def words_of(text: bytes) -> set[bytes]:
    """Return the identifiers and other words in the text of a file."""
    return set(text.translate(_SEPARATORS).split())
