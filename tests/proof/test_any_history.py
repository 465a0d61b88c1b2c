"""A state machine plays random histories, compares torch with a simple model, and ends with torch's own objects.

Three vendored copies in one process, two of one version, enter, exit, install and uninstall in three threads, with
forks in between. Torch's module is reloaded, and other libraries wrap torch's functions and remove their wrappers.

`COMPAT_TEST_EXAMPLES` sets the number of histories; the default is 30."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import pytest
from helpers.this_torch import ASK, WORKING
from helpers.torch_state import in_child, lazy, made, same, split_kinds, split_module_file, state, status_of
from helpers.worker import Worker
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

T = TypeVar("T")
SPLIT = split_module_file.__name__
BACKPORT = ASK == "backport" or WORKING == "backport"


@dataclasses.dataclass(eq=False)
class Asked:
    """One request: an open context, or an install (thread=None)."""

    copy: str
    thread: int | None
    enabled: bool
    context: Any

    @property
    def group(self) -> str:
        return self.copy.partition("_")[0]


class Model:
    """The expected behaviour of torch, described without patches.

    Copies whose shims have the same revision form a group. Each request has a claim on one split_module or, after
    reloads, on several. A layer is a group on one split_module. Layers are stacked in the order of their first claims.
    The topmost layer whose group has an opinion decides.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.claims: list[tuple[Asked, FunctionType]] = []
        # The split_modules that each group has patched, and the one that its next request reaches.
        self.known: dict[str, set[FunctionType]] = {}
        self.reached: dict[str, FunctionType] = {}

    @property
    def layers(self) -> list[tuple[str, FunctionType]]:
        return list(dict.fromkeys((asked.group, function) for asked, function in self.claims))

    def add(self, asked: Asked, function: FunctionType) -> None:
        self.asked.append(asked)
        self.claim(asked, function)

    def claim(self, asked: Asked, function: FunctionType) -> None:
        if (asked, function) not in self.claims:
            self.claims.append((asked, function))

    def keep(self, asked: list[Asked]) -> None:
        """End all other requests."""
        self.asked = asked
        self.claims = [claim for claim in self.claims if claim[0] in asked]

    def end(self, ended: Asked) -> None:
        self.keep([asked for asked in self.asked if asked is not ended])

    def installs(self, copy: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.thread is None and asked.copy == copy]

    def opinion(self, group: str, thread: int) -> str | None:
        here = [asked for asked in self.asked if asked.group == group]
        scopes = [asked.enabled for asked in here if asked.thread == thread]
        if scopes:
            return "lazy" if scopes[-1] else "plain"
        return "lazy" if any(asked.thread is None for asked in here) else None

    def expected(self, thread: int, function: FunctionType | None = None) -> str:
        """Return the kind of module for a call of `function`, a split_module that a backport must know."""
        for group, reaches in reversed(self.layers):
            known = function in (None, reaches) or not BACKPORT
            if known and (opinion := self.opinion(group, thread)):
                # The redirected call asks like every other caller.
                return opinion if function is None else self.expected(thread)
        return "plain"


THREADS = st.integers(0, 2)
COPIES = st.sampled_from(["same_one", "same_two", "later"])
OVER = {"split_module": split_module_file, "_make_graph_module": lazy, "_get_graph_module_cls": lazy}


class History(RuleBasedStateMachine):
    modules: dict[str, ModuleType]

    def __init__(self) -> None:
        super().__init__()
        self.before, self.model = state(), Model()
        self.workers = [Worker(), Worker()]
        self.mocks: list[tuple[ModuleType, str, Any]] = []  # module, name, and the object before
        self.spaces = {module: dict(vars(module)) for module in {*OVER.values()}}
        self.base: dict[Any, FunctionType] = {}  # the function that a wrapper finally calls
        self.rude: set[Any] = set()  # wrappers without `__wrapped__`, and the wrappers above them
        for copy in self.modules:  # an engine has used each copy before
            with self.modules[copy].lazy_graph_module(mode=ASK):
                self.reach(copy)

    def on(self, thread: int, act: Callable[[], T]) -> T:
        return self.workers[thread - 1](act) if thread else act()

    def splitter(self) -> FunctionType:
        function = split_module_file.split_module
        return self.base.get(function, function)

    def reach(self, copy: str) -> FunctionType:
        """Return the split_module that a request of this copy reaches.

        That is the last function of torch that no wrapper covered, while no wrapper hid the other functions either.
        A function that this group has patched before may have `_make_graph_module` hidden. With a native torch
        split_module is not patched, so any will do.
        """
        if not BACKPORT:
            return self.spaces[split_module_file]["split_module"]
        group = copy.partition("_")[0]
        bare = all(vars(OVER[name])[name] not in self.base for name in ("split_module", "_get_graph_module_cls"))
        known = self.model.known.setdefault(group, set())
        if bare and (self.splitter() in known or lazy._make_graph_module not in self.rude):
            self.model.reached[group] = self.splitter()
            known.add(self.splitter())
        return self.model.reached[group]

    def catch_up(self, asked: Asked) -> None:
        """Expect an install to reach what torch has now: other libraries put functions back without a hook."""
        self.model.claim(asked, self.reach(asked.copy))

    # --- Requests ---

    @rule(thread=THREADS, copy=COPIES, enabled=st.booleans())
    def enter(self, thread: int, copy: str, enabled: bool) -> None:
        context = self.modules[copy].lazy_graph_module(enabled, mode=ASK)
        self.on(thread, context.__enter__)
        self.model.add(Asked(copy, thread, enabled, context), self.reach(copy))

    @precondition(lambda self: any(asked.context for asked in self.model.asked))
    @rule(data=st.data(), where=st.one_of(st.none(), THREADS))
    def leave(self, data: st.DataObject, where: int | None) -> None:
        """Exit any open context: in the thread that entered it (None), or in another, as a closed generator does."""
        asked = data.draw(st.sampled_from([asked for asked in self.model.asked if asked.context]))
        self.model.end(asked)
        self.on(asked.thread if where is None else where, lambda: asked.context.__exit__(None, None, None))

    @rule(copy=COPIES)
    def install(self, copy: str) -> None:
        self.modules[copy].install("lazy_graph_module", mode=ASK)
        for asked in self.model.installs(copy):
            self.catch_up(asked)
        self.model.add(Asked(copy, None, True, None), self.reach(copy))

    @rule(copy=COPIES)
    def uninstall(self, copy: str) -> None:
        """Remove the latest install of this copy. Without one, nothing happens."""
        self.modules[copy].uninstall("lazy_graph_module")
        for asked in self.model.installs(copy)[-1:]:
            self.model.end(asked)

    # --- Other libraries ---

    @precondition(lambda self: len({asked.group for asked in self.model.asked if asked.thread is None}) < 2)
    @rule()
    def reload(self) -> None:
        """Reload split_module. Installs reach the new function; open contexts do not.

        With two versions installed, their hooks decide the order of their layers, and compat promises no order.
        """
        importlib.reload(split_module_file)
        for asked in [asked for asked in self.model.asked if asked.thread is None]:
            self.catch_up(asked)

    @rule(name=st.sampled_from(sorted(OVER)), polite=st.booleans())
    def put_over(self, name: str, polite: bool) -> None:
        module = OVER[name]
        below = vars(module)[name]

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return below(*args, **kwargs)

        if polite:
            functools.update_wrapper(wrapper, below)
        if not polite or below in self.rude:
            self.rude.add(wrapper)
        self.base[wrapper] = self.base.get(below, below)
        self.mocks.append((module, name, below))
        setattr(module, name, wrapper)

    @precondition(lambda self: self.mocks)
    @rule(data=st.data())
    def take_away(self, data: st.DataObject) -> None:
        """Remove any wrapper, as mock.patch does: it restores the object that it found."""
        module, name, below = self.mocks.pop(data.draw(st.integers(0, len(self.mocks) - 1)))
        setattr(module, name, below)

    @precondition(lambda self: hasattr(os, "fork"))
    @rule(thread=THREADS)
    def fork(self, thread: int) -> None:
        assert self.on(thread, lambda: in_child(lambda: self.child(thread)))

    def child(self, thread: int) -> bool:
        """Check a child that has only this thread: contexts of other threads are gone, the rest can be exited."""
        everything = self.model.asked
        self.model.keep([asked for asked in everything if asked.thread in (None, thread)])
        right = self.seen() == self.wanted(thread)
        self.leave_all([asked for asked in self.model.asked if asked.context])
        self.put_back()
        right = right and same(self.before, state())
        # Contexts of other threads are exited too, as collected generators would do.
        self.leave_all([asked for asked in everything if asked.thread not in (None, thread)])
        return right and same(self.before, state())

    # --- Invariants ---

    def seen(self) -> tuple[str, str]:
        return made(), split_kinds(split_module_file.split_module)

    def wanted(self, thread: int) -> tuple[str, str]:
        return self.model.expected(thread), self.model.expected(thread, self.splitter())

    @rule(thread=THREADS)
    def split(self, thread: int) -> None:
        assert self.on(thread, self.seen) == self.wanted(thread)

    @invariant()
    def every_copy_says_whether_it_is_active(self) -> None:
        for name, module in self.modules.items():
            row = status_of(package=module)
            for asked in self.model.installs(name)[-1:]:
                self.catch_up(asked)
            assert row.active == (name.partition("_")[0] in [group for group, _ in self.model.layers])

    @invariant()
    def every_thread_gets_what_it_asked_for(self) -> None:
        assert [self.on(thread, made) for thread in range(3)] == [self.model.expected(thread) for thread in range(3)]

    # --- Teardown ---

    def leave_all(self, opened: list[Asked]) -> None:
        for asked in opened:
            asked.context.__exit__(None, None, None)

    def put_back(self) -> None:
        for asked in self.model.asked:
            if asked.thread is None:
                self.modules[asked.copy].uninstall("lazy_graph_module")
        # Removes only the wrappers of this test.
        for module, space in self.spaces.items():
            for name in OVER:
                if name in space:
                    setattr(module, name, space[name])
        for name in self.spaces[split_module_file]:
            if name in vars(split_module_file):  # a reload replaced it
                setattr(split_module_file, name, self.spaces[split_module_file][name])

    def teardown(self) -> None:
        for asked in [asked for asked in self.model.asked if asked.context]:
            self.on(asked.thread or 0, lambda asked=asked: self.leave_all([asked]))
        for worker in self.workers:
            worker.end()
        self.put_back()
        assert same(self.before, state())


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_any_history_agrees_with_plain_model(copies: dict[str, ModuleType]) -> None:
    split_kinds()  # the imports of the first use happen here, and not in each forked child
    assert sys.modules[SPLIT] is split_module_file
    machine = type("Histories", (History,), {"modules": copies})
    number = int(os.environ.get("COMPAT_TEST_EXAMPLES", "30"))
    wanted = settings(max_examples=number, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=wanted)
