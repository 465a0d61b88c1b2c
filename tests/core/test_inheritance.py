"""Tasks, threads and executor workers see the block that was open at their start only if they get its context.

The context variable decides, as for all of Python: with a copy of the context, the block is seen until its `with` ends;
without one, it is not. Python hands a copy to tasks and to `asyncio.to_thread`. New threads get one only under the
option `thread_inherit_context` (default of free-threaded Python 3.14).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.this_torch import ASK
from helpers.torch_state import made, status_of

import compat

scope = functools.partial(compat.lazy_graph_module, mode=ASK)
INHERITS = bool(getattr(sys.flags, "thread_inherit_context", False))
IN_NEW_THREAD = "lazy" if INHERITS else "plain"


def in_thread(act: Callable[[], str]) -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]


def in_inheriting_thread(act: Callable[[], str]) -> str:
    """As `threading.Thread` does it under `thread_inherit_context`."""
    copy = contextvars.copy_context()
    return in_thread(lambda: copy.run(act))


def in_executor(act: Callable[[], str]) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result()


def in_task(act: Callable[[], str]) -> str:
    async def call() -> str:
        return act()

    async def main() -> str:
        return await asyncio.create_task(call())

    return asyncio.run(main())


def in_to_thread(act: Callable[[], str]) -> str:
    async def main() -> str:
        return await asyncio.to_thread(act)

    return asyncio.run(main())


def in_loops_executor(act: Callable[[], str]) -> str:
    async def main() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, act)

    return asyncio.run(main())


PLACES = {
    "child task": (in_task, "lazy"),
    "asyncio.to_thread": (in_to_thread, "lazy"),
    "copied context": (lambda act: contextvars.copy_context().run(act), "lazy"),
    "thread that inherits": (in_inheriting_thread, "lazy"),
    "new thread": (in_thread, IN_NEW_THREAD),
    "executor": (in_executor, IN_NEW_THREAD),
    "run_in_executor": (in_loops_executor, IN_NEW_THREAD),
}
places = pytest.mark.parametrize(("run", "seen"), PLACES.values(), ids=PLACES)


@places
def test_block_is_seen_where_the_context_is_copied(run, seen):
    assert run(made) == "plain"
    with scope():
        assert run(made) == seen
        assert made() == "lazy"
    assert run(made) == made() == "plain"


@places
def test_block_opened_there_is_not_seen_here(run, seen):
    def there() -> str:
        with scope(False):
            inside = made()
        return f"{inside}, {made()}"

    with scope():
        assert run(there) == f"plain, {seen}"
        assert made() == "lazy"
    assert not status_of().active


def test_block_left_open_there_ends_with_its_context_object():
    kept = []

    def there() -> str:
        kept.append(scope())
        kept[0].__enter__()
        return made()

    assert in_inheriting_thread(there) == "lazy"
    assert made() == "plain"
    assert status_of().active
    kept.clear()
    assert not status_of().active


def test_worker_that_was_started_before_the_block_does_not_see_it():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(made).result() == "plain"
        with scope():
            assert pool.submit(made).result() == "plain"


@pytest.mark.parametrize("run", [in_inheriting_thread, in_to_thread])
def test_block_ends_for_a_thread_that_still_runs(run):
    entered, ended = threading.Event(), threading.Event()
    found: list[str] = []

    def there() -> str:
        found.append(made())
        entered.set()
        assert ended.wait(60)
        with scope():
            found.append(made())
        found.append(made())
        return ""

    with scope():
        copy = contextvars.copy_context()
        runner = threading.Thread(target=lambda: copy.run(run, there))
        runner.start()
        assert entered.wait(60)
    ended.set()
    runner.join()
    assert found == ["lazy", "lazy", "plain"]


def test_block_of_the_parent_can_be_left_by_the_child():
    context = scope()
    context.__enter__()

    def there() -> str:
        context.__exit__(None, None, None)
        return made()

    assert in_inheriting_thread(there) == "plain"
    assert made() == "plain"
    assert not status_of().active


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Python 3.14 brought thread_inherit_context")
@pytest.mark.parametrize("option", ["0", "1"])
def test_new_thread_follows_pythons_option(python, option):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from core import test_inheritance as t\n"
        "with t.scope(): print(t.in_thread(t.made), t.in_executor(t.made))"
    )
    done = python("-X", f"thread_inherit_context={option}", "-c", code)
    expected = "lazy lazy\n" if option == "1" else "plain plain\n"
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
