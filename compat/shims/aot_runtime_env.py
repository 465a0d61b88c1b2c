"""`aot_runtime_env`: load AOT-compiled functions that mention a builtin.

Symptom: A saved AOT-compiled function that mentions a builtin cannot be loaded. If the
function returns a builtin or compares with one (`len`, `ValueError`),
`torch.compiler.load_compiled_function` raises "Missing required external references".
If Dynamo's bytecode calls one by name (`frozenset`), `aot_compile` itself raises.
Upstream: pytorch#177558 saves builtins with the function, in 2.12.0.
Affected: 2.10 and 2.11. torch 2.9 saves none of the globals of such a function, so the
shim has nothing to complete there.
Removal: when no supported torch is older than 2.12.

Every process has the builtins, so the shim looks them up when the function is loaded.
It also loads functions that were saved without it. It does not change the saved files.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from ..patching.patch import Wrapper
from ..probe.requirements import Mentions, Parameters, Refers, Symbol
from .base import Shim

_FRAME = "torch._dynamo.convert_frame"
_TARGET = f"{_FRAME}:GraphRuntimeEnv._check_external_refs"
# Dynamo's bytecode reads all builtins under names that begin so.
_DICT = "__builtins_dict__"


def _replace_check_external_refs(wrapper: Wrapper) -> Callable[..., Any]:
    """Have torch find builtins among the globals that it checks."""
    all_builtins = vars(builtins)

    def check(env: Any, f_globals: Any) -> Any:
        for name in env.external_refs:
            if name not in f_globals:
                if name.startswith(_DICT):
                    f_globals[name] = all_builtins
                elif name in all_builtins:
                    f_globals[name] = all_builtins[name]
        return wrapper.next(env, f_globals)

    return check


SHIM = Shim(
    name="aot_runtime_env",
    kind="fix",
    upstream="pytorch#177558, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    # The function picks the globals to save by name. It mentions this name only to save
    # builtins.
    native=(Mentions(f"{_FRAME}:GraphCaptureOutput.get_runtime_env", _DICT),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "f_globals")),
        Refers(_TARGET, "external_refs"),
        # The globals that torch checks are the globals that the function gets.
        Refers(f"{_FRAME}:GraphRuntimeEnv.forward_callable", "_check_external_refs"),
    ),
    replacements={_TARGET: _replace_check_external_refs},
)
