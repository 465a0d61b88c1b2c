"""lazy_graph_break: how it knows whether torch does it itself, and what it does to modules that Dynamo meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.this_torch import ASK, RELEASE
from helpers.torch_state import kind_of, split

from compat import install, lazy_graph_module, status, uninstall
from compat.shims.lazy_graph_break import _objection


def mode() -> str:
    return {row.name: row.mode for row in status()}["lazy_graph_break"]


def compiled(way: Callable[..., torch.Tensor]) -> torch.Tensor:
    torch._dynamo.reset()
    return torch.compile(way, backend="eager", fullgraph=True)(torch.ones(2))


def deferred(module: torch.nn.Module) -> list[str]:
    return [name for name, child in module.named_modules() if getattr(child, "_needs_recompile", lambda: False)()]


def lazily_split() -> torch.fx.GraphModule:
    with lazy_graph_module(mode=ASK):
        module = split()
    assert kind_of(module) == "lazy"
    return module


@pytest.fixture
def put_in() -> Any:
    install("lazy_graph_break")
    yield
    uninstall("lazy_graph_break")


def test_what_lazy_graph_module_makes_can_be_called_in_a_full_graph(put_in: None) -> None:
    module = lazily_split()
    assert deferred(module)
    assert torch.equal(compiled(lambda x: module(x)), torch.relu(torch.sin(torch.ones(2))))
    assert deferred(module) == []


def test_a_module_that_dynamo_does_not_meet_stays_as_it_is(put_in: None) -> None:
    module = lazily_split()
    compiled(lambda x: x + 1)
    assert "" in deferred(module)


def test_it_is_as_before_when_it_is_taken_out() -> None:
    from torch._dynamo.variables.builder import VariableBuilder

    before = VariableBuilder.wrap_module, VariableBuilder.wrap_module.__code__
    install("lazy_graph_break")
    assert VariableBuilder.wrap_module.__code__ is not before[1]
    uninstall("lazy_graph_break")
    assert (VariableBuilder.wrap_module, VariableBuilder.wrap_module.__code__) == before
    module = lazily_split()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="_lazy_forward"):
        compiled(lambda x: module(x))


def test_this_torch_does_not_do_it_and_the_check_says_so_also_while_the_shim_is_in(put_in: None) -> None:
    from torch._dynamo.variables.builder import VariableBuilder

    assert mode() == "backport"
    assert _objection(VariableBuilder.wrap_module) is None
    install("lazy_graph_break", mode="auto")
    assert mode() == "backport"
    uninstall("lazy_graph_break")


def test_a_torch_that_recompiles_where_it_meets_or_calls_the_module_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.variables.builder import VariableBuilder
    from torch._dynamo.variables.nn_module import UnspecializedNNModuleVariable

    stock = VariableBuilder.wrap_module, UnspecializedNNModuleVariable.call_function

    def wrap_module(self: Any, value: Any) -> Any:
        value.real_recompile()
        return stock[0](self, value)

    def call_function(self: Any, tx: Any, args: Any, kwargs: Any) -> Any:
        self.value.real_recompile()
        return stock[1](self, tx, args, kwargs)

    assert _objection(stock[0]) == "Dynamo leaves it deferred"
    assert _objection(wrap_module) is None
    monkeypatch.setattr(UnspecializedNNModuleVariable, "call_function", call_function)
    assert _objection(stock[0]) is None
    install("lazy_graph_break")
    uninstall("lazy_graph_break")


def test_until_dynamo_is_there_nothing_is_imported_and_nothing_is_said(python: Callable[..., Any]) -> None:
    code = """if 1:
        import sys, torch, compat
        before = set(sys.modules)
        compat.install("lazy_graph_break")
        row = lambda: next(row for row in compat.status() if row.name == "lazy_graph_break")
        print(row().mode, "not decided" in row().reason, [n for n in sys.modules if n.startswith("torch._dynamo")])
        import torch._dynamo
        print(row().mode, row().active)
    """
    done = python("-c", code)
    assert done.stdout.splitlines() == ["noop True []", "backport True"], done.stderr
    assert RELEASE < (2, 16)  # if this is red: has upstream mended it?


def test_a_module_that_is_no_graph_module_is_passed_on(put_in: None) -> None:
    module = torch.nn.Sequential(torch.nn.ReLU())
    assert torch.equal(compiled(lambda x: module(x)), torch.ones(2))
