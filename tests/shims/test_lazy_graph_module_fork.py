"""`lazy_graph_module` across a fork, and a mode requested by name while the shim is active."""

from __future__ import annotations

import os
import threading

import pytest
from helpers.torch_state import status_of

import compat
from compat.selection import select
from compat.shims import lazy_graph_module as shim

torch = pytest.importorskip("torch")
MODE = select(shim.SHIM).mode
pytestmark = [
    pytest.mark.skipif(MODE == "noop", reason="the mode is noop on this torch"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_is_unpatched_if_another_thread_held_context() -> None:
    from torch.fx._lazy_graph_module import _get_graph_module_cls

    code, entered, go = _get_graph_module_cls.__code__, threading.Event(), threading.Event()

    def other() -> None:
        with compat.lazy_graph_module():
            entered.set()
            go.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if _get_graph_module_cls.__code__ is code and not status_of().active else 1)
    assert os.waitpid(child, 0)[1] == 0
    go.set()
    thread.join()
    assert _get_graph_module_cls.__code__ is code


def test_mode_by_name_is_checked_against_unpatched_torch() -> None:
    with compat.lazy_graph_module():
        select.__globals__["_selected"].clear()
        with compat.lazy_graph_module(mode=MODE):
            assert select(shim.SHIM, MODE).mode == MODE
