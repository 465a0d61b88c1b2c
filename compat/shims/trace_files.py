"""`trace_files`: collect the files of the functions that Dynamo inlines.

Symptom: Torch has no call that tells the source files of a capture. An engine that keys
its cache by them replaces a method of Dynamo's around each capture, for all threads.
Upstream: none.
Affected: every torch so far (2.15).
Removal: when every supported torch can report the files of a capture.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSet
from typing import Any

from ..patching.context import Context
from ..patching.patch import Wrapper
from ..probe.requirements import Parameters, Refers, Symbol
from ._calls import OwnCall, demanded_context
from .base import Shim

_TARGET = "torch._dynamo.symbolic_convert:InliningInstructionTranslator.inline_call_"


def trace_files(into: MutableSet[str]) -> Context:
    """Add the source file of each function that Dynamo inlines to a set.

    Holds for the captures of the thread or asyncio task that enters the context, until
    it is left. Nested contexts all get the file. The file of the function that the
    capture starts with is not added.

    It stands for replacing `InliningInstructionTranslator.inline_call_`, which Dynamo
    also calls by other ways from 2.13 on.

    Args:
        into: a set of paths, as in `co_filename`.

    Returns:
        A context manager. It yields nothing.

    Raises:
        UnsupportedError: this torch inlines functions in another way.

    """
    return demanded_context(SHIM, into)


def _replace_inline_call(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `inline_call_` add the file of its function to the sets of open blocks."""

    def inline_call(translator: Any) -> Any:
        for files in SHIM.scopes.values():
            files.add(translator.f_code.co_filename)
        return wrapper.next(translator)

    return inline_call


SHIM = Shim(
    name="trace_files",
    kind="api",
    upstream="none",
    changes_codegen=False,
    revision=1,
    native=(OwnCall(_TARGET, "report the files of a capture"),),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, ("self",)),
        Refers(_TARGET, "f_code"),
    ),
    replacements={_TARGET: _replace_inline_call},
)
