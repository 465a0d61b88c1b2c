"""`fx_node_creation`: building an FX graph does not walk every argument in Python.

Symptom: `Graph.create_node` walks all arguments of every call node with the Python
pytree, to warn of raw SymInts, SymFloats and SymBools. Copying a graph takes about
twice as long as on torch 2.12, and so do the other passes that build graphs.
Upstream: pytorch#186665, in torch 2.13.0. Affected: 2.13.0 to 2.15.0.
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

from ..patching.patch import Wrapper
from ..probe.definition import Definition, nested
from ..probe.requirements import Parameters, Refers, Symbol
from .base import Shim

_TARGET = "torch.fx.graph:Graph.create_node"
_PYTREE = "torch.utils._pytree"

_PARAMETERS = ("self", "op", "target", "args", "kwargs", "name", "type_expr")
_CALLS = ("call_function", "call_method", "call_module")
# All names in the block under `if op in _CALLS` that walks and warns. A block with
# other names does something else, too, and must not be skipped.
_NAMES_IN_THE_WALK = frozenset(
    "pytree tree_iter isinstance torch SymInt SymFloat SymBool"
    " warnings warn type __name__".split()
)


class _HasNoWalk(NamedTuple):
    target: str

    def explain_failure(self, definition: Definition) -> str | None:
        if definition.code is None:
            return f"it is a {definition.kind}"
        names = {name for code in nested(definition.code) for name in code.co_names}
        return "its body does" if "pytree" in names else None

    def __str__(self) -> str:
        return f"{self.target} does not refer to pytree"


class _WalkCanBeSkipped(NamedTuple):
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
    names: set[str] = set()
    for instruction in instructions:
        if "FAST" in instruction.opname and access in instruction.opname:
            value = instruction.argval
            # From Python 3.13 on one instruction can access two variables.
            names.update(value if isinstance(value, tuple) else (value,))
    return names


def _skip_needless_walks(wrapper: Wrapper) -> Callable[..., Any]:
    own = wrapper.original
    code = _without_walk(own.__code__)
    assert code is not None  # required by the backport
    unchecked = FunctionType(code, own.__globals__, own.__name__, own.__defaults__)
    unchecked.__kwdefaults__ = own.__kwdefaults__

    torch, pytree = sys.modules["torch"], sys.modules[_PYTREE]
    fx, collections = sys.modules["torch.fx.node"], torch.fx.immutable_collections
    symbolic = (torch.SymInt, torch.SymFloat, torch.SymBool)
    # Exact types. What is derived from them may be anything.
    leaves = frozenset(
        (fx.Node, int, float, bool, str, type(None), complex)
        + (torch.dtype, torch.device, torch.layout, torch.memory_format)
    )
    sequences = frozenset((tuple, list, collections.immutable_list, torch.Size))
    mappings = frozenset((dict, collections.immutable_dict))

    def may_be_symbolic(values: Iterable[Any]) -> bool:
        for value in values:
            kind = type(value)
            if kind in leaves:
                continue
            if kind in sequences:
                items = value
            elif kind in mappings:
                items = value.values()
            elif (
                kind in pytree.SUPPORTED_NODES
                or issubclass(kind, tuple)  # every namedtuple is a pytree node
                or isinstance(value, symbolic)
            ):
                return True
            else:
                continue
            for item in items:  # a call for each container would cost more than this
                if type(item) not in leaves and may_be_symbolic((item,)):
                    return True
        return False

    def create_node(
        graph: Any,
        op: Any,
        target: Any,
        args: Any = None,
        kwargs: Any = None,
        name: Any = None,
        type_expr: Any = None,
    ) -> Any:
        function = unchecked
        if wrapper.next is not own:  # another patch, which has to be asked
            function = wrapper.next
        elif (args and may_be_symbolic(args if type(args) is tuple else (args,))) or (
            kwargs and may_be_symbolic((kwargs,))
        ):
            function = _warn_for_caller(own)
        return function(graph, op, target, args, kwargs, name, type_expr)

    return create_node


def _warn_for_caller(own: FunctionType) -> FunctionType:
    """Return a copy whose warnings count stack levels from the patched function."""
    namespace = SimpleNamespace(**vars(warnings))
    namespace.warn = _Warn(own.__code__)
    copy = FunctionType(
        own.__code__,
        {**own.__globals__, "warnings": namespace},
        own.__name__,
        own.__defaults__,
    )
    copy.__kwdefaults__ = own.__kwdefaults__
    return copy


class _Warn:
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def __call__(
        self, message: Any, category: Any = None, stacklevel: int = 1, **named: Any
    ) -> None:
        added, frame = 1, sys._getframe(1)
        while frame.f_back is not None and not self._is_patched(frame.f_code):
            added, frame = added + 1, frame.f_back
        if frame.f_back is None:
            added = 1
        warnings.warn(message, category, stacklevel + added, **named)

    def _is_patched(self, code: CodeType) -> bool:
        own = self._code
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
        Symbol(f"{_PYTREE}:SUPPORTED_NODES", "value"),
        _WalkCanBeSkipped(_TARGET),
    ),
    replacements={_TARGET: _skip_needless_walks},
)
