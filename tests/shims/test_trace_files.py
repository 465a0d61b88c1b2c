"""`compat.api.trace_files`: the files that Dynamo inlines from, nested blocks, other threads and errors."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.warm import Warm

import compat
from compat.shims import trace_files as shim

TEXT = """
def double(x): return x * 2
def numbers():
    yield 1
    yield 2
def fail(x): raise ValueError("no")
"""


def module(folder: str, name: str) -> Any:
    path = Path(folder, f"{name}.py")
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def captures(folder: str) -> dict[str, Any]:
    one, two, three = (module(folder, name) for name in ("one", "two", "three"))
    from torch._dynamo.symbolic_convert import InliningInstructionTranslator

    code = InliningInstructionTranslator.inline_call_.__code__

    def capture(function: Any) -> None:
        torch._dynamo.reset()
        torch.compile(function, backend="eager", fullgraph=True)(torch.ones(2))

    outer: set[str] = set()
    inner: set[str] = set()
    elsewhere: set[str] = set()
    failed: set[str] = set()
    capture(lambda x: one.double(x))  # a first trace may not be in a thread that ends: torch 2.11.0 crashes
    with compat.api.trace_files(outer):
        capture(lambda x: one.double(x))
        with compat.api.trace_files(inner):
            capture(lambda x: x + sum(two.numbers()))
        thread = threading.Thread(target=capture, args=(lambda x: three.double(x),))
        thread.start()
        thread.join()
    capture(lambda x: three.double(x))
    try:
        with compat.api.trace_files(failed):
            capture(lambda x: three.fail(x))
    except Exception:  # noqa: BLE001
        failed.add("raised")
    with compat.api.trace_files(elsewhere):
        pass
    same = InliningInstructionTranslator.inline_call_.__code__ is code
    names = [sorted(Path(file).name for file in files) for files in (outer, inner, failed, elsewhere)]
    return {"files": names, "restored": same}


def test_files_of_inlined_functions_are_added_for_this_thread(warm: Warm, tmp_path: Path) -> None:
    got = warm(captures, str(tmp_path))
    outer, inner, failed, elsewhere = got["files"]
    assert {"one.py", "two.py"} <= set(outer)
    assert "three.py" not in outer
    assert "two.py" in inner
    assert "one.py" not in inner
    assert {"three.py", "raised"} <= set(failed)
    assert elsewhere == []
    assert got["restored"]


def test_missing_method_is_an_unsupported_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.symbolic_convert import InliningInstructionTranslator

    monkeypatch.delattr(InliningInstructionTranslator, "inline_call_")
    monkeypatch.setattr("compat.selection._selected", {})
    with pytest.raises(compat.UnsupportedError, match="inline_call_ does not exist"):
        compat.api.trace_files(set())
    assert not shim.SHIM.active
