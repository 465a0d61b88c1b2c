"""Runs the statements that decide what a name holds or what a function returns."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from .bindings import binders_before, bound_in, changed_by_expression, changed_by_target, needed_for
from .evaluator import Evaluator, Frame
from .scopes import Scope
from .tree import FUNCTIONS, walk
from .values import List, Parts, Raised, Unknown, one_of, options, same, unknown
from .versions import TooMuch

Env = dict[str, Any]
_UNBOUND = Unknown("is not bound")
_MOST_STATES, _MOST_STEPS, _MOST_LAPS = 24, 3000, 64
_LETS_PASS = frozenset({"open", "torch", "warnings", "threading", "tempfile", "tqdm", "nullcontext"})
_QUIET = frozenset({"logger", "logging", "log", "warnings", "print", "LOGGER", "_logger", "warn", "info", "debug"})


_HOW = {ast.Return: "return", ast.Raise: "raise", ast.Break: "break", ast.Continue: "continue"}


class Exit(NamedTuple):
    """One way in which statements end: "next", "return", "raise", "break" or "continue"."""

    how: str
    env: Env
    value: Any = None


class Runner:
    """Runs statements with every unknown condition taken both ways, so that each way has an environment of its own."""

    def __init__(self, interpreter: Evaluator, wanted: frozenset[str] | None = None) -> None:
        self.interpreter, self.wanted = interpreter, wanted
        self.frame: Frame | None = None
        self.in_try = 0

    # The value of a name at a place in its scope.

    def name_at(self, scope: Scope, name: str, site: ast.AST | None) -> Any:
        """The value of `name` just before the statement `site`, or at the end of the scope."""
        statements = binders_before(scope, name, site)
        self.wanted = needed_for(name, [statement for statement, _ in statements])
        self.frame = Frame(scope, site, {})
        envs: list[Env] = [{}]
        for statement, how in statements:
            if how == "loop":
                value = self._in_loop(statement, name, scope)
                envs = [{**env, name: value} for env in envs]
                continue
            exits = [exit_ for env in envs for exit_ in self.statement(statement, env)]
            ended = [exit_.env for exit_ in exits if exit_.how in ("next", "raise" if how == "maybe" else "next")]
            lost = {**envs[0], name: Unknown("the code that sets it raises an exception")}
            envs = _distinct([*ended, *(envs if how == "maybe" else [])]) or [lost]
        values = [env[name] for env in envs if name in env and env[name] is not _UNBOUND]
        return one_of(values) if values else _UNBOUND

    def _in_loop(self, loop: ast.stmt, name: str, scope: Scope) -> Any:
        binders = [binder for binder in scope.bound[name] if _within(binder[1], loop, scope)]
        if len(binders) == 1 and binders[0] == ("for", loop):
            return self.interpreter.bound_value(binders[0], name, scope)
        return self._lost(name)

    def _lost(self, name: str) -> Unknown:
        return Unknown(f"`{name}` is bound again in a loop", self.interpreter.world.touched)

    # The result of a call.

    def call(self, body: list[ast.stmt], frame: Frame) -> Any:
        """The value that a call returns: one of those of all ways through the body."""
        self.frame = frame
        returned, raised = [], None
        for exit_ in self.block(body, dict(frame.env or {})):
            if exit_.how == "raise":
                raised = exit_.value
            else:
                returned.append(exit_.value if exit_.how == "return" else None)
        if not returned:
            raise Raised(raised or "Exception")
        if raised is not None:
            self.interpreter.world.risky += 1
        return one_of(returned)

    def block(self, body: Iterable[ast.stmt], env: Env) -> list[Exit]:
        envs, ended = [env], []
        for statement in body:
            going: list[Env] = []
            for each in envs:
                for exit_ in self.statement(statement, each):
                    if exit_.how == "next":
                        going.append(exit_.env)
                    else:
                        ended.append(exit_)
            envs = _distinct(going)
            if len(envs) + len(ended) > _MOST_STATES:
                raise TooMuch("has too many ways through it")
        return ended + [Exit("next", each) for each in envs]

    def statement(self, node: ast.stmt, env: Env) -> list[Exit]:
        interpreter = self.interpreter
        interpreter.steps += 1
        if interpreter.steps > _MOST_STEPS:
            raise TooMuch("is too long to be followed")
        run = getattr(self, f"_{type(node).__name__.lower()}", self._other)
        risk, start = interpreter.world.risky, env
        try:
            exits: list[Exit] = run(node, dict(env))
        except Raised as error:
            return [Exit("raise", start, error.name)]
        if self.in_try and interpreter.world.risky > risk and not _is_block(node):
            exits = [*exits, Exit("raise", start, "")]  # something in it that is not known may raise anything
        return exits

    def value(self, node: ast.expr, env: Env) -> Any:
        assert self.frame is not None
        frame = self.frame
        inner = type(frame)(
            frame.scope, node if frame.site is None else _site(node, frame), env, frame.outer, frame.running
        )
        before, after = changed_by_expression(node)
        self._lose(env, before)
        value = self.interpreter.value(node, inner)
        self._lose(env, after)
        return value

    def _lose(self, env: Env, names: Iterable[str]) -> None:
        """Forget the contents of the objects that these names hold; of all objects for a `*`."""
        for name in [*env] if "*" in names else names:
            if isinstance(env.get(name), (List, Parts, dict)):
                env.update(self._with_change(env, name, Unknown(f"the content of `{name}` may be changed")))

    def _other(self, node: ast.stmt, env: Env) -> list[Exit]:
        """A statement that is not followed: what it binds is not known, nor how it ends."""
        self.interpreter.world.risky += 1
        lost = {name: Unknown(f"`{name}` is bound in a way that is not followed") for name in bound_in(node)}
        reason = Unknown(f"`{type(node).__name__}` is not followed")
        ways = {_HOW.get(type(each), "next") for each in walk(node)} if _leaves(node) else set()
        ends = [Exit(how, {**env, **lost}, reason if how == "return" else "") for how in sorted(ways - {"next"})]
        return [Exit("next", {**env, **lost}), *ends]

    def _match(self, node: ast.Match, env: Env) -> list[Exit]:
        self.interpreter.world.risky += 1
        exits = [Exit("next", env)]
        for case in node.cases:
            bound = {name: Unknown("is bound by `match`") for name in bound_in(case.pattern)}
            exits += self.block(case.body, {**env, **bound})
        return exits

    def _skips(self, node: ast.stmt) -> bool:
        return self.wanted is not None and not (bound_in(node) & self.wanted)

    def _pass(self, node: ast.stmt, env: Env) -> list[Exit]:
        return [Exit("next", env)]

    _global = _nonlocal = _pass

    def _expr(self, node: ast.Expr, env: Env) -> list[Exit]:
        call = node.value
        if _root(call) in _QUIET and not any(changed_by_expression(call)):
            return [Exit("next", env)]
        owner = call.func.value if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
        if isinstance(owner, ast.Name) and isinstance(env.get(owner.id), (List, Parts, dict)):
            return [Exit("next", self._with_change(env, owner.id, self._changed(env[owner.id], call, env)))]
        if self.wanted is None or self.in_try or isinstance(call, ast.NamedExpr):
            self.value(call, env)
        self._lose(env, changed_by_expression(call)[0])
        for given in call.args if isinstance(call, ast.Call) else ():
            if isinstance(given, ast.Name) and isinstance(env.get(given.id), (List, Parts, dict)):
                env = self._with_change(env, given.id, Unknown("may be changed by a call"))
        if not isinstance(call, ast.NamedExpr):
            env = {**env, **{name: Unknown(f"`{name}` may be bound on the way") for name in bound_in(call)}}
        return [Exit("next", env)]

    def _with_change(self, env: Env, name: str, new: Any) -> Env:
        """The names after an object changed in place. Other names of the same object are not known any more."""
        held = env[name]
        lost = {other: Unknown("is changed by another name") for other, value in env.items() if value is held}
        return {**env, **lost, name: new}

    def _changed(self, held: Any, call: Any, env: Env) -> Any:
        name = call.func.attr
        given = [self.value(argument, env) for argument in call.args]
        if isinstance(held, List) and name == "append" and len(given) == 1:
            return List((*held, given[0]))
        if isinstance(held, List) and name == "extend" and len(given) == 1 and isinstance(given[0], tuple):
            return List((*held, *given[0]))
        return unknown(f"`.{name}` changes it", *given)

    def _assign(self, node: ast.Assign, env: Env) -> list[Exit]:
        if self._skips(node) and not self.in_try:
            return [Exit("next", env)]
        value = self.value(node.value, env)
        for target in node.targets:
            self._bind(target, value, env)
        return [Exit("next", env)]

    def _bind(self, target: ast.expr, value: Any, env: Env) -> None:
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id in env:
            held, key = env[target.value.id], self.value(target.slice, env)
            known = isinstance(held, dict) and isinstance(key, (str, int))
            new = {**held, key: value} if known else Unknown("is changed under a key")
            env.update(self._with_change(env, target.value.id, new))
        else:
            self._lose(env, changed_by_target(target))
        env.update(self.interpreter.destructured(target, value))

    def _annassign(self, node: ast.AnnAssign, env: Env) -> list[Exit]:
        if node.value is not None and (self.in_try or not self._skips(node)):
            self._bind(node.target, self.value(node.value, env), env)
        return [Exit("next", env)]

    def _augassign(self, node: ast.AugAssign, env: Env) -> list[Exit]:
        if isinstance(node.target, ast.Name) and not self._skips(node):
            old, new = self.value(ast.Name(node.target.id, ast.Load()), env), self.value(node.value, env)
            interpreter = self.interpreter
            if isinstance(old, (List, dict)):
                self._lose(env, (node.target.id,))
            env[node.target.id] = interpreter.lift(lambda a, b: interpreter.calculated(node.op, a, b), old, new)
        self._lose(env, changed_by_target(node.target))
        return [Exit("next", env)]

    def _delete(self, node: ast.Delete, env: Env) -> list[Exit]:
        for target in node.targets:
            if isinstance(target, ast.Name):
                env[target.id] = Unknown(f"`{target.id}` is deleted", self.interpreter.world.touched)
            self._lose(env, changed_by_target(target))
        return [Exit("next", env)]

    def _import(self, node: ast.Import | ast.ImportFrom, env: Env) -> list[Exit]:
        assert self.frame is not None
        for alias in node.names:
            name = alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)
            if name != "*" and (self.in_try or self.wanted is None or name in self.wanted):
                env[name] = self.interpreter.imported(node, name, self.frame.scope.module)
        return [Exit("next", env)]

    _importfrom = _import

    def _functiondef(self, node: ast.FunctionDef, env: Env) -> list[Exit]:
        if not self._skips(node):
            assert self.frame is not None
            frame = type(self.frame)(self.frame.scope, node, env, self.frame.outer, self.frame.running)
            env[node.name] = self.interpreter.decorated(node, frame)
        return [Exit("next", env)]

    def _classdef(self, node: ast.ClassDef, env: Env) -> list[Exit]:
        if not self._skips(node):
            assert self.frame is not None
            env[node.name] = self.interpreter.bound_value(("class", node), node.name, self.frame.scope)
        return [Exit("next", env)]

    def _return(self, node: ast.Return, env: Env) -> list[Exit]:
        return [Exit("return", env, None if node.value is None else self.value(node.value, env))]

    def _raise(self, node: ast.Raise, env: Env) -> list[Exit]:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return [Exit("raise", env, getattr(raised, "attr", getattr(raised, "id", "")))]

    def _break(self, node: ast.Break, env: Env) -> list[Exit]:
        return [Exit("break", env)]

    def _continue(self, node: ast.Continue, env: Env) -> list[Exit]:
        return [Exit("continue", env)]

    def _assert(self, node: ast.Assert, env: Env) -> list[Exit]:
        found = self.interpreter.truths(self.value(node.test, env))
        exits = [Exit("next", env)] if True in found else []
        return [*exits, Exit("raise", env, "AssertionError")] if False in found else exits

    def _if(self, node: ast.If, env: Env) -> list[Exit]:
        if self._skips(node) and not self.in_try and not _leaves(node):
            return [Exit("next", env)]
        found = self.interpreter.truths(self.value(node.test, env))
        body = self.block(node.body, env) if True in found else []
        orelse = self.block(node.orelse, env) if False in found else []
        exits = [*body, *orelse]
        if len(found) > 1 and len(_distinct_exits(exits)) > max(len(body), len(orelse)):
            self._note(node.test, leaves=any(exit_.how != "next" for exit_ in exits))
        return exits

    def _note(self, test: ast.expr, leaves: bool) -> None:
        """Note an unknown condition that matters; rather one that ends the function than one that sets a name."""
        world = self.interpreter.world
        if leaves or not world.undecided:
            world.undecided = ast.unparse(test)[:80]

    def _with(self, node: ast.With, env: Env) -> list[Exit]:
        self.interpreter.world.risky += 1
        for item in node.items:
            if item.optional_vars is not None:
                env.update({name: Unknown("is bound by `with`") for name in bound_in(item)})
        if all(_root(item.context_expr) in _LETS_PASS for item in node.items):
            return self.block(node.body, env)
        self.in_try += 1
        try:
            exits = self.block(node.body, env)
        finally:
            self.in_try -= 1
        # It may swallow an exception of its block, as `contextlib.suppress` does.
        return [exit_ for exit_ in exits if exit_.how != "raise" or exit_.value] + [
            Exit("next", exit_.env) for exit_ in exits if exit_.how == "raise"
        ]

    def _try(self, node: ast.Try, env: Env) -> list[Exit]:
        self.in_try += 1
        try:
            first = self.block(node.body, env)
        finally:
            self.in_try -= 1
        exits: list[Exit] = []
        for exit_ in first:
            if exit_.how == "raise":
                exits += self._handled(node, exit_)
            elif exit_.how == "next" and node.orelse:
                exits += self.block(node.orelse, exit_.env)
            else:
                exits.append(exit_)
        exits = _distinct_exits(exits)
        if not node.finalbody:
            return exits
        return [
            end if end.how != "next" else exit_._replace(env=end.env)
            for exit_ in exits
            for end in self.block(node.finalbody, exit_.env)
        ]

    def _handled(self, node: ast.Try, raised: Exit) -> list[Exit]:
        exits: list[Exit] = []
        for handler in node.handlers:
            caught = catches(handler, raised.value)
            if caught is not False:
                error = {handler.name: Unknown("is an exception")} if handler.name else {}
                exits += self.block(handler.body, {**raised.env, **error})
            if caught is True:
                return exits
        return [*exits, raised] if raised.value or self.in_try else exits

    def _for(self, node: ast.For, env: Env) -> list[Exit]:
        if self._skips(node) and not self.in_try and not _leaves(node):
            return [Exit("next", env)]
        iterable = self.value(node.iter, env)
        items = None
        if len(options(iterable)) == 1:
            items = self.interpreter.sequence(iterable, characters=not _counts(node))
        if items is None or len(items) > _MOST_LAPS:
            return self._any_laps(node, env)
        return self._laps(node, env, items)

    def _laps(self, node: ast.For, env: Env, items: list[Any]) -> list[Exit]:
        envs: list[Env] = [env]
        left: list[Env] = []
        ended: list[Exit] = []
        for item in items:
            going: list[Env] = []
            for each in envs:
                inner = dict(each)
                self._bind(node.target, item, inner)
                for exit_ in self.block(node.body, inner):
                    if exit_.how in ("return", "raise"):
                        ended.append(exit_)
                    else:
                        (left if exit_.how == "break" else going).append(exit_.env)
            envs = _distinct(going)
        for each in envs:
            ended += self.block(node.orelse, each)
        return ended + [Exit("next", each) for each in _distinct(left)]

    def _any_laps(self, node: ast.For | ast.While, env: Env) -> list[Exit]:
        """A loop that is not followed: what it binds is not known after it, nor in it."""
        self.interpreter.world.risky += 1
        lost = {**env, **{name: self._lost(name) for name in bound_in(node)}}
        exits = self.block(node.body, dict(lost))
        returned = [exit_ for exit_ in exits if exit_.how in ("return", "raise")]
        returned += [exit_ for exit_ in self.block(node.orelse, dict(lost)) if exit_.how != "next"]
        return [*returned, Exit("next", lost), *([Exit("next", env)] if not isinstance(node, ast.While) else [])]

    def _while(self, node: ast.While, env: Env) -> list[Exit]:
        if self._skips(node) and not self.in_try and not _leaves(node):
            return [Exit("next", env)]
        for _ in range(_MOST_LAPS):
            found = self.interpreter.truths(self.value(node.test, env))
            if found == {False}:
                return self.block(node.orelse, env)
            exits = self.block(node.body, env) if found == {True} else []
            if len(exits) != 1 or exits[0].how not in ("next", "continue"):
                break
            env = exits[0].env
        return self._any_laps(node, env)


def _site(node: ast.expr, frame: Frame) -> ast.AST:
    return node if node in frame.scope.module.parents else frame.site or node


def catches(handler: ast.ExceptHandler, name: str) -> bool | None:
    """Whether a handler catches an exception of this name; None if it may."""
    if handler.type is None:
        return True if name else None
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {getattr(each, "attr", getattr(each, "id", "")) for each in types}
    if not name:
        return None
    if names & {name, "Exception", "BaseException"}:
        return True
    raised, caught = _exception(name), [_exception(each) for each in names]
    if raised is None:
        return None
    if any(each and issubclass(raised, each) for each in caught):
        return True
    return None if None in caught else False


_KNOWN_ERRORS: dict[str, type[BaseException]] = {
    "PackageNotFoundError": ModuleNotFoundError,
    "InvalidVersion": ValueError,
}


def _exception(name: str) -> type[BaseException] | None:
    """The builtin exception of this name, or the one that a known exception inherits from; None if it is another."""
    found = _KNOWN_ERRORS.get(name, getattr(builtins, name, None))
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _distinct(envs: list[Env]) -> list[Env]:
    found: list[Env] = []
    for env in envs:
        if not any(env.keys() == other.keys() and all(same(env[k], other[k]) for k in env) for other in found):
            found.append(env)
    return found


def _distinct_exits(exits: list[Exit]) -> list[Exit]:
    found: list[Exit] = []
    for exit_ in exits:
        if not any(
            exit_.how == o.how and same(exit_.value, o.value) and len(_distinct([exit_.env, o.env])) == 1 for o in found
        ):
            found.append(exit_)
    return found


def _within(node: ast.AST, outer: ast.AST, scope: Scope) -> bool:
    while node is not outer and node in scope.module.parents:
        node = scope.module.parents[node]
    return node is outer


def _is_block(node: ast.stmt) -> bool:
    return hasattr(node, "body") and not isinstance(node, (*FUNCTIONS, ast.ClassDef))


@lru_cache(maxsize=20_000)
def _leaves(node: ast.AST) -> bool:
    return any(isinstance(n, (ast.Return, ast.Raise, ast.Break, ast.Continue)) for n in walk(node))


def _counts(node: ast.For) -> bool:
    """Whether a loop may count its laps, so that it matters how many digits a number has."""
    counted = [n for n in walk(node) if isinstance(n, ast.AugAssign) and isinstance(n.value, ast.Constant)]
    return any(not isinstance(n.value.value, str) for n in counted) or not isinstance(node.target, ast.Name)  # type: ignore[attr-defined]


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Call)):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""
