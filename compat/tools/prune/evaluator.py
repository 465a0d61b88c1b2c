"""The methods that the parts of the interpreter, `Names` and `Calls`, use of one another."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .operations import World
from .scopes import Binding, Scope
from .values import Unknown


@dataclass
class Frame:
    """The place of an expression: its scope, and the values of local names if the code around it is being run."""

    scope: Scope
    site: ast.AST | None = None
    env: dict[str, Any] | None = None
    outer: Frame | None = None
    running: bool = False  # a call: names without a value are not bound yet


class Evaluator:
    """Evaluates expressions in one world. `Interpreter` has the whole."""

    index: Any
    world: World
    cache: dict[Any, tuple[Any, bool]]
    running: set[Any]
    followed: set[ast.AST]  # functions whose bodies were run
    depth: int
    steps: int

    def value(self, node: ast.AST, frame: Frame) -> Any:
        raise NotImplementedError

    def lift(self, operation: Callable[..., Any], *operands: Any) -> Any:
        raise NotImplementedError

    def opaque(self, reason: str, *made_of: Any) -> Unknown:
        raise NotImplementedError

    def truths(self, value: Any) -> set[bool]:
        raise NotImplementedError

    def sequence(self, value: Any, characters: bool = False) -> list[Any] | None:
        raise NotImplementedError

    def destructured(self, target: ast.AST, value: Any) -> dict[str, Any]:
        raise NotImplementedError

    def calculated(self, sign: ast.operator, left: Any, right: Any) -> Any:
        raise NotImplementedError

    def call_value(self, function: Any, arguments: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        raise NotImplementedError

    def told(self, sign: str, version: Any) -> bool:
        raise NotImplementedError

    def bound_value(self, binding: Binding, name: str, scope: Scope) -> Any:
        raise NotImplementedError

    def imported(self, node: ast.AST, name: str, module: Any) -> Any:
        raise NotImplementedError

    def decorated(self, node: Any, frame: Frame) -> Any:
        raise NotImplementedError

    def cached(self, key: Any, compute: Callable[[], Any]) -> Any:
        raise NotImplementedError
