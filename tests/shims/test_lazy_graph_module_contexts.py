"""Who gets lazy modules, and for how long: scopes nested, left in any order, in threads, tasks and generators.

Every test also shows that torch is left as it was: see `torch_is_left_as_it_was` in conftest.py.
"""

from __future__ import annotations

import functools
import sys
import traceback
from unittest import mock

import pytest
import torch
from helpers.this_torch import ASK, WORKING
from helpers.torch_state import (
    kind_of,
    lazy,
    made,
    same,
    split,
    split_kinds,
    split_module,
    split_module_file,
    state,
    status_of,
)

import compat

pytestmark = pytest.mark.usefixtures("torch_contexts_are_collected")
scope = functools.partial(compat.lazy_graph_module, mode=ASK)


# --- One scope -----------------------------------------------------------------------------------------------------


def test_lazy_inside_and_plain_outside():
    assert (made(), split_kinds()) == ("plain", "plain")
    with scope():
        assert (made(), split_kinds()) == ("lazy", "lazy")
    assert (made(), split_kinds()) == ("plain", "plain")


HELD = {"function": split_module}


@pytest.mark.parametrize(
    "held",
    [
        split_module,
        split_module_file.split_module,
        functools.partial(split_module),
        HELD["function"],
        lambda *a: split_module(*a),
    ],
    ids=["by name", "by module", "in a partial", "in a container", "in a function"],
)
def test_lazy_however_the_caller_holds_split_module(held):
    with scope():
        assert split_kinds(held) == "lazy"
    assert split_kinds(held) == "plain"


def test_the_partitions_outlive_the_scope_and_run():
    with scope():
        result = split()
    assert {kind_of(result), kind_of(result.submod_0)} == {"lazy"}
    x = torch.linspace(-3, 3, 7)
    assert torch.equal(result(x), torch.relu(torch.sin(x)))


@pytest.mark.parametrize("enabled", [True, False])
def test_an_exception_passes_through_unchanged(enabled):
    class Mine(BaseException):
        pass

    def body() -> None:
        runs.append(1)
        raise error

    error, runs = Mine("mine"), []
    with pytest.raises(Mine) as caught, scope(enabled):
        body()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    here = sys._getframe().f_code.co_name
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == [here, "body"]
    assert runs == [1]
    assert made() == "plain"


@pytest.mark.parametrize("error", [StopIteration(1), GeneratorExit(), KeyboardInterrupt()], ids=repr)
def test_exceptions_that_python_itself_uses_pass_through_too(error):
    with pytest.raises(type(error)) as caught, scope():
        raise error
    assert caught.value is error


def test_an_error_of_split_module_itself_passes_through():
    with scope(), pytest.raises(ZeroDivisionError):
        split_module(torch.fx.symbolic_trace(lambda x: x + 1), torch.nn.Module(), lambda node: 1 // 0)
    assert split_kinds() == "plain"


def test_mode_noop_touches_nothing():
    before = state()
    with compat.lazy_graph_module(mode="noop"):
        assert same(before, state())
        assert (made(), split_kinds()) == ("plain", "plain")


def test_mode_noop_inside_a_scope_leaves_that_scope_alone():
    with scope(), compat.lazy_graph_module(mode="noop"):
        assert (made(), split_kinds()) == ("lazy", "lazy")


# --- Scopes in scopes ----------------------------------------------------------------------------------------------


def test_the_innermost_scope_decides():
    with scope():
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
            with scope():
                assert (made(), split_kinds()) == ("lazy", "lazy")
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_an_exception_ends_all_the_scopes_it_leaves():
    with scope(False):
        with pytest.raises(RuntimeError), scope(), scope(False), scope():
            raise RuntimeError
        assert made() == "plain"


def test_left_out_of_order_the_remaining_scope_decides():
    first, second = scope(), scope(False)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert made() == "plain"
    first.__enter__()
    second.__exit__(None, None, None)
    assert made() == "lazy"
    first.__exit__(None, None, None)
    assert made() == "plain"


def test_one_context_object_can_be_used_again_and_inside_itself():
    again = scope()
    for _ in range(2):
        with again:
            with scope(False), again:
                assert made() == "lazy"
            assert made() == "lazy"
        assert made() == "plain"


def test_one_context_object_in_two_threads(other_thread):
    shared = scope()
    with shared:
        other_thread.submit(shared.__enter__).result()
        assert other_thread.submit(made).result() == "lazy"
        other_thread.submit(shared.__exit__, None, None, None).result()
        assert other_thread.submit(made).result() == "plain"
        assert made() == "lazy"


def test_as_a_decorator_it_holds_for_each_call():
    @scope()
    def inside(depth: int) -> list[str]:
        return [made(), *(inside(depth - 1) if depth else [])]

    assert inside(2) == ["lazy"] * 3
    assert made() == "plain"
    assert inside(0) == ["lazy"]


# --- Torch's own switch --------------------------------------------------------------------------------------------


def test_a_scope_outranks_torchs_own_switch_and_gives_it_back():
    with lazy._use_lazy_graph_module(True):
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
        assert made() == "lazy"
    with scope():
        with lazy._use_lazy_graph_module(False):
            assert (made(), split_kinds()) == ("lazy", "lazy")
        assert made() == "lazy"


def test_torchs_own_context_left_after_ours():
    theirs = lazy._use_lazy_graph_module(True)
    with scope():
        theirs.__enter__()
    assert made() == "lazy", "theirs is still open"
    theirs.__exit__(None, None, None)
    assert made() == "plain"
    assert lazy._use_lazy_graph_module_flag is False


def test_torchs_own_context_overlapping_ours_in_another_thread_disturbs_neither(other_thread):
    theirs = lazy._use_lazy_graph_module(True)
    other_thread.submit(theirs.__enter__).result()
    ours = scope()
    ours.__enter__()
    other_thread.submit(theirs.__exit__, None, None, None).result()
    assert (made(), split_kinds()) == ("lazy", "lazy")
    ours.__exit__(None, None, None)
    assert lazy._use_lazy_graph_module_flag is False

    with scope(False):
        theirs = lazy._use_lazy_graph_module(True)
        other_thread.submit(theirs.__enter__).result()
        assert (made(), other_thread.submit(made).result()) == ("plain", "lazy")
    other_thread.submit(theirs.__exit__, None, None, None).result()
    assert lazy._use_lazy_graph_module_flag is False


def test_nothing_is_lazy_where_torch_forces_it_off():
    with lazy._force_skip_lazy_graph_module(), scope():
        assert (made(), split_kinds()) == ("plain", "plain")
    with scope():
        with lazy._force_skip_lazy_graph_module():
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_what_is_asked_for_has_a_name_but_for_enabled() -> None:
    with compat.lazy_graph_module(enabled=True, mode=ASK):
        assert made() == "lazy"
    with pytest.raises(TypeError, match="positional"):
        compat.lazy_graph_module(True, ASK)  # type: ignore[misc]


def test_a_context_that_has_been_left_is_left_again_without_harm() -> None:
    context = compat.lazy_graph_module(mode=ASK)
    context.__enter__()
    context.__exit__(None, None, None)
    context.__exit__(None, None, None)
    assert not status_of().active


def test_two_threads_that_come_first_make_one_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[compat.lazy_graph_module.__module__]
    stale = [here.Patch([(function, lambda _: print)]) for function in (lambda: 1, lambda: 2)]
    monkeypatch.setattr(here, "_patches", {WORKING: [*stale]})

    class Meanwhile:
        """Another thread is first to get the lock."""

        def __enter__(self) -> None:
            monkeypatch.setattr(patching, "lock", lock)
            compat.lazy_graph_module(mode=ASK)
            lock.acquire()

        def __exit__(self, *error: object) -> None:
            lock.release()

    patching = sys.modules[here.Patch.__module__]
    lock = patching.lock
    monkeypatch.setattr(patching, "lock", Meanwhile())
    with compat.lazy_graph_module(mode=ASK):
        assert made() == "lazy"
    compat.lazy_graph_module(mode=ASK)
    assert [len(patches) for patches in here._patches.values()] == [3]


def test_where_torch_has_lost_a_function_since_it_was_looked_at_nothing_goes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with compat.lazy_graph_module(mode=ASK):
        pass
    here = sys.modules[compat.lazy_graph_module.__module__]
    monkeypatch.setattr(here, "_patches", {})
    kept = lazy._get_graph_module_cls
    monkeypatch.delattr(lazy, "_get_graph_module_cls")
    with compat.lazy_graph_module(mode=ASK):
        assert not status_of().active
    compat.install("lazy_graph_module", mode=ASK)
    assert not status_of().active
    compat.uninstall("lazy_graph_module")
    monkeypatch.setattr(lazy, "_get_graph_module_cls", kept, raising=False)


def test_force_recompile_says_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with compat.lazy_graph_module(mode=ASK):
        module = split()
    monkeypatch.delattr(lazy._LazyGraphModule, "_needs_recompile")
    with pytest.raises(compat.UnsupportedError, match=r"force_recompile: .*_needs_recompile"):
        compat.force_recompile(module)


def test_the_class_is_the_one_that_torch_has_when_a_module_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[compat.lazy_graph_module.__module__]

    class Counting(lazy._LazyGraphModule): ...

    def built() -> type:
        with compat.lazy_graph_module(mode=ASK):
            return lazy._get_graph_module_cls()

    for patches in ({}, here._patches):  # where it is first made meanwhile, and where it was made before
        monkeypatch.setattr(here, "_patches", patches)
        with mock.patch.object(lazy, "_LazyGraphModule", Counting):
            assert built() is Counting
        assert built() is lazy._LazyGraphModule
