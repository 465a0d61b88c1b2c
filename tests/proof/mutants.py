"""API-drift mutants: torches that no release contains, made by editing private symbols in a running process.

Each mutant changes one symbol that a shim's requirement names: the symbol is removed, renamed, replaced by another kind
of object, or given other parameters. It lives in a fork. `python tests/proof/mutants.py [--every N] [--only TEXT]`
prints the outcomes.

The expected result does not come from compat: `holds_after` says which requirement a change breaks, `expected` says
which modes remain, and a run of the same mutant without compat gives the expected output."""

from __future__ import annotations

import argparse
import ast
import builtins
import collections
import functools
import importlib
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import re
import select
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple
from unittest import mock

import torch

ROOT = Path(__file__).parents[2]
LATE = 60  # seconds after which a fork counts as hung
LEFT = object()
chain: Any = None
lowering: Any = None


class Mutant(NamedTuple):
    kind: str
    target: str  # module:qualified.name, or a module
    parameter: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.target}{f'({self.parameter})' if self.parameter else ''}"


# --- Finding and replacing a symbol --------------------------------------------------------------------------------


class Place(NamedTuple):
    owner: Any  # a module or a class
    name: str
    thing: Any

    def put(self, thing: Any) -> None:
        setattr(self.owner, self.name, thing)


def place(target: str) -> Place:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = owner.__dict__[part]
    if isinstance(owner, type):
        owner = next(base for base in owner.__mro__ if name in base.__dict__)
    return Place(owner, name, owner.__dict__[name])


def bound_again(here: Place, function: FunctionType) -> Any:
    """Return the function as a static or class method if the replaced one is a static or class method."""
    return type(here.thing)(function) if isinstance(here.thing, (staticmethod, classmethod)) else function


def function_of(here: Place) -> FunctionType | None:
    """Return the plain function at this place or inside its method object, or None for another kind of object."""
    inside = getattr(here.thing, "__func__", here.thing)
    if not isinstance(inside, FunctionType) or inside.__closure__ or hasattr(inside, "__wrapped__"):
        return None
    return inside


# --- The changes ---------------------------------------------------------------------------------------------------


def removed(here: Place) -> None:
    delattr(here.owner, here.name)


def renamed(here: Place) -> None:
    setattr(here.owner, f"{here.name}_renamed", here.thing)
    delattr(here.owner, here.name)


def a_property(here: Place) -> None:
    """Replace a class attribute by a property with the same value, and a module attribute by `__getattr__`."""
    thing = here.thing
    if isinstance(here.owner, type):
        bind = getattr(type(thing), "__get__", lambda thing, instance, owner=None: thing)
        here.put(property(lambda self: bind(thing, self, type(self))))
        return
    before = here.owner.__dict__.get("__getattr__")
    delattr(here.owner, here.name)

    def given(name: str) -> Any:
        if name == here.name:
            return thing
        if before is None:
            raise AttributeError(name)
        return before(name)

    here.owner.__getattr__ = given


def a_c_function(here: Place) -> None:
    """Replace a callable by one without a Python code object."""
    inside = getattr(here.thing, "__func__", here.thing)
    if isinstance(here.thing, (staticmethod, classmethod)):
        here.put(type(here.thing)(functools.partial(inside)))
    elif isinstance(here.owner, type) and not isinstance(inside, type):
        here.put(functools.partialmethod(inside))
    else:
        here.put(functools.partial(inside))


def another_class(here: Place) -> None:
    """Replace a function by a class that calls it, and a class by a function that makes an instance."""
    inside = getattr(here.thing, "__func__", here.thing)
    if isinstance(inside, type):

        def make(*args: Any, **kwargs: Any) -> Any:
            return inside(*args, **kwargs)

        here.put(make)
        return

    class Instead:
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return inside(*args, **kwargs)

    here.put(Instead)


def raises(here: Place) -> None:
    """Keep name and parameters, and raise at the first call."""
    rewritten(here, lambda node: node.body.__setitem__(slice(None), ast.parse("raise RuntimeError('drift')").body))


def rewritten(here: Place, edit: Callable[[ast.FunctionDef], Any]) -> None:
    """Replace the function by the result of its edited source, with the same name and place."""
    function = function_of(here)
    assert function is not None
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(node, ast.FunctionDef):  # a lambda, which is the default of a field
        (written,) = [each for each in ast.walk(node) if isinstance(each, ast.Lambda)]
        node = ast.parse("def lambda_(): ...").body[0]
        assert isinstance(node, ast.FunctionDef)
        node.args, node.body = written.args, [ast.Return(written.body)]
    node.decorator_list, node.returns = [], None
    for argument in arguments_of(node):
        argument.annotation = None
    edit(node)
    space: dict[str, Any] = {}
    tree = ast.fix_missing_locations(ast.Module([node], []))
    exec(compile(tree, inspect.getsourcefile(function) or "", "exec"), function.__globals__, space)
    made = space[node.name]
    # The compiler does not know the class of a method, so the qualified name is restored.
    made.__qualname__, made.__module__, made.__doc__ = function.__qualname__, function.__module__, function.__doc__
    here.put(bound_again(here, made))


def arguments_of(node: ast.FunctionDef) -> list[ast.arg]:
    given = node.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]


def without_parameter(node: ast.FunctionDef, name: str) -> None:
    given = node.args
    at = [argument.arg for argument in given.args].index(name)
    # Defaults belong to the last parameters, so the removed one must take its default along.
    from_end = len(given.args) - at
    if from_end <= len(given.defaults):
        del given.defaults[-from_end]
    del given.args[at]
    node.body[:0] = ast.parse(f"{name} = None").body


def parameter_renamed(node: ast.FunctionDef, name: str) -> None:
    for argument in node.args.args:
        if argument.arg == name:
            argument.arg = f"{name}_renamed"
    node.body[:0] = ast.parse(f"{name} = {name}_renamed").body


def keyword_only(node: ast.FunctionDef, name: str) -> None:
    given = node.args
    at = [argument.arg for argument in given.args].index(name)
    from_end = len(given.args) - at
    default = given.defaults.pop(-from_end) if from_end <= len(given.defaults) else None
    given.kwonlyargs.append(given.args.pop(at))
    given.kw_defaults.append(default)


def new_required(node: ast.FunctionDef, name: str) -> None:
    node.args.kwonlyargs.append(ast.arg(name))
    node.args.kw_defaults.append(None)


SYMBOL: dict[str, Callable[[Place], None]] = {
    "removed": removed,
    "renamed": renamed,
    "a property": a_property,
    "a C function": a_c_function,
    "a class or no class": another_class,
    "raises at first use": raises,
}
PARAMETER: dict[str, Callable[[ast.FunctionDef, str], None]] = {
    "parameter removed": without_parameter,
    "parameter renamed": parameter_renamed,
    "parameter by keyword only": keyword_only,
    "parameter added without default": new_required,
}
MODULE = (
    "module fails to import",
    "module raises at import",
    "module imports slowly in another thread",
    "module has no readable source",
    "module is a mock",
    "module raises at each attribute",
)
STAND_INS = MODULE[4:]
BEHAVIOUR = ("Behaves", "_Accepts")  # requirements that call what they judge


class Finder:
    """A finder before all others, for one module."""

    def __init__(self, mutant: Mutant) -> None:
        self._kind, self._module = mutant.kind, mutant.target

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name != self._module:
            return
        if self._kind == "module fails to import":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if self._kind == "module raises at import":
            raise RuntimeError(f"{name} is broken")
        time.sleep(0.3)


class Raising(ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} of {self.__name__} cannot be had")


def hide_source(module: str) -> None:
    """Have `open` refuse the module's file. Python itself imports without `open`."""
    hidden = tuple(module.replace(".", os.sep) + end for end in (".py", f"{os.sep}__init__.py"))
    opened = builtins.open

    def refuse(file: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, str) and file.endswith(hidden):
            raise PermissionError(f"{file} is hidden")
        return opened(file, *args, **kwargs)

    builtins.open = refuse


def apply(mutant: Mutant) -> None:
    if mutant.kind == "module has no readable source":
        hide_source(mutant.target)
    elif mutant.kind == "module is a mock":
        sys.modules[mutant.target] = mock.MagicMock()
    elif mutant.kind == "module raises at each attribute":
        sys.modules[mutant.target] = Raising(mutant.target)
    elif mutant.kind in MODULE:
        sys.meta_path.insert(0, Finder(mutant))
    elif mutant.kind in SYMBOL:
        SYMBOL[mutant.kind](place(mutant.target))
    else:
        rewritten(place(mutant.target), lambda node: PARAMETER[mutant.kind](node, mutant.parameter))


def of_symbols(targets: list[str]) -> list[Mutant]:
    return [mutant for target in targets for mutant in of_symbol(target)]


def of_modules(targets: list[str]) -> list[Mutant]:
    """Return the mutants of modules that are not imported yet."""
    late = sorted({target.partition(":")[0] for target in targets} - set(sys.modules))
    return [Mutant(kind, module) for module in late for kind in MODULE]


def of_symbol(target: str) -> Iterator[Mutant]:
    try:
        here = place(target)
    except (KeyError, StopIteration, ImportError):
        return  # this torch lacks the symbol, so there is nothing to change
    plain = function_of(here)
    for kind in SYMBOL:
        fits = callable(getattr(here.thing, "__func__", here.thing)) or kind in ("removed", "renamed", "a property")
        if fits and (kind != "raises at first use" or plain is not None):
            yield Mutant(kind, target)
    if plain is None:
        return
    yield Mutant("parameter added without default", target, "added")
    code = plain.__code__
    for name in code.co_varnames[: code.co_argcount]:
        if name not in ("self", "cls"):
            yield from (Mutant(kind, target, name) for kind in [*PARAMETER][:3])


# --- Expected results ----------------------------------------------------------------------------------------------


def holds_after(mutant: Mutant, requirement: Any, broken: list[str]) -> bool | None:
    """Return whether a requirement that held still holds after the change.

    Returns None if a base class may provide the symbol. `broken` lists the modules that cannot be imported any more.
    """
    form, path = type(requirement).__name__, mutant.target.partition(":")[2]
    if mutant.kind in MODULE:
        is_file = "/" in requirement.target and mutant.kind in STAND_INS  # it stands beside the stand-in
        return is_file or requirement.target.partition(":")[0] not in broken
    if requirement.target != mutant.target:
        if form == "_Accepts" and path in ("_enter_inference_mode", "_exit_inference_mode"):
            return None  # it calls the function with these two
        below = requirement.target.startswith(f"{mutant.target}.")
        return not below or mutant.kind in PARAMETER
    if mutant.kind in ("removed", "renamed"):
        return None if "." in path else False
    if form in BEHAVIOUR and mutant.kind in (*PARAMETER, "a class or no class", "a C function"):
        return None  # only a call can tell whether it still does the same
    if mutant.kind in PARAMETER:
        if form == "Parameters":
            return mutant.parameter not in (*requirement.names, "added")
        if mutant.kind == "parameter by keyword only":
            return True  # what it takes by this name, the replacements take in both ways
        return form != "Takes" or requirement.name != mutant.parameter
    if mutant.kind == "raises at first use":
        return form in ("Symbol", "Parameters", "Takes", "_HasNoWalk")
    if mutant.kind == "a property" and "." not in path:
        return False  # the readers do not call a module's __getattr__
    return form == "Symbol" and requirement.kind in (None, "value")


def expected(shim: Any, mutant: Mutant, before: Before, broken: list[str]) -> tuple[set[str], set[str], set[str]]:
    """Return the modes that `auto` may choose, the modes that work by name, and the modes that do not.

    If a base class may provide the symbol, `auto` may choose more than one.
    """

    def met(requirements: Any) -> set[bool]:
        after = [before.holds[str(r)] and holds_after(mutant, r, broken) for r in requirements]
        return {False} if False in after else {True, False} if None in after else {True}

    native, backport = met(shim.native), met(shim.backport)
    modes = {"native"} if True in native else set()
    if False in native:
        unasked = backport if before.modes[shim.name] != "noop" else {False}
        modes |= {"backport" if fits else "noop" for fits in unasked}
    named = {"native": native, "backport": backport}
    return modes, {mode for mode in named if named[mode] == {True}}, {mode for mode in named if named[mode] == {False}}


class Before(NamedTuple):
    """The answers of compat about the unchanged torch."""

    targets: list[str]
    holds: dict[str, bool]
    modes: dict[str, str]


def before() -> Before:
    from compat.probe.requirements import answer
    from compat.selection import live_reader, select
    from compat.shims.base import all_shims

    requirements = [r for shim in all_shims() for r in (*shim.native, *shim.backport)]
    return Before(
        sorted({r.target for r in requirements if "/" not in r.target}),
        {str(r): bool(answer(r, live_reader()).holds) for r in requirements},
        {shim.name: select(shim).mode for shim in all_shims()},
    )


# --- Runs in a mutant ----------------------------------------------------------------------------------------------


def from_file(name: str) -> Any:
    """Load a tool of compat that needs torch only, without importing compat."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "compat" / "tools" / "demo" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def split() -> str:
    """Return the names of the resulting classes: a changed torch may lack the classes themselves."""
    graph = torch.fx.symbolic_trace(lambda x: torch.relu(torch.sin(x)))
    split_module = importlib.import_module("torch.fx.passes.split_module").split_module
    result = split_module(graph, torch.nn.Module(), lambda node: ["sin", "relu"].index(node.name))
    made = {type(module).__mro__[1].__name__ for module in (result, result.submod_0, result.submod_1)}
    return f"{made}, {result(torch.ones(2)).tolist()}"


def lowered() -> str:
    graph = lowering.lower(chain.make(), chain.inputs(2, 4, torch.float32, hidden=8))
    return f"{len(lowering.kernels(graph))} kernels"


def body(mutant: Mutant) -> list[str]:
    """Use the functions that the shims patch, and return the outcomes."""

    def imported() -> str:
        return importlib.import_module(mutant.target).__name__

    told = []
    for part in (split, imported if mutant.kind in MODULE else lowered):
        try:
            told.append(part())
        except Exception as error:  # noqa: BLE001 (the error is compared with the one without compat)
            told.append(f"{type(error).__name__}: {re.sub('0x[0-9a-f]+', '', str(error))[:200]}")
    return told


def state(targets: list[str]) -> dict[str, dict[Any, Any]]:
    """Return everything that compat may change: modules and classes in requirements, and the code of functions."""
    found: dict[str, dict[Any, Any]] = {
        "sys.meta_path": dict(enumerate(sys.meta_path)),
        "config": dict(vars(type(torch.compiler.config))),
    }
    for name in {target.partition(":")[0] for target in targets} & set(sys.modules):
        spaces = {name: vars(sys.modules[name])}
        owned = [value for value in spaces[name].values() if getattr(value, "__module__", None) == name]
        spaces |= {f"{name}:{value.__qualname__}": vars(value) for value in owned if isinstance(value, type)}
        for space, members in spaces.items():
            # Without numbers: torch counts the hits and misses of its caches there.
            found[space] = {key: member for key, member in members.items() if type(member) is not int}
            for key, member in members.items():
                inside = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
                if isinstance(inside, FunctionType):
                    found[f"{space}.{key}()"] = {"code": inside.__code__, "defaults": inside.__defaults__}
    return found


def changes(one: dict[str, dict[Any, Any]], other: dict[str, dict[Any, Any]]) -> list[str]:
    """Return the places at which two states differ in identity."""
    return [
        f"{space}: {key}"
        for space in one
        for key in {**one[space], **other[space]}
        if one[space].get(key, LEFT) is not other[space].get(key, LEFT) and not str(key).startswith("__")
    ]


class Stock(NamedTuple):
    """A mutant without compat."""

    told: list[str]  # the outcomes of the body
    broken: list[str]  # modules that cannot be imported


def stock(mutant: Mutant, known: Before) -> Stock:
    apply(mutant)
    told, broken = body(mutant), []
    for name in sorted({target.partition(":")[0] for target in known.targets}) if mutant.kind in MODULE else ():
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001
            broken.append(name)
    return Stock(told, [*broken, mutant.target] if mutant.kind in STAND_INS else broken)


def trial(mutant: Mutant, known: Before, alone: Stock) -> list[str]:
    """Return the errors of compat in this mutant."""
    if mutant.kind in MODULE:
        wrong, earlier = [], state(known.targets)
        apply(mutant)
    else:
        apply(mutant)
        wrong, earlier = [], state(known.targets)
    if "slowly" in mutant.kind:
        threading.Thread(target=importlib.import_module, args=(mutant.target,), daemon=True).start()
    compat = importlib.import_module("compat")
    compat.status()
    for shim in importlib.import_module("compat.shims.base").all_shims():
        if any(concerns(mutant, r) for r in (*shim.native, *shim.backport)):
            wrong += [f"{shim.name}: {words}" for words in of_shim(compat, shim, mutant, known, alone)]
    if isinstance(sys.meta_path[0], Finder):
        del sys.meta_path[0]
    return wrong + [f"left behind: {words}" for words in changes(earlier, state(known.targets))]


def concerns(mutant: Mutant, requirement: Any) -> bool:
    asked, changed = requirement.target, mutant.target
    return asked == changed or asked.startswith((f"{changed}.", f"{changed}:"))


def of_shim(compat: Any, shim: Any, mutant: Mutant, known: Before, alone: Stock) -> list[str]:
    wrong, runs = [], []
    modes, can, cannot = expected(shim, mutant, known, alone.broken)
    ways = [lambda: installed(compat, shim.name)] if shim.kind != "api" else []
    if shim.value is not None:
        ways.append(getattr(compat, shim.name))
    for way in ways:
        with way():
            runs.append(body(mutant))
    selection = importlib.import_module("compat.selection").select(shim)
    if selection.mode not in modes:
        wrong.append(f"mode is {selection.mode}, not {modes}: {selection.reason}")
    names = [mutant.target, *alone.broken]
    if mutant.kind == "module is a mock":  # a class elsewhere that derives from a mock is a mock: its methods are gone
        names.append("does not exist")
    if selection.mode == "noop" != known.modes[shim.name] and not any(name in selection.reason for name in names):
        wrong.append(f"the reason does not name the symbol: {selection.reason}")
    if len(runs) != len(ways):
        wrong.append("a body did not run once")
    if selection.mode == "noop" and any(run != alone.told for run in runs):
        wrong.append(f"a body gives {runs}, and {alone.told} without compat")
    if shim.kind == "api" or (mutant.kind in MODULE and shim.value is None):
        return wrong  # before the module is imported, an install by name trusts its source and waits
    for mode in ("native", "backport"):
        try:
            with (
                getattr(compat, shim.name)(mode=mode) if shim.value is not None else installed(compat, shim.name, mode)
            ):
                pass
        except compat.UnsupportedError as error:
            named = any(str(r) in str(error) for r in getattr(shim, mode))
            if mode in can or not named:
                wrong.append(f"{mode} is refused: {error}")
        else:
            if mode in cannot:
                wrong.append(f"{mode} is not refused")
    return wrong


@contextmanager
def installed(compat: Any, name: str, mode: str = "auto") -> Iterator[None]:
    compat.install(name, mode=mode)
    try:
        yield
    finally:
        compat.uninstall(name)


# --- Forks ---------------------------------------------------------------------------------------------------------


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a fork of this process. Raises RuntimeError if the fork hangs or dies."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                answer = (True, function(*arguments))
            except BaseException:  # noqa: BLE001 (every error is an outcome)
                answer = (False, traceback.format_exc())
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        ready = select.select([pipe], [], [], LATE)[0]
        data = pipe.read() if ready else b""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not data:
        raise RuntimeError("it died" if ready else f"it hangs for more than {LATE} s")
    fine, result = pickle.loads(data)
    if not fine:
        raise RuntimeError(result)
    return result


def outcome(job: tuple[Mutant, Before]) -> tuple[Mutant, list[str]]:
    mutant, known = job
    try:
        return mutant, forked(trial, mutant, known, forked(stock, mutant, known))
    except RuntimeError as error:
        return mutant, [f"crash: {error}"]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--every", type=int, default=1, help="take one in so many of the mutants")
    options.add_argument("--only", default="", help="only mutants whose description contains this")
    given = options.parse_args()
    torch.set_num_threads(1)
    split()
    known = forked(before)
    outcomes = []
    pool = multiprocessing.get_context("fork").Pool
    for stage in (of_modules, of_symbols):
        if stage is of_symbols:
            for target in known.targets:
                importlib.import_module(target.partition(":")[0])
            lowering_and_chain()
            lowered()
        chosen = [mutant for mutant in stage(known.targets) if given.only in str(mutant)][:: given.every]
        with pool(os.cpu_count()) as workers:
            for mutant, wrong in workers.imap_unordered(outcome, [(mutant, known) for mutant in chosen]):
                outcomes.append((mutant, wrong))
                for words in wrong:
                    print(f"{mutant}: {words}", flush=True)
    for kind, number in collections.Counter(mutant.kind for mutant, _ in outcomes).items():
        print(f"{number:4} {kind}, {sum(bool(wrong) for mutant, wrong in outcomes if mutant.kind == kind)} wrong")
    failed = sum(bool(wrong) for _, wrong in outcomes)
    print(f"torch {torch.__version__}: {len(outcomes)} mutants, {failed} wrong")
    return bool(failed)


def lowering_and_chain() -> None:
    global chain, lowering  # imported late: the mutants of modules must run before Inductor is imported
    chain, lowering = from_file("chain"), from_file("lowering")


if __name__ == "__main__":
    sys.exit(main())
