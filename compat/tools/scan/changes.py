"""Compare the parameters of a function in two torches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class _Parameter(NamedTuple):
    by_position: bool
    by_name: bool
    required: bool
    word: str  # as the signature has it


def changes(old: str, new: str) -> tuple[str, bool]:
    """Describe how a signature changed.

    Args:
        old: the signature, as `bindings.signature` formats it.
        new: the signature in the other torch.

    Returns:
        The changes in words, or "" if a call cannot notice any; and whether a call of the old function may fail.
    """
    were, are = dict(_parameters(old)), dict(_parameters(new))
    added = [one for name, one in are.items() if name not in were]
    removed = [one for name, one in were.items() if name not in are]
    words = [f"+ {one.word}" for one in added] + [f"- {one.word}" for one in removed]
    breaks = bool(removed) or any(one.required for one in added)
    for name in (name for name in were if name in are):
        before, after = were[name], are[name]
        if before[:3] != after[:3]:
            words.append(_kind_change(before, after))
            breaks |= before.by_position > after.by_position or before.by_name > after.by_name
            breaks |= after.required > before.required
    first, then = ([name for name, one in of.items() if one.by_position] for of in (were, are))
    if any(first.index(name) != then.index(name) for name in set(first) & set(then)):
        words.append("positions changed")
        breaks = True
    return ", ".join(words), breaks


def _kind_change(before: _Parameter, after: _Parameter) -> str:
    if before[:2] == after[:2]:
        return f"{before.word} -> {after.word}"
    kinds = {
        (True, True): "by position or keyword",
        (True, False): "by position only",
        (False, True): "by keyword only",
    }
    return f"{after.word} {kinds[after[:2]]}"


def _parameters(signature: str) -> Iterator[tuple[str, _Parameter]]:
    """Yield each parameter with its name. That of `*args` is `*`, because callers do not see it, and `**` likewise."""
    words = [word for word in signature[1:-1].split(", ") if word]
    end = words.index("/") if "/" in words else 0  # before it: by position only
    keyword_only = False
    for i, word in enumerate(words):
        stars = "*" * (len(word) - len(word.lstrip("*")))
        if word != "/" and word != "*":
            name = stars or word.removesuffix("=...")
            by_position = stars == "*" or not (stars or keyword_only)
            by_name = stars != "*" and i >= end
            yield name, _Parameter(by_position, by_name, not stars and not word.endswith("=..."), word)
        keyword_only |= stars == "*"
