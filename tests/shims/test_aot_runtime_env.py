"""`aot_runtime_env`: what its reproducer does not show. Where torch has the fix itself, the same has to come out."""

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
    """What a saved function that refers to these names is made into."""
    fields = dict.fromkeys(convert_frame.GraphRuntimeEnv.__dataclass_fields__)
    given = {"bytecode": (lambda: 0).__code__, "import_sources": {}, "used_globals": used or {}, "external_refs": refs}
    module = compile(f"def function(): return {code}", "test", "exec")
    given["bytecode"] = next(const for const in module.co_consts if isinstance(const, types.CodeType))
    return convert_frame.GraphRuntimeEnv(**{**fields, **given}).forward_callable("backend", len, extra_globals=extra)


@pytest.mark.skipif(not AFFECTED, reason="torch saves them")
def test_builtins_are_found_where_the_function_is_loaded(installed: None) -> None:
    function = load({"len", "__builtins_dict___7", "backend"}, "len, __builtins_dict___7")
    assert function() == (len, vars(builtins))


def test_what_has_been_saved_or_given_goes_before_it(installed: None) -> None:
    saved, given = object(), object()
    function = load({"len", "max"}, "len, max", {"len": saved}, {"max": given})
    assert function() == (saved, given)
    assert "len" in vars(builtins)
    assert builtins.len is not saved


def test_what_is_no_builtin_is_missed_in_torchs_own_words(installed: None) -> None:
    with pytest.raises(RuntimeError, match=r"Missing required external references: \['of_the_user'\]"):
        load({"of_the_user"}, "of_the_user")


def test_the_globals_of_the_user_are_left_alone(installed: None) -> None:
    theirs: dict[str, Any] = {"len": len}
    load({"len", "max"} if AFFECTED else {"len"}, "len", None, theirs)
    assert theirs == {"len": len}


def test_it_is_taken_out_without_a_trace() -> None:
    function = convert_frame.GraphRuntimeEnv._check_external_refs
    before = function.__code__
    compat.install("aot_runtime_env")
    assert (function.__code__ is not before) == AFFECTED
    compat.uninstall("aot_runtime_env")
    assert function.__code__ is before
