"""Tells from the text of a file, before it is parsed, whether it is worth parsing."""

from __future__ import annotations

import re

# Each pattern starts with fixed text, which `re` finds many times faster than a choice.
_AFTER_TORCH = re.compile(
    rb"torch(?:\w*version|\w*\d_\d|[\"']?\s*[<>=!~]=|[\"']?\s*[<>]\d|\.version|\.torch_version"
    rb"|_?(?:is_)?(?:ge|gt|le|lt|eq|at_least|greater|less|newer|older)(?![a-z]))"
)
_ASKED_BY_NAME = re.compile(
    rb"(?:version|implement_for|distribution|import_module|__import__|find_spec|get)\(\s*[\"']torch[\"']"
    rb"|(?:compare|require)\w*\(\s*[\"']torch"
)
_NAMED = (b'"torch', b"'torch")
_ASKS_SOURCE = re.compile(rb"(?<=has|get)attr\(\s*_?torch\b")
_TRIES_IMPORT = re.compile(rb"try:\s*(?:#.*\s*)*(?:from torch\.|import torch\.|from torch import)")
_SEPARATORS = bytes(c if chr(c).isalnum() or c == ord("_") or c > 127 else 32 for c in range(256))


def names_torch(text: bytes) -> bool:
    return b"torch" in text or b"TORCH" in text or b"Torch" in text


def may_read_version(text: bytes) -> bool:
    """Return whether a file may read torch's version, or have a flag that tells of it."""
    text = text.lower()
    if b"__version__" in text or _AFTER_TORCH.search(text):
        return True
    if not any(name in text for name in _NAMED):
        return False
    return b"metadata" in text or b"get_distribution" in text or bool(_ASKED_BY_NAME.search(text))


def asks_torch(text: bytes) -> int:
    """Return how many places ask torch itself: `hasattr(torch, ...)`, `try: from torch import ...`."""
    return len(_ASKS_SOURCE.findall(text)) + len(_TRIES_IMPORT.findall(text))


def words_of(text: bytes) -> set[bytes]:
    """Return the identifiers and other words in the text of a file."""
    return set(text.translate(_SEPARATORS).split())
