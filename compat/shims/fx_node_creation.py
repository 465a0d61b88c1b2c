"""`fx_node_creation`: build FX graphs without walking every argument in Python.

Symptom: Copying a graph takes about twice as long as on torch 2.12, and so do other
passes that build graphs. `Graph.create_node` walks all arguments of every call with the
Python pytree, to warn of raw SymInts, SymFloats and SymBools.
Upstream: pytorch#186665, in 2.13.0, added the walk.
Affected: 2.13.0 to 2.15.0.
Removal: when every supported torch has a quick check, or none.

The shim looks at the types of the arguments first. If no argument can be symbolic, it
runs torch's function without the walk. Otherwise it runs torch's function as it is, and
the warning points at the same line of the caller's code as before.
"""

from __future__ import annotations

import dis
import sys
import warnings
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any, NamedTuple

from ..patching.bytecode import copied
from ..patching.patch import Wrapper
from ..probe.definition import Definition, nested
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch.fx.graph:Graph.create_node"

_PARAMETERS = ("self", "op", "target", "args", "kwargs", "name", "type_expr")
_CALLS = ("call_function", "call_method", "call_module")
# All names in the block under `if op in _CALLS` that walks and warns. A block with
# other names does something else, too, and must not be skipped.
_NAMES_IN_THE_WALK = {
    *("pytree", "tree_iter", "isinstance", "torch", "SymInt", "SymFloat", "SymBool"),
    *("warnings", "warn", "type", "__name__"),
}


class _HasNoWalk(NamedTuple):
    """The function does not use the pytree, as up to torch 2.12."""

    target: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        names = {name for code in nested(definition.code) for name in code.co_names}
        return "its body does" if "pytree" in names else None

    def __str__(self) -> str:
        return f"{self.target} does not refer to pytree"


class _WalkCanBeSkipped(NamedTuple):
    """The function has the walk in the form that the shim knows."""

    target: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        if len(definition.parameters) != len(_PARAMETERS):
            return "it takes other parameters"  # the replacement passes on these alone
        known = _without_walk(definition.code) is not None
        return None if known else "its body has another form"

    def __str__(self) -> str:
        return f"{self.target} walks arguments in a block that does nothing else"


def _without_walk(code: CodeType) -> CodeType | None:
    """Return the code with the test before the walk always false.

    Returns None if the block after the test does more than to walk and to warn.
    """
    instructions = list(dis.get_instructions(code))
    tests = [
        index
        for index, instruction in enumerate(instructions)
        if instruction.opname == "LOAD_CONST" and instruction.argval == _CALLS
    ]
    if len(tests) != 1 or tests[0] + 1 >= len(instructions):
        return None
    after = instructions[tests[0] + 1 :]
    jump = next((i for i in after if "JUMP" in i.opname), None)
    if after[0].opname != "CONTAINS_OP" or after[0].arg != 0 or jump is None:
        return None
    if "IF_FALSE" not in jump.opname or not jump.offset < jump.argval:
        return None
    inside = [i for i in after if jump.offset < i.offset < jump.argval]
    outside = [i for i in instructions if not jump.offset < i.offset < jump.argval]
    names = {i.argval for i in inside if i.opcode in dis.hasname}
    leaves = any(i.opname.startswith(("RETURN", "RAISE", "YIELD")) for i in inside)
    stored = _locals(inside, "STORE") & _locals(outside, "LOAD")
    if names != _NAMES_IN_THE_WALK or leaves or stored:
        return None
    constants = tuple(() if const == _CALLS else const for const in code.co_consts)
    return code.replace(co_consts=constants)


def _locals(instructions: Iterable[dis.Instruction], access: str) -> set[str]:
    """Return the local variables that are stored or loaded."""
    values = [
        i.argval for i in instructions if "FAST" in i.opname and access in i.opname
    ]
    # From Python 3.13 on one instruction can access two variables.
    groups = [value if isinstance(value, tuple) else (value,) for value in values]
    return {name for group in groups for name in group}


def _leaves() -> frozenset[type]:
    """Return types that hold nothing symbolic. Types derived from them may."""
    torch, node = sys.modules["torch"], sys.modules["torch.fx.node"].Node
    plain = (int, float, bool, str, type(None), complex, type(...))
    own = (torch.dtype, torch.device, torch.layout, torch.memory_format)
    return frozenset((node, *plain, *own))


def _sequences() -> frozenset[type]:
    torch = sys.modules["torch"]
    own = (torch.Size, torch.fx.immutable_collections.immutable_list)
    return frozenset((tuple, list, *own))


def _make_check() -> Callable[[Iterable[Any]], bool]:
    """Return a function that tells whether one of some values may be symbolic."""
    torch = sys.modules["torch"]
    nodes = torch.utils._pytree.SUPPORTED_NODES
    symbolic = (torch.SymInt, torch.SymFloat, torch.SymBool)
    leaves, sequences = _leaves(), _sequences()
    mappings = (dict, torch.fx.immutable_collections.immutable_dict)

    def may_be_symbolic(values: Iterable[Any]) -> bool:
        for value in values:
            kind = type(value)
            if kind in leaves:
                continue
            if kind in sequences:
                items = value
            elif kind in mappings:
                items = value.values()
            elif kind is slice:
                items = (value.start, value.stop, value.step)
            # Every namedtuple is a pytree node.
            elif kind in nodes or issubclass(kind, tuple):
                return True
            else:
                items = ()
            if isinstance(value, symbolic) or may_be_symbolic(items):
                return True
        return False

    return may_be_symbolic


def _replace_create_node(wrapper: Wrapper) -> Callable[..., Any]:
    """Have `create_node` walk its arguments only if one may be symbolic."""
    own = wrapper.original
    code = _without_walk(own.__code__)
    assert code is not None  # required by the backport
    unchecked = copied(own, code)
    leaves, sequences, may_be_symbolic = _leaves(), _sequences(), _make_check()

    def create_node(
        graph: Any,
        op: Any,
        target: Any,
        args: Any = None,
        kwargs: Any = None,
        name: Any = None,
        type_expr: Any = None,
    ) -> Any:
        function = wrapper.next
        if function is own:  # otherwise another wrapper, which gets the call as it is
            function = unchecked
            # `may_be_symbolic((args, kwargs))`, but its calls cost more than the tests.
            for value in args if type(args) is tuple else (args,):
                kind = type(value)
                if kind not in leaves:
                    for item in value if kind in sequences else (value,):
                        if type(item) not in leaves and may_be_symbolic((item,)):
                            function = _warn_for_caller(own)
                            break
            if kwargs and may_be_symbolic((kwargs,)):
                function = _warn_for_caller(own)
        return function(graph, op, target, args, kwargs, name, type_expr)

    return create_node


def _warn_for_caller(own: FunctionType) -> FunctionType:
    """Return a copy whose warnings count stack levels from the patched function."""
    space = SimpleNamespace(**vars(warnings))
    space.warn = _Warn(own.__code__)
    return copied(own, names={**own.__globals__, "warnings": space})


class _Warn(NamedTuple):
    """Stands in for `warnings.warn` behind our frames, which must not count."""

    code: CodeType

    def __call__(
        self, message: Any, category: Any = None, stacklevel: int = 1, **named: Any
    ) -> None:
        added, frame = 1, sys._getframe(1)
        while frame.f_back is not None and not self._is_patched(frame.f_code):
            added, frame = added + 1, frame.f_back
        added = 1 if frame.f_back is None else added
        warnings.warn(message, category, stacklevel + added, **named)

    def _is_patched(self, code: CodeType) -> bool:
        own = self.code
        return code is not own and (
            (code.co_name, code.co_filename, code.co_firstlineno)
            == (own.co_name, own.co_filename, own.co_firstlineno)
        )


SHIM = Shim(
    name="fx_node_creation",
    kind="speed",
    upstream="pytorch#186665, in torch 2.13.0, is what makes it slow",
    changes_codegen=False,
    revision=1,
    # Up to torch 2.12 there is no walk.
    native=(Symbol(_TARGET, "function"), _HasNoWalk(_TARGET)),
    backport=(
        Symbol(_TARGET, "function"),
        Parameters(_TARGET, _PARAMETERS),
        Refers(_TARGET, "tree_iter"),
        Symbol("torch.fx.node:Node", "class"),
        Symbol("torch.fx.immutable_collections:immutable_list", "class"),
        Symbol("torch.fx.immutable_collections:immutable_dict", "class"),
        Symbol("torch.utils._pytree:SUPPORTED_NODES", "value"),
        _WalkCanBeSkipped(_TARGET),
    ),
    replacements={_TARGET: _replace_create_node},
)
