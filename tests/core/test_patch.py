"""A patch is transactional, counted, and leaves no trace, also if another library patches the same function."""

from __future__ import annotations

import itertools
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FunctionType
from typing import Any
from unittest import mock

import pytest
from helpers.this_torch import ASK
from helpers.torch_state import lazy, made, same, split_kinds, split_module_file, state

import compat
from compat.patching.patch import Claim, Patch
from compat.shims.base import Shim

PLACES = [(lazy, "_get_graph_module_cls"), (split_module_file, "split_module")]


def double(wrapper: Any) -> Callable[..., int]:
    return lambda x: 2 * wrapper.next(x)


def claim() -> Claim:
    return Claim(threading.get_ident())


@pytest.fixture
def function() -> FunctionType:
    def plus_one(x: int) -> int:
        return x + 1

    return plus_one


def test_patch_stays_until_last_claim_leaves(function):
    code, patch, entered = function.__code__, Patch([(function, double)]), [claim() for _ in range(3)]
    assert function.__code__ is code, "creating a patch must not apply it"
    for entering in entered:
        patch.enter(entering)
        assert function(3) == 8
    for leaving in entered:
        assert function(3) == 8
        patch.leave(leaving)
    assert function.__code__ is code
    assert function(3) == 4


def test_aliases_and_bound_methods_get_replacement(function):
    alias, bound, patch, me = function, function.__get__(3), Patch([(function, double)]), claim()
    patch.enter(me)
    assert (alias(3), bound(), list(map(function, [3]))) == (8, 8, [8])
    patch.leave(me)
    assert bound() == 4


def test_failing_replacement_rolls_back_the_others(function):
    code, wall = function.__code__, 5

    def closure(x: int) -> int:
        return x + wall

    try:
        patch = Patch([(function, double), (closure, double)])
    except ValueError:
        assert function.__code__ is code
        return
    for _ in range(2):
        with pytest.raises(ValueError, match="free vars"):
            patch.enter(claim())
        assert function.__code__ is code
        assert (function(3), closure(3)) == (4, 8)


def test_surplus_leave_calls_have_no_effect(function):
    code, patch, me, other = function.__code__, Patch([(function, double)]), claim(), claim()
    patch.enter(me)
    for _ in range(3):
        patch.leave(other)
    assert function(3) == 8
    for _ in range(3):
        patch.leave(me)
    assert function.__code__ is code


def test_concurrent_enter_and_leave_restore_original_code(function):
    code, patch = function.__code__, Patch([(function, double)])

    def work(_: int) -> set[int]:
        seen = set()
        for _ in range(300):
            me = claim()
            patch.enter(me)
            seen.add(function(3))
            patch.leave(me)
        return seen

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as executor:
            assert set().union(*executor.map(work, range(6))) == {8}
    finally:
        sys.setswitchinterval(interval)
    assert function.__code__ is code


# --- Patches of other libraries on the same name -------------------------------------------------------------------


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("order", sorted(set(itertools.permutations("ooMM"))), ids="".join)
def test_context_and_mock_in_any_order_restore_torch_objects(owner, name, order):
    """`o` enters the context and, the second time, exits it. `M` starts and stops the mock likewise."""
    before = state()
    with compat.lazy_graph_module(mode=ASK):  # the mode is decided before the mock is in place
        pass
    ours, theirs = compat.lazy_graph_module(mode=ASK), mock.patch.object(owner, name, autospec=True)
    steps = {"o": [ours.__enter__, lambda: ours.__exit__(None, None, None)], "M": [theirs.start, theirs.stop]}
    for who in order:
        steps[who].pop(0)()
    assert same(before, state())
    assert (made(), split_kinds()) == ("plain", "plain")
    with compat.lazy_graph_module(mode=ASK):
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_mock_on_top_of_patch_is_called():
    with compat.lazy_graph_module(mode=ASK):
        with mock.patch.object(lazy, "_get_graph_module_cls", return_value=lazy.GraphModule) as theirs:
            assert made() == "plain"
            assert theirs.called
        assert made() == "lazy"


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("abab"))), ids="".join)
def test_install_and_mock_in_any_order_restore_torch_objects(order):
    before = state()
    with compat.lazy_graph_module(mode=ASK):
        pass
    real, theirs = lazy._get_graph_module_cls, {}

    def step(who: str) -> None:
        if who == "a":
            (compat.uninstall if theirs.get("a") else compat.install)("lazy_graph_module")
            theirs["a"] = True
        elif "b" in theirs:
            theirs["b"].stop()
        else:
            theirs["b"] = mock.patch.object(lazy, "_get_graph_module_cls", wraps=real)
            theirs["b"].start()

    for who in order:
        step(who)
    assert same(before, state())


def shim(name: str, target: str) -> Shim:
    return Shim(
        name=name,
        kind="fix",
        upstream="",
        changes_codegen=False,
        revision=1,
        native=(),
        backport=(),
        replacements={target: double},
    )


def put_in(shim: Shim) -> Callable[[], None]:
    """Put the shim in and return what takes it out."""
    patch, claim = shim.patch("backport"), shim.claim()
    if patch is None:
        return lambda: None
    patch.enter(claim)
    return lambda: patch.leave(claim)


def test_target_that_is_no_function_is_not_replaced(monkeypatch):
    # The target was a function when the mode was selected, and another library has replaced it since.
    module = types.ModuleType("made_up")
    exec("def function(x):\n    return x", vars(module))
    monkeypatch.setitem(sys.modules, "made_up", module)
    one, two = (shim(f"made_up_{name}", f"made_up:{name}") for name in ("function", "gone"))
    undo = put_in(one)
    assert module.function(2) == 4
    undo()
    assert module.function(2) == 2
    exec("def function(x):\n    return x + 5", vars(module))  # a reload does the same
    undo = put_in(one)
    assert module.function(2) == 14
    undo()
    assert module.function(2) == 7
    for replaced in (len, None):
        monkeypatch.setattr(module, "function", replaced)
        again = shim(f"made_up_{replaced}", "made_up:function")
        put_in(again)()
        assert not again.active
        assert module.function is replaced
    put_in(two)()
    assert not two.active


def test_restored_function_gets_its_previous_patch(monkeypatch):
    module = types.ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", module)
    doubled, seen = shim("made_up_back", "made_up:function"), []
    for step in "one", "two", "one":  # a reload and its undo
        vars(module).setdefault(step, eval("lambda x: x + 5", vars(module)))
        module.function = vars(module)[step]
        seen.append(doubled.patch("backport"))
        module.function = len  # not a Python function: the most recent patch counts
        assert doubled.patch("backport") is seen[-1]
    assert seen[0] is seen[2] is not seen[1]
    undo = put_in(doubled)
    assert [module.one(2), module.two(2)] == [14, 7]
    undo()
    assert [module.one(2), module.two(2)] == [7, 7]


def test_shim_fields_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        Shim("fx_strides", "fix", "pytorch#1", False, 1, (), (), {})
