"""`aot_runtime_env`: cases beyond its reproducer, with the same results on torches that are fixed natively."""

from __future__ import annotations

import builtins
import types
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.this_torch import RELEASE
from torch._dynamo import convert_frame

import compat

pytestmark = pytest.mark.skipif(RELEASE < (2, 10), reason="torch has no such class")
AFFECTED = RELEASE < (2, 12)


@pytest.fixture
def installed() -> Iterator[None]:
    compat.install("aot_runtime_env")
    yield
    compat.uninstall("aot_runtime_env")


def load(refs: set[str], code: str, used: Any = None, extra: Any = None) -> Any:
    """Load a saved function that refers to these names."""
    fields = dict.fromkeys(convert_frame.GraphRuntimeEnv.__dataclass_fields__)
    given = {"bytecode": (lambda: 0).__code__, "import_sources": {}, "used_globals": used or {}, "external_refs": refs}
    module = compile(f"def function(): return {code}", "test", "exec")
    given["bytecode"] = next(const for const in module.co_consts if isinstance(const, types.CodeType))
    return convert_frame.GraphRuntimeEnv(**{**fields, **given}).forward_callable("backend", len, extra_globals=extra)


@pytest.mark.skipif(not AFFECTED, reason="torch saves builtins with the function")
def test_loaded_function_finds_builtins(installed: None) -> None:
    function = load({"len", "__builtins_dict___7", "backend"}, "len, __builtins_dict___7")
    assert function() == (len, vars(builtins))


def test_saved_and_given_globals_take_precedence_over_builtins(installed: None) -> None:
    saved, given = object(), object()
    function = load({"len", "max"}, "len, max", {"len": saved}, {"max": given})
    assert function() == (saved, given)
    assert "len" in vars(builtins)
    assert builtins.len is not saved


def test_missing_name_that_is_no_builtin_raises_error_of_torch(installed: None) -> None:
    with pytest.raises(RuntimeError, match=r"Missing required external references: \['of_the_user'\]"):
        load({"of_the_user"}, "of_the_user")


def test_load_leaves_globals_of_user_unchanged(installed: None) -> None:
    theirs: dict[str, Any] = {"len": len}
    load({"len", "max"} if AFFECTED else {"len"}, "len", None, theirs)
    assert theirs == {"len": len}


def test_uninstall_restores_original_code() -> None:
    function = convert_frame.GraphRuntimeEnv._check_external_refs
    before = function.__code__
    compat.install("aot_runtime_env")
    assert (function.__code__ is not before) == AFFECTED
    compat.uninstall("aot_runtime_env")
    assert function.__code__ is before
