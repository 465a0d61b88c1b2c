"""`lazy_graph_break`: how it detects a native fix, and how it treats modules that Dynamo traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.this_torch import ASK, RELEASE
from helpers.torch_state import kind_of, split

from compat import install, lazy_graph_module, status, uninstall
from compat.shims.lazy_graph_break import _explain_failure


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
def installed() -> Any:
    install("lazy_graph_break")
    yield
    uninstall("lazy_graph_break")


def test_lazy_module_can_be_called_in_full_graph(installed: None) -> None:
    module = lazily_split()
    assert deferred(module)
    assert torch.equal(compiled(lambda x: module(x)), torch.relu(torch.sin(torch.ones(2))))
    assert deferred(module) == []


def test_module_that_dynamo_does_not_trace_stays_deferred(installed: None) -> None:
    module = lazily_split()
    compiled(lambda x: x + 1)
    assert "" in deferred(module)


def test_uninstall_restores_original_code_and_graph_break() -> None:
    from torch._dynamo.variables.builder import VariableBuilder

    before = VariableBuilder.wrap_module, VariableBuilder.wrap_module.__code__
    install("lazy_graph_break")
    assert VariableBuilder.wrap_module.__code__ is not before[1]
    uninstall("lazy_graph_break")
    assert (VariableBuilder.wrap_module, VariableBuilder.wrap_module.__code__) == before
    module = lazily_split()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="_lazy_forward"):
        compiled(lambda x: module(x))


def test_native_check_fails_on_this_torch_even_while_installed(installed: None) -> None:
    from torch._dynamo.variables.builder import VariableBuilder

    assert mode() == "backport"
    assert _explain_failure(VariableBuilder.wrap_module) is None
    install("lazy_graph_break", mode="auto")
    assert mode() == "backport"
    uninstall("lazy_graph_break")


def test_torch_that_recompiles_traced_modules_passes_native_check(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.variables.builder import VariableBuilder
    from torch._dynamo.variables.nn_module import UnspecializedNNModuleVariable

    stock = VariableBuilder.wrap_module, UnspecializedNNModuleVariable.call_function

    def wrap_module(self: Any, value: Any) -> Any:
        value.real_recompile()
        return stock[0](self, value)

    def call_function(self: Any, tx: Any, args: Any, kwargs: Any) -> Any:
        self.value.real_recompile()
        return stock[1](self, tx, args, kwargs)

    assert _explain_failure(stock[0]) == "Dynamo leaves it deferred"
    assert _explain_failure(wrap_module) is None
    monkeypatch.setattr(UnspecializedNNModuleVariable, "call_function", call_function)
    assert _explain_failure(stock[0]) is None
    install("lazy_graph_break")
    uninstall("lazy_graph_break")


@pytest.mark.slow
def test_status_is_undecided_and_imports_nothing_before_dynamo(python: Callable[..., Any]) -> None:
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
    assert RELEASE < (2, 16)  # if this fails, check whether upstream has fixed the defect


def test_other_modules_are_passed_on(installed: None) -> None:
    module = torch.nn.Sequential(torch.nn.ReLU())
    assert torch.equal(compiled(lambda x: module(x)), torch.ones(2))
