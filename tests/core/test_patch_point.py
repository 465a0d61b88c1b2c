"""Several patches of one function: their stack, foreign code above and below it, and forks."""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest
from helpers.torch_state import in_child

from compat.patching.bytecode import trampoline
from compat.patching.patch import Claim, Patch, claims, original_of
from compat.patching.registry import serialized


def prefixing(word: str) -> Callable[[Any], Callable[..., str]]:
    """Return a replacement that writes `word` around the result, so that the result shows the stack."""
    return lambda wrapper: lambda x, *rest, **more: f"{word}({wrapper.next(x, *rest, **more)})"


def make() -> FunctionType:
    def function(x: int, *, y: int = 2) -> str:
        return f"{x},{y}"

    assert isinstance(function, FunctionType)
    return function


def me() -> Claim:
    return Claim(threading.get_ident())


@pytest.mark.parametrize("leave_first", ["a", "b"])
@pytest.mark.parametrize("made_while_in", [True, False])
def test_patches_stack_in_order_of_entry_and_leave_in_any_order(leave_first: str, made_while_in: bool) -> None:
    f = make()
    code, claim = f.__code__, defaultdict(me)
    b = None if made_while_in else Patch([(f, prefixing("b"))])
    a = Patch([(f, prefixing("a"))])
    a.enter(claim[a])
    b = b or Patch([(f, prefixing("b"))])
    b.enter(claim[b])
    assert f(1) == "b(a(1,2))"
    assert original_of(f).__code__ is code
    first, rest = (a, b) if leave_first == "a" else (b, a)
    first.leave(claim[first])
    assert f(1, y=3) == ("b(1,3)" if leave_first == "a" else "a(1,3)")
    first.enter(claim[first])
    assert f(1) == ("a(b(1,2))" if leave_first == "a" else "b(a(1,2))")
    rest.leave(claim[rest])
    first.leave(claim[first])
    assert f.__code__ is code
    assert f(1) == "1,2"


def test_wrapper_sees_original_code_while_another_patch_is_active() -> None:
    f, seen = make(), []
    code, claim = f.__code__, defaultdict(me)
    outer = Patch([(f, prefixing("a"))])
    outer.enter(claim[outer])
    Patch([(f, lambda wrapper: seen.append(wrapper.original.__code__) or wrapper.original)])
    outer.leave(claim[outer])
    assert seen == [code]


def on_top(f: FunctionType, word: str) -> None:
    """Do as another patching library: exchange the code and call the previous code."""
    before = FunctionType(f.__code__, f.__globals__, "before", f.__defaults__)
    before.__kwdefaults__ = f.__kwdefaults__
    f.__code__ = trampoline(f.__code__, lambda *a, **k: f"{word}({before(*a, **k)})")


def test_leave_never_removes_foreign_code_on_top() -> None:
    f, claim = make(), defaultdict(me)
    a, b = Patch([(f, prefixing("a"))]), Patch([(f, prefixing("b"))])
    a.enter(claim[a])
    on_top(f, "theirs")
    assert f(1) == "theirs(a(1,2))"
    b.enter(claim[b])
    assert f(1) == "theirs(b(a(1,2)))"
    a.leave(claim[a])
    b.leave(claim[b])
    assert f(1) == "theirs(1,2)"
    a.enter(claim[a])
    assert f(1) == "a(theirs(1,2))"
    a.leave(claim[a])
    assert f(1) == "theirs(1,2)"


def test_foreign_code_set_between_two_uses_becomes_new_original() -> None:
    f, claim = make(), defaultdict(me)
    a = Patch([(f, prefixing("a"))])
    a.enter(claim[a])
    a.leave(claim[a])
    on_top(f, "theirs")
    theirs = f.__code__
    for _ in range(2):
        a.enter(claim[a])
        assert f(1) == "a(theirs(1,2))"
        a.leave(claim[a])
        assert f.__code__ is theirs


def test_patch_code_restored_by_foreign_undo_does_not_recurse() -> None:
    f, claim = make(), defaultdict(me)
    a = Patch([(f, prefixing("a"))])
    a.enter(claim[a])
    ours = f.__code__
    on_top(f, "theirs")
    a.leave(claim[a])
    f.__code__ = ours  # the undo of the other library: it restores the code that it had found
    assert f(1) == "1,2"
    a.enter(claim[a])
    assert f(1) == "a(1,2)"
    a.leave(claim[a])
    assert f(1) == "1,2"


def test_leave_without_enter_has_no_effect() -> None:
    f, claim = make(), defaultdict(me)
    a = Patch([(f, prefixing("a"))])
    a.enter(claim[a])
    a.leave(me())
    assert f(1) == "a(1,2)"
    a.leave(claim[a])
    on_top(f, "theirs")
    a.leave(claim[a])
    assert f(1) == "theirs(1,2)"
    a.enter(claim[a])
    assert f(1) == "a(theirs(1,2))"
    a.leave(claim[a])


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
    assert patch not in claims.values()


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@forks
@pytest.mark.parametrize("also", ["no other", "this thread", "the process"])
def test_fork_drops_claims_of_threads_that_child_lacks(also: str) -> None:
    f, entered, go = make(), threading.Event(), threading.Event()
    code, patch = f.__code__, Patch([(f, prefixing("a"))])
    theirs: list[Claim] = []

    def other() -> None:
        theirs.append(me())
        patch.enter(theirs[0])
        entered.set()
        go.wait(60)
        patch.leave(theirs[0])

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(60)
    mine = me() if also == "this thread" else Claim()
    if also != "no other":
        patch.enter(mine)

    def child() -> bool:
        still_in = (f.__code__ is not code) == (also != "no other")
        patch.leave(theirs[0])  # as a generator of that thread does if it is closed in the child
        patch.leave(mine)
        return still_in and f.__code__ is code and theirs[0] not in claims and f(1) == "1,2"

    assert in_child(child)
    assert theirs[0] in claims
    go.set()
    thread.join()
    patch.leave(mine)
    assert f.__code__ is code


@forks
def test_forked_child_can_patch_while_parent_thread_holds_lock() -> None:
    held, go, f = threading.Event(), threading.Event(), make()

    @serialized
    def hold() -> None:
        held.set()
        go.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)

    def child() -> bool:
        def use() -> None:
            patch, claim = Patch([(f, prefixing("a"))]), me()
            patch.enter(claim)
            patch.leave(claim)
            done.append(True)

        done: list[bool] = []
        user = threading.Thread(target=use, daemon=True)
        user.start()
        user.join(10)
        return done == [True]

    assert in_child(child)
    thread.join()


def test_registry_is_shared_by_all_copies() -> None:
    registry = vars(sys)["_torch_compat_registry"]
    assert registry["claims/2"] is claims
    assert {"points/2", "lock/2"} <= set(registry)


def test_second_enter_of_same_claim_has_no_effect() -> None:
    f, claim = make(), defaultdict(me)
    code, a = f.__code__, Patch([(f, prefixing("a"))])
    a.enter(claim[a])
    a.enter(claim[a])
    assert f(1) == "a(1,2)"
    a.leave(claim[a])
    assert f.__code__ is code


def test_lowest_of_three_patches_can_leave_first() -> None:
    f = make()
    code = f.__code__
    patches = {word: (Patch([(f, prefixing(word))]), me()) for word in "abc"}
    for patch, claim in patches.values():
        patch.enter(claim)
    assert f(1) == "c(b(a(1,2)))"
    for word, left in (("a", "c(b(1,2))"), ("b", "c(1,2)"), ("c", "1,2")):
        patch, claim = patches[word]
        patch.leave(claim)
        assert f(1) == left
    assert f.__code__ is code
