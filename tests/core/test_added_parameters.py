"""A replacement can add keyword parameters to a function, also among other patches and below foreign wrappers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from compat.patching.bytecode import trampoline
from compat.patching.patch import Claim, Patch


def make(default: Any = None) -> FunctionType:
    if default is None:

        def plain(x: int) -> str:
            return f"{x}"

        return plain  # type: ignore[return-value]

    def keyword(x: int, *, y: int = default) -> str:
        return f"{x},{y}"

    return keyword  # type: ignore[return-value]


def adding(name: str) -> Callable[[Any], Callable[..., str]]:
    def replace(wrapper: Any) -> Callable[..., str]:
        wrapper.new_parameters = {name: None}
        return lambda *args, **kwargs: f"{name}={kwargs.pop(name, None)}({wrapper.next(*args, **kwargs)})"

    return replace


def own(wrapper: Any) -> Callable[..., str]:
    return lambda *args, **kwargs: f"own({wrapper.original(*args, **kwargs)})"


def me() -> Claim:
    return Claim()


def state(function: FunctionType) -> list[Any]:
    return [function.__code__, function.__kwdefaults__]


@pytest.mark.parametrize("default", [None, 2])
def test_wrapper_without_new_parameter_goes_below_wrappers_with_one(default: Any) -> None:
    f, claim = make(default), defaultdict(me)
    before, rest = state(f), ",2" if default else ""
    a, b, c = (Patch([(f, how)]) for how in (adding("a"), adding("b"), own))
    a.enter(claim[a])
    c.enter(claim[c])
    assert f(1, a=3) == f"a=3(own(1{rest}))"
    b.enter(claim[b])
    assert f(1, a=3, b=4) == f"b=4(a=3(own(1{rest})))"
    a.leave(claim[a])
    assert f(1, b=4) == f"b=4(own(1{rest}))"
    with pytest.raises(TypeError, match="'a'"):
        f(1, a=3)
    b.leave(claim[b])
    assert state(f)[1] is before[1]
    assert f(1) == f"own(1{rest})"
    c.leave(claim[c])
    assert all(x is y for x, y in zip(state(f), before))


def test_foreign_wrapper_that_passes_parameter_on_stays_callable() -> None:
    f, claim = make(), defaultdict(me)
    a = Patch([(f, adding("a"))])
    a.enter(claim[a])
    kept = FunctionType(f.__code__, f.__globals__, "kept")
    kept.__kwdefaults__ = f.__kwdefaults__
    f.__code__ = theirs = trampoline(f.__code__, lambda *args, **kwargs: f"theirs({kept(*args, **kwargs)})")
    assert f(1, a=3) == "theirs(a=3(1))"
    a.leave(claim[a])
    assert f.__code__ is theirs
    assert f(1) == "theirs(1)"
    with pytest.raises(TypeError, match="'a'"):
        f(1, a=3)


def test_foreign_wrapper_without_parameter_is_left_unchanged() -> None:
    f, claim = make(), defaultdict(me)
    c, a = Patch([(f, own)]), Patch([(f, adding("a"))])
    c.enter(claim[c])
    kept = FunctionType(f.__code__, f.__globals__, "kept")
    f.__code__ = theirs = trampoline(f.__code__, lambda *args: f"theirs({kept(*args)})")
    a.enter(claim[a])
    assert f(1) == "theirs(a=None(own(1)))"
    assert state(f) == [theirs, None]
    a.leave(claim[a])
    c.leave(claim[c])
    assert f(1) == "theirs(1)"
    assert state(f) == [theirs, None]
