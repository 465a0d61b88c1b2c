"""The `lazy_graph_module` context in one thread: nesting, exceptions, exit order, and torch's own switch.

Every test also checks that torch is left unchanged: see `torch_is_left_as_it_was` in conftest.py."""

from __future__ import annotations

import functools
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import pytest
import torch
from helpers.shims import without_patches
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
from compat.patching import registry
from compat.patching.patch import Patch
from compat.shims.lazy_graph_module import SHIM

pytestmark = pytest.mark.usefixtures("torch_contexts_are_collected")
scope = functools.partial(compat.lazy_graph_module, mode=ASK)


# --- One context ---------------------------------------------------------------------------------------------------


def test_modules_are_lazy_inside_context_and_plain_outside():
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
def test_every_alias_of_split_module_is_lazy_inside_context(held):
    with scope():
        assert split_kinds(held) == "lazy"
    assert split_kinds(held) == "plain"


def test_partitions_run_after_context_ends():
    with scope():
        result = split()
    assert {kind_of(result), kind_of(result.submod_0)} == {"lazy"}
    x = torch.linspace(-3, 3, 7)
    assert torch.equal(result(x), torch.relu(torch.sin(x)))


@pytest.mark.parametrize("enabled", [True, False])
def test_exception_passes_through_unchanged(enabled):
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
def test_python_control_exceptions_pass_through_unchanged(error):
    with pytest.raises(type(error)) as caught, scope():
        raise error
    assert caught.value is error


def test_error_of_split_module_passes_through():
    with scope(), pytest.raises(ZeroDivisionError):
        split_module(torch.fx.symbolic_trace(lambda x: x + 1), torch.nn.Module(), lambda node: 1 // 0)
    assert split_kinds() == "plain"


def test_noop_leaves_torch_untouched():
    before = state()
    with compat.lazy_graph_module(mode="noop"):
        assert same(before, state())
        assert (made(), split_kinds()) == ("plain", "plain")


def test_noop_inside_context_keeps_outer_context_active():
    with scope(), compat.lazy_graph_module(mode="noop"):
        assert (made(), split_kinds()) == ("lazy", "lazy")


# --- Nested contexts -----------------------------------------------------------------------------------------------


def test_innermost_context_decides():
    with scope():
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
            with scope():
                assert (made(), split_kinds()) == ("lazy", "lazy")
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_exception_ends_all_contexts_that_it_leaves():
    with scope(False):
        with pytest.raises(RuntimeError), scope(), scope(False), scope():
            raise RuntimeError
        assert made() == "plain"


def test_remaining_context_decides_after_exit_out_of_order():
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


def test_context_object_is_reusable_and_reentrant():
    again = scope()
    for _ in range(2):
        with again:
            with scope(False), again:
                assert made() == "lazy"
            assert made() == "lazy"
        assert made() == "plain"


def test_context_object_works_in_two_threads(other_thread):
    shared = scope()
    with shared:
        other_thread.submit(shared.__enter__).result()
        assert other_thread.submit(made).result() == "lazy"
        other_thread.submit(shared.__exit__, None, None, None).result()
        assert other_thread.submit(made).result() == "plain"
        assert made() == "lazy"


def test_decorator_applies_to_each_call():
    @scope()
    def inside(depth: int) -> list[str]:
        return [made(), *(inside(depth - 1) if depth else [])]

    assert inside(2) == ["lazy"] * 3
    assert made() == "plain"
    assert inside(0) == ["lazy"]


# --- Torch's own switch --------------------------------------------------------------------------------------------


def test_context_overrides_switch_of_torch_and_restores_it():
    with lazy._use_lazy_graph_module(True):
        with scope(False):
            assert (made(), split_kinds()) == ("plain", "plain")
        assert made() == "lazy"
    with scope():
        with lazy._use_lazy_graph_module(False):
            assert (made(), split_kinds()) == ("lazy", "lazy")
        assert made() == "lazy"


def test_context_of_torch_can_outlive_context_of_compat():
    theirs = lazy._use_lazy_graph_module(True)
    with scope():
        theirs.__enter__()
    assert made() == "lazy", "the context of torch is still open"
    theirs.__exit__(None, None, None)
    assert made() == "plain"
    assert lazy._use_lazy_graph_module_flag is False


def test_overlapping_context_of_torch_in_another_thread_stays_separate(other_thread):
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


def test_force_skip_of_torch_overrides_context():
    with lazy._force_skip_lazy_graph_module(), scope():
        assert (made(), split_kinds()) == ("plain", "plain")
    with scope():
        with lazy._force_skip_lazy_graph_module():
            assert (made(), split_kinds()) == ("plain", "plain")
        assert (made(), split_kinds()) == ("lazy", "lazy")


def test_mode_is_keyword_only() -> None:
    with compat.lazy_graph_module(enabled=True, mode=ASK):
        assert made() == "lazy"
    with pytest.raises(TypeError, match="positional"):
        compat.lazy_graph_module(True, ASK)  # type: ignore[misc]


def test_second_exit_of_context_has_no_effect() -> None:
    context = compat.lazy_graph_module(mode=ASK)
    context.__enter__()
    context.__exit__(None, None, None)
    context.__exit__(None, None, None)
    assert not status_of().active


def test_first_uses_in_two_threads_create_one_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    without_patches(SHIM, monkeypatch)
    patches = SHIM._patches[WORKING].by_functions
    for function in (lambda: 1, lambda: 2):
        patches[(function,)] = Patch([(function, lambda _: print)])
    acquire, waited = registry._acquire, []

    def acquire_after_another_use(section: list[int]) -> None:
        """Stand for a thread that waits for the lock while another thread uses the shim for the first time."""
        monkeypatch.setattr(registry, "_acquire", acquire)
        with compat.lazy_graph_module(mode=ASK):
            waited.append(made())
        acquire(section)

    monkeypatch.setattr(registry, "_acquire", acquire_after_another_use)
    with compat.lazy_graph_module(mode=ASK):
        assert made() == "lazy"
    compat.lazy_graph_module(mode=ASK)
    assert waited == ["lazy"]
    assert len(patches) == 3


def test_function_removed_after_selection_leaves_shim_inactive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with compat.lazy_graph_module(mode=ASK):
        pass
    without_patches(SHIM, monkeypatch)
    kept = lazy._get_graph_module_cls
    monkeypatch.delattr(lazy, "_get_graph_module_cls")

    def raises_if_by_name() -> AbstractContextManager[object]:
        return nullcontext() if ASK == "auto" else pytest.raises(compat.UnsupportedError)

    with raises_if_by_name(), compat.lazy_graph_module(mode=ASK):
        assert not status_of().active
    with raises_if_by_name():
        compat.install("lazy_graph_module", mode=ASK)
    assert not status_of().active
    compat.uninstall("lazy_graph_module")
    monkeypatch.setattr(lazy, "_get_graph_module_cls", kept, raising=False)


def test_force_recompile_names_missing_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    with compat.lazy_graph_module(mode=ASK):
        module = split()
    monkeypatch.delattr(lazy._LazyGraphModule, "_needs_recompile")
    with pytest.raises(compat.UnsupportedError, match=r"force_recompile: .*_needs_recompile"):
        compat.force_recompile(module)


def test_current_lazy_class_of_torch_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(lazy._LazyGraphModule): ...

    def built() -> type:
        with compat.lazy_graph_module(mode=ASK):
            return lazy._get_graph_module_cls()

    without_patches(SHIM, monkeypatch)
    for _ in range(2):  # without and with an existing patch
        with mock.patch.object(lazy, "_LazyGraphModule", Counting):
            assert built() is Counting
        assert built() is lazy._LazyGraphModule
