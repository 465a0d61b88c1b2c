"""Several patches of one function: their stack, foreign code above and below it, and forks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from helpers.torch_state import in_child

from compat.patching.bytecode import trampoline
from compat.patching.patch import Holder, Patch, lock, unpatched


def prefixing(word: str) -> Callable[[Any], Callable[..., str]]:
    """Return a replacement that writes `word` around the result, so that the result shows the stack."""
    return lambda layer: lambda x, *rest, **more: f"{word}({layer.below.call(x, *rest, **more)})"


def make() -> FunctionType:
    def function(x: int, *, y: int = 2) -> str:
        return f"{x},{y}"

    assert isinstance(function, FunctionType)
    return function


def me() -> Holder:
    return Holder(object(), threading.get_ident())


@pytest.mark.parametrize("leave_first", ["a", "b"])
@pytest.mark.parametrize("made_while_in", [True, False])
def test_patches_stack_in_order_of_entry_and_leave_in_any_order(leave_first: str, made_while_in: bool) -> None:
    f = make()
    code, holder = f.__code__, me()
    b = None if made_while_in else Patch([(f, prefixing("b"))])
    a = Patch([(f, prefixing("a"))])
    a.enter(holder)
    b = b or Patch([(f, prefixing("b"))])
    b.enter(holder)
    assert f(1) == "b(a(1,2))"
    assert unpatched(f).__code__ is code
    first, rest = (a, b) if leave_first == "a" else (b, a)
    first.leave(holder)
    assert f(1, y=3) == ("b(1,3)" if leave_first == "a" else "a(1,3)")
    first.enter(holder)
    assert f(1) == ("a(b(1,2))" if leave_first == "a" else "b(a(1,2))")
    rest.leave(holder)
    first.leave(holder)
    assert f.__code__ is code
    assert f(1) == "1,2"


def test_wrapper_sees_original_code_while_another_patch_is_active() -> None:
    f, seen = make(), []
    code, holder = f.__code__, me()
    outer = Patch([(f, prefixing("a"))])
    outer.enter(holder)
    Patch([(f, lambda layer: seen.append(layer.own.__code__) or layer.own)])
    outer.leave(holder)
    assert seen == [code]


def on_top(f: FunctionType, word: str) -> None:
    """Do as another patching library: exchange the code and call the previous code."""
    before = FunctionType(f.__code__, f.__globals__, "before", f.__defaults__)
    before.__kwdefaults__ = f.__kwdefaults__
    f.__code__ = trampoline(f.__code__, lambda *a, **k: f"{word}({before(*a, **k)})")


def test_leave_never_removes_foreign_code_on_top() -> None:
    f, holder = make(), me()
    a, b = Patch([(f, prefixing("a"))]), Patch([(f, prefixing("b"))])
    a.enter(holder)
    on_top(f, "theirs")
    assert f(1) == "theirs(a(1,2))"
    b.enter(holder)
    assert f(1) == "theirs(b(a(1,2)))"
    a.leave(holder)
    b.leave(holder)
    assert f(1) == "theirs(1,2)"
    a.enter(holder)
    assert f(1) == "a(theirs(1,2))"
    a.leave(holder)
    assert f(1) == "theirs(1,2)"


def test_foreign_code_set_between_two_uses_becomes_new_original() -> None:
    f, holder = make(), me()
    a = Patch([(f, prefixing("a"))])
    a.enter(holder)
    a.leave(holder)
    on_top(f, "theirs")
    theirs = f.__code__
    for _ in range(2):
        a.enter(holder)
        assert f(1) == "a(theirs(1,2))"
        a.leave(holder)
        assert f.__code__ is theirs


def test_patch_code_restored_by_foreign_undo_does_not_recurse() -> None:
    f, holder = make(), me()
    a = Patch([(f, prefixing("a"))])
    a.enter(holder)
    ours = f.__code__
    on_top(f, "theirs")
    a.leave(holder)
    f.__code__ = ours  # the undo of the other library: it restores the code that it had found
    assert f(1) == "1,2"
    a.enter(holder)
    assert f(1) == "a(1,2)"
    a.leave(holder)
    assert f(1) == "1,2"


def test_leave_without_enter_has_no_effect() -> None:
    f, holder = make(), me()
    a = Patch([(f, prefixing("a"))])
    a.enter(holder)
    a.leave(me())
    assert f(1) == "a(1,2)"
    a.leave(holder)
    on_top(f, "theirs")
    a.leave(holder)
    assert f(1) == "theirs(1,2)"
    a.enter(holder)
    assert f(1) == "a(theirs(1,2))"
    a.leave(holder)


def test_failed_enter_leaves_all_functions_unpatched() -> None:
    f, n = make(), 1

    def closes(x: int) -> int:  # its code has a free variable, so Python refuses another code object
        return x + n

    assert isinstance(closes, FunctionType)
    code = f.__code__
    patch = Patch([(f, prefixing("a")), (closes, prefixing("a"))])
    with pytest.raises(ValueError, match="free vars"):
        patch.enter(me())
    assert f.__code__ is code
    assert f(1) == "1,2"
    assert not patch.holders


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@forks
@pytest.mark.parametrize("also", ["no other", "this thread", "the process"])
def test_fork_drops_claims_of_threads_that_child_lacks(also: str) -> None:
    f, entered, go = make(), threading.Event(), threading.Event()
    code, patch = f.__code__, Patch([(f, prefixing("a"))])
    theirs: list[Holder] = []

    def other() -> None:
        theirs.append(me())
        patch.enter(theirs[0])
        entered.set()
        go.wait(60)
        patch.leave(theirs[0])

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(60)
    mine = me() if also == "this thread" else Holder(object(), None)
    if also != "no other":
        patch.enter(mine)

    def child() -> bool:
        still_in = (f.__code__ is not code) == (also != "no other")
        patch.leave(theirs[0])  # as a generator of that thread does if it is closed in the child
        patch.leave(mine)
        return still_in and f.__code__ is code and theirs[0].owner is None and f(1) == "1,2"

    assert in_child(child)
    go.set()
    thread.join()
    assert theirs[0].owner is not None
    patch.leave(mine)
    assert f.__code__ is code


@forks
def test_forked_child_can_acquire_lock_held_in_parent() -> None:
    held = threading.Event()

    def other() -> None:
        with lock:
            held.set()
            threading.Event().wait(0.2)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(60)

    def child() -> bool:
        taken: list[bool] = []
        taker = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=10)))
        taker.start()
        taker.join()
        return taken == [True]

    assert in_child(child)
    thread.join()


def test_registry_is_shared_by_all_copies() -> None:
    registry = vars(sys.modules["_torch_compat_registry"])
    assert registry["lock/1"] is lock
    assert {"joints/1", "patches/1"} <= set(registry)


def test_lowest_of_three_patches_can_leave_first() -> None:
    f = make()
    code = f.__code__
    patches = {word: (Patch([(f, prefixing(word))]), me()) for word in "abc"}
    for patch, holder in patches.values():
        patch.enter(holder)
    assert f(1) == "c(b(a(1,2)))"
    for word, left in (("a", "c(b(1,2))"), ("b", "c(1,2)"), ("c", "1,2")):
        patch, holder = patches[word]
        patch.leave(holder)
        assert f(1) == left
    assert f.__code__ is code
