"""Two ways to make a code object from another one, each in well under a millisecond.

Exchanging the code of a function, rather than the name that it stands under, reaches everyone who holds the function:
by-name imports, closures, containers. And the function stays the same object, whatever is put on top of it meanwhile.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

# Up to Python 3.11 a method call loads its name by LOAD_METHOD. From 3.12 on that is no real opcode any more: it is
# LOAD_ATTR with the lowest bit of its argument set, and the index of the name stands above that bit.
_SHIFT = int(sys.version_info >= (3, 12))
_LOAD_ATTR = dis.opmap["LOAD_ATTR"]
_CALL_LOAD = _LOAD_ATTR if _SHIFT else dis.opmap["LOAD_METHOD"]
_CACHE = 0  # room that an instruction keeps for the interpreter, from Python 3.11 on

_REPLACEMENT = "<replacement>"


def redirect_calls(code: CodeType, old: tuple[str, str], new: tuple[str, str]) -> CodeType | None:
    """`code` with every call of `….owner.name(...)` turned into one of `….new_owner.new_name(...)`.

    Only the two names change, and only at the calls: other uses of the old names (annotations, isinstance) stay, and so
    do lines and stack. None where the body has no such call, or has so many names that an index does not fit one byte.
    """
    if not set(old) <= set(code.co_names):
        return None
    names = (*code.co_names, *new)
    owner = code.co_names.index(old[0]) << _SHIFT
    method, new_method = (code.co_names.index(old[1]) << _SHIFT) | _SHIFT, ((len(names) - 1) << _SHIFT) | _SHIFT
    if max(owner, method, new_method) > 255:  # so no index needs an EXTENDED_ARG in front, either
        return None
    raw = bytearray(code.co_code)
    load_owner, load_method = bytes((_LOAD_ATTR, owner)), bytes((_CALL_LOAD, method))
    found, at = False, raw.find(load_method)
    while at != -1:
        before = at - 2
        while raw[before] == _CACHE:  # ends: what a method is called on is loaded before
            before -= 2
        if at % 2 == 0 and raw[before : before + 2] == load_owner:
            raw[before + 1], raw[at + 1] = (len(names) - 2) << _SHIFT, new_method
            found = True
        at = raw.find(load_method, at + 1)
    return code.replace(co_code=bytes(raw), co_names=names) if found else None


def call_instead(code: CodeType, replacement: Callable[..., Any], added: Iterable[str] = ()) -> CodeType:
    """A code object that takes what `code` takes and hands all of it to `replacement`.

    Put into the function that `code` comes from, name, signature, defaults and source position stay as they were; but
    for the keyword-only parameters that are `added`.
    """
    plain = code.co_argcount + code.co_kwonlyargcount
    names, rest = code.co_varnames[:plain], list(code.co_varnames[plain:])
    names = (*names, *added)
    takes, gives = list(names), [*names[: code.co_argcount], *(f"{n}={n}" for n in names[code.co_argcount :])]
    star = f"*{rest.pop(0)}" if code.co_flags & 0x04 else ""  # CO_VARARGS
    if star or len(names) > code.co_argcount:
        takes.insert(code.co_argcount, star or "*")
    if star:
        gives.insert(code.co_argcount, star)
    if code.co_flags & 0x08:  # CO_VARKEYWORDS
        takes.append(f"**{rest[0]}")
        gives.append(f"**{rest[0]}")
    if code.co_posonlyargcount:
        takes.insert(code.co_posonlyargcount, "/")
    # A constant is the one thing that a code object brings along by itself: its globals are torch's.
    source = f"def _({', '.join(takes)}): return {_REPLACEMENT!r}.__call__({', '.join(gives)})"
    module = compile(source, code.co_filename, "exec", dont_inherit=True)
    made = next(const for const in module.co_consts if isinstance(const, CodeType))
    consts = tuple(replacement if const == _REPLACEMENT else const for const in made.co_consts)
    same: dict[str, Any] = {"co_name": code.co_name, "co_firstlineno": code.co_firstlineno}
    if hasattr(code, "co_qualname"):  # from Python 3.11 on  # pragma: no branch (3.10 has a row of its own)
        same["co_qualname"] = code.co_qualname
    return made.replace(co_consts=consts, **same)
