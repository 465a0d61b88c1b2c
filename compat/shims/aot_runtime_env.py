"""`aot_runtime_env`: an AOT-compiled function that mentions a builtin can be loaded.

Symptom: A saved AOT-compiled function that mentions a builtin cannot be loaded. If the
function returns a builtin or compares with one (`len`, `ValueError`),
`torch.compiler.load_compiled_function` raises "Missing required external references".
If Dynamo's bytecode calls one by name (`frozenset`), `aot_compile` itself raises.
Upstream: pytorch#177558 saves builtins with the function, in 2.12.0. Affected: 2.10 and 2.11; 2.9 keeps none of the
globals of such a function, and has nothing that could be mended.
Removal: when no supported torch is older than 2.12.

Builtins are everywhere, so here they are looked up where the function is loaded. What has been saved already, and could
not be loaded, then can be, and what is saved stays as torch has it.
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
_DICT = "__builtins_dict__"  # how the names begin under which Dynamo's bytecode finds all builtins


def _supplying(wrapper: Wrapper) -> Callable[..., Any]:
    everything = vars(builtins)

    def check(env: Any, f_globals: Any) -> Any:
        for name in env.external_refs:
            if name not in f_globals:
                if name.startswith(_DICT):
                    f_globals[name] = everything
                elif name in everything:
                    f_globals[name] = everything[name]
        return wrapper.next(env, f_globals)

    return check


SHIM = Shim(
    name="aot_runtime_env",
    kind="fix",
    upstream="pytorch#177558, in torch 2.12.0",
    changes_codegen=False,
    revision=1,
    # It picks what is saved, by name: only who looks for builtins has a word for that one.
    native=(Mentions(f"{_FRAME}:GraphCaptureOutput.get_runtime_env", _DICT),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self", "f_globals")),
        Refers(_TARGET, "external_refs"),
        # What it checks is what the function gets for its globals.
        Refers(f"{_FRAME}:GraphRuntimeEnv.forward_callable", "_check_external_refs"),
    ),
    replacements={_TARGET: _supplying},
)
