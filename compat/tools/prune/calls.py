"""Calls: of functions in the searched files, of methods, and of library functions."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

from packaging.version import Version

from . import prior, text
from .evaluator import Evaluator, Frame
from .known_functions import model_of
from .operations import accepted
from .regex import Found
from .scopes import last_name
from .statements import Runner
from .tree import walk
from .values import (
    Built,
    Class,
    Dotted,
    Function,
    Instance,
    List,
    Method,
    Parts,
    Raised,
    Specifiers,
    Text,
    Unknown,
    is_of_torch,
)
from .versions import TooMuch, Unclear

_SHORT = 60  # statements of a function that is followed though it does not name torch's version
_LONGEST = 120  # statements of a function that is followed


class Calls(Evaluator):
    """The part of the interpreter that calls."""

    def called(self, node: ast.Call, frame: Frame) -> Any:
        function = self.value(node.func, frame)
        arguments: list[Any] = []
        for argument in node.args:
            value = self._given_value(argument, node, frame)
            if isinstance(argument, ast.Starred):
                items = self.sequence(value)
                if items is None:
                    return self.opaque("is called with arguments that are not known", value)
                arguments += items
            else:
                arguments.append(value)
        if last_name(node) == "implement_for" and arguments[:1] == ["torch"]:
            return self._implemented(arguments[1:])
        keywords = self._keywords(node, frame)
        return self.lift(lambda called: self.call_value(called, arguments, keywords, node), function)

    def _keywords(self, node: ast.Call, frame: Frame) -> dict[str, Any]:
        """The keyword arguments; "**" stands for those that are not known."""
        found: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, frame)
            known = keyword.arg is None and isinstance(value, dict) and all(isinstance(key, str) for key in value)
            found.update(value if known else {keyword.arg or "**": value})
        return found

    def _given_value(self, argument: ast.expr, node: ast.Call, frame: Frame) -> Any:
        """The value of an argument. `any` and `all` stop early, and may never come to what raises an exception."""
        try:
            return self.value(argument.value if isinstance(argument, ast.Starred) else argument, frame)
        except Raised:
            if last_name(node) not in ("any", "all", "next") or not isinstance(argument, ast.GeneratorExp):
                raise
            return self.opaque("may raise an exception on the way")

    def call_value(self, function: Any, arguments: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        if isinstance(function, Function):
            return self._of_function(function, arguments, keywords)
        if isinstance(function, bool) and not arguments:
            return function  # a name that tells the answer, and is a function
        if isinstance(function, Method):
            flat = [function.owner, *arguments]
            return self.lift(
                lambda *given: self._of_method(Method(given[0], function.name), list(given[1:]), keywords), *flat
            )
        if isinstance(function, Dotted):
            return self._of_library(function.name, arguments, keywords)
        if isinstance(function, Built):
            return self.lift(function.call, *arguments)
        if isinstance(function, Class):
            return self._of_class_call(function, arguments, keywords)
        name = last_name(node)
        reason = function.reason if isinstance(function, Unknown) else f"it is not known what `{name}` does"
        return self._not_followed(reason, name, arguments, keywords)

    def _not_followed(self, reason: str, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Unknown:
        self.world.risky += 1
        of_torch = any(map(is_of_torch, (*arguments, *keywords.values()))) or prior.tells(name)
        return Unknown(reason, of_torch)

    def _of_class_call(self, function: Class, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        name = function.scope.node.name  # type: ignore[attr-defined]
        bases = function.scope.node.bases  # type: ignore[attr-defined]
        if not bases and not arguments and not keywords and "__init__" not in function.scope.bound:
            return Instance(function.scope)
        return self._not_followed(f"the class `{name}` is not followed", name, arguments, keywords)

    def _implemented(self, bounds: list[Any]) -> Any:
        """`@implement_for("torch", "2.4", "2.6")`: whether torch is at least the first and below the second."""
        at_least = all(self.told(">=", Version(b)) for b in bounds[:1] if b)
        return at_least and all(self.told("<", Version(b)) for b in bounds[1:2] if b)

    # Functions of the searched files.

    def _of_function(self, function: Function, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        name = getattr(function.node, "name", "")
        given = (*arguments, *keywords.values())
        follows = any(map(is_of_torch, given)) or (given and _is_short(function.node) and all(map(_is_known, given)))
        if name and not follows and not self.index.is_function_worth(function.scope):
            return self._not_followed(f"`{name}` does not name torch's version", name, list(given), {})
        if function.bound is not None:
            arguments = [function.bound, *arguments]
        env = self._given(function, arguments, keywords)
        key = (function.node, *((name, type(value), value) for name, value in sorted(env.items())))
        try:
            hash(key)
        except TypeError:
            return self._run(function, env)
        return self._run(function, env) if function.closure else self.cached(key, lambda: self._run(function, env))

    def _run(self, function: Function, env: dict[str, Any]) -> Any:
        node = function.node
        frame = Frame(function.scope, node, env, function.closure, running=True)
        if isinstance(node, ast.Lambda):
            return self.value(node.body, frame)
        if sum(isinstance(n, ast.stmt) for n in walk(node)) > _LONGEST:
            raise TooMuch(f"`{node.name}` is too long to be followed")
        if any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Await)) for n in walk(node)):
            return self._not_followed(f"`{node.name}` is no plain function", node.name, list(env.values()), {})
        before, self.world.touched = self.world.touched, False
        outermost, steps = not self.steps, self.steps
        try:
            self.followed.add(node)
            result = Runner(self).call(node.body, frame)
            touched = self.world.touched
        finally:
            self.world.touched |= before
            self.steps = 0 if outermost else steps
        return self._judged_by_name(node, result, env) if touched else result

    def _judged_by_name(self, node: ast.FunctionDef | ast.AsyncFunctionDef, result: Any, env: dict[str, Any]) -> Any:
        """The result; by the function's name if its body is not understood and reads nothing but torch."""
        if not isinstance(result, Unknown) or result.argument:
            return result
        if prior.helper(node.name) and self.index.reads_only_torch(node):
            return self._by_name(node.name, list(env.values()), {}) or result
        return Unknown(result.reason, result.of_torch or prior.tells(node.name), result.truth)

    def _given(self, function: Function, arguments: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """The values of a call's parameters. Raises Raised if the arguments do not fit."""
        if "**" in keywords:
            raise Unclear("is called with keywords that are not known")
        takes = function.node.args
        names = [each.arg for each in (*takes.posonlyargs, *takes.args)]
        env = dict(zip(names, arguments))
        if len(arguments) > len(names):
            if takes.vararg is None:
                raise Raised("TypeError")
            env[takes.vararg.arg] = tuple(arguments[len(names) :])
        elif takes.vararg is not None:
            env[takes.vararg.arg] = ()
        only = [each.arg for each in takes.kwonlyargs]
        extra = {name: value for name, value in keywords.items() if name not in (*names, *only)}
        env.update({name: value for name, value in keywords.items() if name not in extra})
        if takes.kwarg is not None:
            env[takes.kwarg.arg] = extra
        elif extra:
            raise Raised("TypeError")
        defaults = [*zip(names[len(names) - len(takes.defaults) :], takes.defaults), *zip(only, takes.kw_defaults)]
        for name, default in defaults:
            if name not in env and default is not None:
                env[name] = self._default(default, function)
        if any(name not in env for name in (*names, *only)):
            raise Raised("TypeError")
        return env

    def _default(self, default: ast.expr, function: Function) -> Any:
        if isinstance(default, (ast.List, ast.Dict, ast.Set)):
            return Unknown("is a default that calls may change")
        outer = function.scope.outer or function.scope
        return self.value(default, function.closure or Frame(outer, function.node))

    # Methods of values, and libraries.

    def _of_method(self, method: Method, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        owner, name = method.owner, method.name
        unknown = next((each for each in arguments if isinstance(each, Unknown)), None)
        if unknown is not None:
            return self._not_followed(unknown.reason, name, [owner, *arguments], keywords)
        if isinstance(owner, (Text, str)):
            return self._of_text(owner, name, arguments, keywords)
        if isinstance(owner, Parts):
            owner = List(self.sequence(owner) or ())
        if isinstance(owner, Specifiers) and name in ("contains", "__contains__"):
            return accepted(owner, arguments[0], keywords.get("prereleases", owner.prereleases), self.world)
        if isinstance(owner, Found) and name in ("group", "groups"):
            return owner.group(*arguments) if name == "group" and len(arguments) < 2 else self._groups(owner, arguments)
        if isinstance(owner, dict) and name in ("items", "keys", "values", "get"):
            return self._of_mapping(owner, name, arguments)
        if isinstance(owner, tuple) and name in ("index", "count"):
            raise Unclear("searches a list")
        return self._not_followed(f"`.{name}` is not followed", name, [owner, *arguments], keywords)

    def _groups(self, owner: Found, arguments: list[Any]) -> tuple[Any, ...]:
        return tuple(owner.group(key) for key in arguments) if arguments else owner.groups[1:]

    def _of_text(self, owner: str | Text, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if name == "join" and isinstance(owner, str):
            return self._joined(owner, arguments[0])
        if name == "format" or set(keywords) - {"maxsplit"}:
            return self._not_followed("is formatted", name, [owner, *arguments], keywords)
        if "maxsplit" in keywords:
            arguments = [*arguments, keywords["maxsplit"]]
        if any(isinstance(each, Text) for each in arguments):
            arguments = [text.spelled(a.code, self.world.region) if isinstance(a, Text) else a for a in arguments]
        try:
            if isinstance(owner, str):
                found = getattr(owner, name)(*arguments)
                return List(found) if isinstance(found, list) else found
            return text.method(name, owner.code, arguments, self.world.region)
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            raise Raised(type(error).__name__) from error

    def _joined(self, separator: str, value: Any) -> Any:
        items = self.sequence(value)
        if items is None or not all(isinstance(item, (str, Text)) for item in items):
            return self._not_followed("joins texts that are not known", "join", [value], {})
        return text.text(separator.join(item.code if isinstance(item, Text) else item for item in items))

    def _of_mapping(self, owner: dict[Any, Any], name: str, arguments: list[Any]) -> Any:
        if name == "get":
            if isinstance(arguments[0], (str, int)):
                return owner.get(arguments[0], arguments[1] if len(arguments) > 1 else None)
            raise Unclear("looks the version up in a mapping")
        return List({"items": owner.items(), "keys": owner.keys(), "values": owner.values()}[name])

    def _of_library(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        last = name.rpartition(".")[2]
        model = model_of(name)
        if model is not None:
            return self.lift(lambda *given: model(self, list(given), keywords), *arguments)
        told = self._by_name(last, arguments, keywords)
        if told is not None:
            return told
        return self._not_followed(f"it is not known what `{last}` does", last, arguments, keywords)

    def _by_name(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Return the outcome that the name of a function tells for these arguments; None if it tells none."""
        given = [*arguments, *(v for k, v in keywords.items() if k not in ("accept_dev", "use_base_version"))]
        given = [each for each in given if not isinstance(each, bool)]
        sign = prior.helper(name)
        if name.lstrip("_") in prior.COMPARERS and len(given) == 2:
            signs = [each for each in given if each in prior.WORDS]
            sign = prior.WORDS[signs[0]] if len(signs) == 1 else None
            given = [each for each in given if each not in prior.WORDS]
        version = prior.version_of(given)
        if sign is None or version is None:
            return None
        return self.told(sign, version)


def _is_known(value: Any) -> bool:
    if isinstance(value, Dotted):
        return value.name.startswith("operator.")
    return isinstance(value, (str, int, float, bool, tuple, dict, Version, Function, Class, type(None)))


@lru_cache(maxsize=10_000)
def _is_short(node: ast.AST) -> bool:
    return sum(isinstance(inside, ast.stmt) for inside in walk(node)) < _SHORT
