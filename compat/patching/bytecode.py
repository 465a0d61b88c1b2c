"""Two ways to make a code object from another one, each in under a millisecond.

Exchanging a function's code, not the name that it stands under, reaches every holder
of the function: by-name imports, closures, containers. The function stays the same
object, whatever another library puts on top of it meanwhile.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any

# Up to Python 3.11, LOAD_METHOD loads the name of a method call. From 3.12 on this is
# LOAD_ATTR with the lowest bit of its argument set; the name's index is above that bit.
_SHIFT = int(sys.version_info >= (3, 12))
_LOAD_ATTR = dis.opmap["LOAD_ATTR"]
_LOAD_METHOD = _LOAD_ATTR if _SHIFT else dis.opmap["LOAD_METHOD"]
_CACHE = 0  # from Python 3.11 on, space that instructions keep for the interpreter

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # bits of co_flags
_PLACEHOLDER = "<replacement>"


def redirect_calls(
    code: CodeType, old: tuple[str, str], new: tuple[str, str]
) -> CodeType | None:
    """Return the code with each call of `x.owner.name(...)` going elsewhere.

    Only the names at the calls change. Other uses of the old names (annotations,
    isinstance) stay, and so do line numbers and stack size.

    Args:
        code: of any function.
        old: `(owner, name)` as called now.
        new: `(owner, name)` to call instead.

    Returns:
        The new code, or None if the code has no such call, or has so many names that
        an index does not fit into one byte.

    """
    if not set(old) <= set(code.co_names):
        return None
    names = (*code.co_names, *new)
    owner = code.co_names.index(old[0]) << _SHIFT
    method = (code.co_names.index(old[1]) << _SHIFT) | _SHIFT
    new_owner = (len(names) - 2) << _SHIFT
    new_method = ((len(names) - 1) << _SHIFT) | _SHIFT
    # If each index fits one byte, no instruction has an EXTENDED_ARG in front.
    if max(owner, method, new_method) > 255:
        return None
    raw = bytearray(code.co_code)
    load_owner, load_method = bytes((_LOAD_ATTR, owner)), bytes((_LOAD_METHOD, method))
    found, at = False, raw.find(load_method)
    while at != -1:
        before = at - 2
        while raw[before] == _CACHE:  # ends: the owner is loaded before the method
            before -= 2
        if at % 2 == 0 and raw[before : before + 2] == load_owner:
            raw[before + 1], raw[at + 1] = new_owner, new_method
            found = True
        at = raw.find(load_method, at + 1)
    return code.replace(co_code=bytes(raw), co_names=names) if found else None


def trampoline(
    code: CodeType,
    holder: object,
    method: str = "__call__",
    new_parameters: Iterable[str] = (),
) -> CodeType:
    """Return code that takes the same arguments and passes them to `holder.method`.

    In the function that `code` comes from, it keeps name, signature, defaults and
    source position; apart from `new_parameters`, which are keyword-only.

    Args:
        code: of any function.
        holder: becomes a constant of the new code.
        method: the attribute of `holder` to call. It is read at each call.
        new_parameters: names.

    """
    takes, gives = _signature(code, tuple(new_parameters))
    # A constant is all that a code object brings along: its globals are torch's.
    source = f"def _({takes}): return {_PLACEHOLDER!r}.{method}({gives})"
    module = compile(source, code.co_filename, "exec", dont_inherit=True)
    made = next(const for const in module.co_consts if isinstance(const, CodeType))
    consts = tuple(
        holder if const == _PLACEHOLDER else const for const in made.co_consts
    )
    same: dict[str, Any] = {
        "co_name": code.co_name,
        "co_firstlineno": code.co_firstlineno,
    }
    if hasattr(code, "co_qualname"):  # pragma: no branch (from Python 3.11 on)
        same["co_qualname"] = code.co_qualname
    return made.replace(co_consts=consts, **same)


def _signature(code: CodeType, new_parameters: tuple[str, ...]) -> tuple[str, str]:
    """Return the parameters of the code as source text, and the arguments of a call."""
    named = code.co_argcount + code.co_kwonlyargcount
    names = (*code.co_varnames[:named], *new_parameters)
    rest = list(code.co_varnames[named:])
    keywords = names[code.co_argcount :]
    takes = list(names)
    gives = [*names[: code.co_argcount], *(f"{name}={name}" for name in keywords)]
    star = f"*{rest.pop(0)}" if code.co_flags & _VARARGS else ""
    if star or keywords:
        takes.insert(code.co_argcount, star or "*")
    if star:
        gives.insert(code.co_argcount, star)
    if code.co_flags & _VARKEYWORDS:
        takes.append(f"**{rest[0]}")
        gives.append(f"**{rest[0]}")
    if code.co_posonlyargcount:
        takes.insert(code.co_posonlyargcount, "/")
    return ", ".join(takes), ", ".join(gives)
