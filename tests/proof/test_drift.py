"""Edits of torch's source that no release contains: requirements outrank the version number.

Each edited torch runs in a new process, which reports what `compat` does there."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch
from helpers.this_torch import ASK, WORKING
from helpers.torch_state import split_kinds, status_of

import compat
from compat.probe.source import SourceReader
from compat.selection import decide
from compat.shims.lazy_graph_module import SHIM

LAZY, SPLIT = "torch.fx._lazy_graph_module", "torch.fx.passes.split_module"


def source(name: str) -> str:
    return inspect.getsource(sys.modules[name])


def with_the_change(text: str) -> str:
    """Return split_module.py as it is since pytorch#177907."""
    text = text.replace("torch.fx.graph_module.GraphModule(", "_make_graph_module(")
    return f"from torch.fx._lazy_graph_module import _make_graph_module\n{text}"


def without_the_change(text: str) -> str:
    """Return split_module.py as it was before pytorch#177907."""
    return re.sub(r"\b_make_graph_module\(", "torch.fx.graph_module.GraphModule(", text)


def replace_module(name: str, text: str) -> ModuleType:
    """Load `text` in place of the torch module."""
    real = sys.modules[name]
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, real.__file__))
    sys.modules[name] = module
    exec(compile(text, real.__file__, "exec"), module.__dict__)
    parent, _, last = name.rpartition(".")
    setattr(sys.modules[parent], last, module)
    return module


def report(torch_number: str | None = None) -> dict[str, Any]:
    """Report what `compat` does in this process. Call it once per process, because selections are kept."""
    if torch_number is not None:
        torch.__version__ = torch_number
    split_module = sys.modules[SPLIT].split_module
    runs = []
    with compat.lazy_graph_module():
        runs.append(split_kinds(split_module))
    status = status_of()
    told = {}
    for mode in ("native", "backport"):
        try:
            with compat.lazy_graph_module(mode=mode):
                told[mode] = split_kinds(split_module)
        except compat.UnsupportedError as error:
            told[mode] = str(error)
    return {"mode": status.mode, "reason": status.reason, "runs": runs, "after": split_kinds(split_module), **told}


# --- Misleading version numbers ------------------------------------------------------------------------------------


def with_number_and_content(number: str, change: Callable[[str], str]) -> dict[str, Any]:
    replace_module(SPLIT, change(source(SPLIT)))
    return report(number)


TOLD_2_12 = ["2.12.0", "2.12.0.dev20260301+cu130", "2.12.0a0+x", "2.12.0rc1", "2.13.1+rocm7", "3.0"]
TOLD_2_11 = ["2.11.0", "2.11.0a0+eb65b36.nv26.2", "2.11.0+cu130"]
TOLD_OLDER = ["2.9.1", "2.10.0.post1", "2", "git-4f2c01", ""]


@pytest.mark.parametrize("number", TOLD_2_12 + TOLD_2_11 + TOLD_OLDER)
def test_torch_with_the_change_is_native_for_any_version_number(fresh, number):
    got = fresh(with_number_and_content, number, with_the_change)
    assert (got["mode"], got["runs"], got["after"]) == ("native", ["lazy"], "plain")
    assert got["native"] == "lazy"
    assert "split_module calls graph_module.GraphModule" in got["backport"]


@pytest.mark.parametrize("number", TOLD_2_12 + TOLD_2_11)
def test_torch_without_the_change_gets_backport_from_2_11_on(fresh, number):
    got = fresh(with_number_and_content, number, without_the_change)
    assert (got["mode"], got["runs"], got["after"]) == ("backport", ["lazy"], "plain")
    assert got["backport"] == "lazy"
    assert "split_module refers to _make_graph_module" in got["native"]
    assert ("by its number it should be native" in got["reason"]) == (number in TOLD_2_12)


@pytest.mark.parametrize("number", TOLD_OLDER)
def test_older_or_unreadable_torch_gets_backport_only_by_name(fresh, number):
    got = fresh(with_number_and_content, number, without_the_change)
    assert (got["mode"], got["runs"], got["after"]) == ("noop", ["plain"], "plain")
    assert got["backport"] == "lazy"
    assert "mode='backport' works here" in got["reason"]


@pytest.mark.parametrize("number", TOLD_2_12 + TOLD_2_11 + TOLD_OLDER)
@pytest.mark.parametrize("change", [with_the_change, without_the_change])
def test_source_reader_alone_gives_same_mode(number, change):
    parent = Path(torch.__file__).parents[1]

    def read(path: str) -> str | None:
        file = parent / path
        text = file.read_text(encoding="utf-8") if file.is_file() else None
        return change(text) if path == "torch/fx/passes/split_module.py" else text

    old = "backport" if number in TOLD_2_12 + TOLD_2_11 else "noop"
    expected = "native" if change is with_the_change else old
    assert decide(SHIM, "auto", "", number, SourceReader(read)).mode == expected


# --- Changed private API -------------------------------------------------------------------------------------------


def without_lazy_graph_modules() -> None:
    sys.modules[LAZY] = None
    del torch.fx._lazy_graph_module


def edit_lazy(old: str, new: str) -> None:
    text = source(LAZY)
    assert old in text
    replace_module(LAZY, text.replace(old, new))


def use_without_parameter() -> None:
    edit_lazy("_use_lazy_graph_module(should_use: bool)", "_use_lazy_graph_module()")


def use_with_another_parameter() -> None:
    edit_lazy("_use_lazy_graph_module(should_use: bool", "_use_lazy_graph_module(policy, should_use: bool")


def chooser_renamed() -> None:
    edit_lazy("_get_graph_module_cls", "_graph_module_class")


def chooser_with_parameter() -> None:
    edit_lazy("def _get_graph_module_cls(", "def _get_graph_module_cls(graph")


def chooser_is_a_class() -> None:
    class Chooser:
        def __new__(cls) -> type[torch.fx.GraphModule]:
            return torch.fx.GraphModule

    sys.modules[LAZY]._get_graph_module_cls = Chooser


def chooser_is_a_c_function() -> None:
    sys.modules[LAZY]._get_graph_module_cls = itertools.repeat(torch.fx.GraphModule).__next__


def chooser_is_a_mock() -> None:
    sys.modules[LAZY]._get_graph_module_cls = mock.MagicMock(return_value=torch.fx.GraphModule)


def chooser_not_called() -> None:
    edit_lazy("graph_module_cls = _get_graph_module_cls()", "graph_module_cls = GraphModule")


def flag_renamed() -> None:
    edit_lazy("_force_skip_lazy_graph_module_flag", "_never_lazy_flag")


def lazy_class_renamed() -> None:
    edit_lazy("_LazyGraphModule", "_DeferredGraphModule")


def split_module_gone() -> None:
    del sys.modules[SPLIT].split_module


def split_module_is_a_mock() -> None:
    sys.modules[SPLIT].split_module = mock.MagicMock()


def report_after(edit: Callable[[], None]) -> dict[str, Any]:
    runs, split_module = [], sys.modules[SPLIT].split_module
    edit()
    with compat.lazy_graph_module():
        runs.append(split_kinds_by_name(split_module))
    told = {}
    for mode in ("native", "backport"):
        try:
            compat.lazy_graph_module(mode=mode)
        except compat.UnsupportedError as error:
            told[mode] = str(error)
    compat.install("lazy_graph_module")
    installed = split_kinds_by_name(split_module)
    compat.uninstall("lazy_graph_module")
    status = status_of()
    return {"mode": status.mode, "reason": status.reason, "runs": runs, "installed": installed, **told}


def split_kinds_by_name(split_module: Callable[..., Any]) -> set[str]:
    """Return the names of the resulting classes: the edited torch may lack the classes themselves."""
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    result = split_module(graph, torch.nn.Module(), lambda node: ["sin", "relu"].index(node.name))
    return {type(module).__mro__[1].__name__ for module in (result, result.submod_0, result.submod_1)}


@pytest.mark.parametrize(
    ("edit", "symbol"),
    [
        (without_lazy_graph_modules, "torch.fx._lazy_graph_module:_LazyGraphModule"),
        (lazy_class_renamed, "torch.fx._lazy_graph_module:_LazyGraphModule"),
        (flag_renamed, "torch.fx._lazy_graph_module:_force_skip_lazy_graph_module_flag"),
        (use_without_parameter, "torch.fx._lazy_graph_module:_use_lazy_graph_module takes (should_use)"),
        (use_with_another_parameter, "torch.fx._lazy_graph_module:_use_lazy_graph_module takes (should_use)"),
        (chooser_renamed, "torch.fx._lazy_graph_module:_get_graph_module_cls"),
        (chooser_is_a_class, "torch.fx._lazy_graph_module:_get_graph_module_cls"),
        (chooser_is_a_c_function, "torch.fx._lazy_graph_module:_get_graph_module_cls"),
        (chooser_is_a_mock, "torch.fx._lazy_graph_module:_get_graph_module_cls"),
        (chooser_with_parameter, "torch.fx._lazy_graph_module:_get_graph_module_cls takes ()"),
        (chooser_not_called, "torch.fx._lazy_graph_module:_make_graph_module refers to _get_graph_module_cls"),
        (split_module_gone, "torch.fx.passes.split_module:split_module"),
        (split_module_is_a_mock, "torch.fx.passes.split_module:split_module"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_changed_private_api_is_left_unpatched(fresh, edit, symbol):
    got = fresh(report_after, edit)
    assert got["mode"] == "noop"
    assert symbol in got["reason"]
    assert got["runs"] == [{"GraphModule"}], "the body must run once and get the modules of plain torch"
    assert got["installed"] == {"GraphModule"}
    assert symbol in got["native"]
    assert symbol in got["backport"]


# --- Wrappers of other libraries -----------------------------------------------------------------------------------


def wrapped_before(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> dict[str, Any]:
    module = sys.modules[SPLIT]
    module.split_module = wrap(module.split_module)
    got = report()
    return {**got, "kept": module.split_module.__name__ == "wrapper"}


def politely(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    functools.update_wrapper(wrapper, function)
    wrapper.__name__ = "wrapper"
    return wrapper


def rudely(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("wrap", "mode"),
    [(politely, "native" if WORKING == "native" else "noop"), (rudely, "noop")],
    ids=["with functools.wraps", "without"],
)
def test_wrapper_from_before_first_use_stays_and_blocks_backport(fresh, wrap, mode):
    got = fresh(wrapped_before, wrap)
    assert got["mode"] == mode
    assert got["runs"] == ["lazy" if mode == "native" else "plain"]
    assert got["after"] == "plain"
    assert got["kept"]
    if mode == "noop":
        assert "torch.fx.passes.split_module:split_module" in got["reason"]
        assert "torch.fx.passes.split_module:split_module" in got["backport"]


def wrapped_after_the_first_use() -> list[str]:
    module = sys.modules[SPLIT]
    with compat.lazy_graph_module(mode=ASK):
        pass
    module.split_module = politely(module.split_module)
    with compat.lazy_graph_module(mode=ASK):
        inside = split_kinds(module.split_module)
    return [inside, split_kinds(module.split_module), module.split_module.__name__]


def test_split_module_wrapped_after_first_use_is_still_lazy(fresh):
    assert fresh(wrapped_after_the_first_use) == ["lazy", "plain", "wrapper"]
