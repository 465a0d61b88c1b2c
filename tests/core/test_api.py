"""`compat.api`: its entries are shims that are called, not installed, and that copies can lack."""

from __future__ import annotations

import contextvars
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import compat
from compat import shims
from compat.__main__ import main
from compat.patching.patch import Claim, Patch, Wrapper
from compat.shims.base import all_shims

ENTRIES = [shim.name for shim in all_shims() if shim.kind == "api"]
# A call of each entry. Only the ones that need a shim are refused.
CALLS: dict[str, Callable[[], Any]] = {
    "standalone_compile": lambda: compat.api.standalone_compile(
        None, [], fake_mode=FakeMode, dynamic_shapes="from_example_inputs"
    ),
    "observe_cache_keys": lambda: compat.api.observe_cache_keys(print),
    "cache_outside_dynamo": lambda: compat.api.cache_outside_dynamo(),
    "register_custom_class": lambda: compat.api.register_custom_class(FakeMode, typ="constant"),
    "trace_files": lambda: compat.api.trace_files(set()),
    "mark_unbacked": lambda: compat.api.mark_unbacked(FakeMode(), 0),
    "init_joint_graph_patterns": lambda: compat.api.init_joint_graph_patterns(),
}


class FakeMode:
    shape_env = object()


def test_every_function_is_documented_and_has_a_shim() -> None:
    assert [*CALLS] == ENTRIES
    assert sorted({*compat.api.__all__} - {"custom_class_base"}) == sorted(ENTRIES)
    for name in compat.api.__all__:
        function = getattr(compat.api, name)
        assert inspect.getdoc(function)
        for parameter in inspect.signature(function).parameters:
            assert f"\n    {parameter}: " in inspect.getdoc(function)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'compat.api' has no attribute 'nonsense'$"):
        compat.api.nonsense  # noqa: B018 (asks for it)


def test_import_loads_neither_torch_nor_the_shims(python: Callable[..., Any]) -> None:
    code = (
        "import sys, compat.api; loaded = [name for name in sys.modules if name.startswith('compat.shims.')]\n"
        "print([name for name in loaded if name[13:] in compat.api.__all__], 'torch' in sys.modules)"
    )
    done = python("-c", code)
    assert done.stdout == "[] False\n", done.stderr


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_is_listed_by_status_and_cannot_be_installed(name: str) -> None:
    (row,) = [row for row in compat.status() if row.name == name]
    assert (row.kind, row.active, row.changes_codegen) == ("api", False, False)
    for act in (compat.install, compat.uninstall):
        with pytest.raises(ValueError, match=f"call compat.api.{name}; it cannot be installed"):
            act("operator_str", name)
    assert not any(row.active for row in compat.status())


def test_kind_api_is_no_kind_of_an_install() -> None:
    with pytest.raises(ValueError, match="kind is 'api'; it can be fix, speed, policy"):
        compat.install(kind="api")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("variable", ["TORCH_COMPAT", "TORCH_COMPAT_{}"])
def test_kill_switch_refuses_the_call(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = variable.format(name.upper())
    monkeypatch.setenv(variable, "noop")
    with pytest.raises(compat.UnsupportedError, match=f"^{name}: {variable}=noop is set$"):
        CALLS[name]()


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_that_a_copy_lacks_is_an_unsupported_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shims.LEFT_OUT, name, ("api", "not among --shims"))
    with pytest.raises(compat.UnsupportedError, match=rf"^{name} was left out of this copy of compat \(not among"):
        CALLS[name]()


def test_copy_without_the_entries_can_be_imported_and_says_why(tmp_path: Path) -> None:
    assert main(["vendor", str(tmp_path), "--shims", "operator_str", "trace_files"]) == 0
    code = """
import compat
print([row.name for row in compat.status() if row.kind == "api" and "left out" not in row.reason])
try:
    compat.api.observe_cache_keys(print)
except compat.UnsupportedError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['trace_files']",
        "observe_cache_keys was left out of this copy of compat (not among --shims); "
        "to have it, vendor again with a wider --torch or with it among --shims",
    ]


def test_block_that_has_ended_is_not_seen_by_a_copied_context() -> None:
    from compat.shims import trace_files

    files: set[str] = set()
    with compat.api.trace_files(files):
        copied = contextvars.copy_context()
        assert copied.run(trace_files.SHIM.scopes.values) == [files]
    assert copied.run(trace_files.SHIM.scopes.values) == []


def function(text: str) -> str:
    return text


def adding(word: str, outermost: bool) -> Callable[[Wrapper], Callable[..., str]]:
    def replace(wrapper: Wrapper) -> Callable[..., str]:
        wrapper.outermost = outermost
        return lambda text: wrapper.next(text) + word

    return replace


@pytest.mark.parametrize("first", [True, False])
def test_outermost_wrapper_sees_the_result_of_wrappers_that_come_later(first: bool) -> None:
    """The key that an observer sees must be the one that torch uses."""
    copy = FunctionType(function.__code__, globals())
    patches = [Patch([(copy, adding(" outer", True))]), Patch([(copy, adding(" inner", False))])]
    claims = [(patch, Claim()) for patch in (patches if first else patches[::-1])]
    for patch, claim in claims:
        patch.enter(claim)
    assert copy("torch") == "torch inner outer"
    for patch, claim in claims:
        patch.leave(claim)
    assert copy("torch") == "torch"
