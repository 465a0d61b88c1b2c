"""Make a code object that calls another function in place of a function's own code.

Exchanging a function's code, not the name that it stands under, reaches every holder
of the function: by-name imports, closures, containers. The function stays the same
object, whatever another library puts on top of it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any

_VARARGS, _VARKEYWORDS, _GENERATOR = 0x04, 0x08, 0x20  # bits of co_flags
_PLACEHOLDER = "<replacement>"


def copied(
    function: FunctionType,
    code: CodeType | None = None,
    names: dict[str, Any] | None = None,
) -> FunctionType:
    """Return a copy of the function.

    Args:
        function: of any module.
        code: what the copy runs; None for the function's own code.
        names: the copy's globals; None for the function's own.

    """
    copy = FunctionType(
        code or function.__code__,
        function.__globals__ if names is None else names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


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
    result = f"{_PLACEHOLDER!r}.{method}({gives})"
    if code.co_flags & _GENERATOR:
        # Python 3.13 warns if a generator function gets the code of another kind.
        result = f"(yield from {result})"
    source = f"def _({takes}): return {result}"
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
