"""A thread that tests control step by step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread that runs one function after another and keeps its context variables in between."""

    def __init__(self) -> None:
        self._asked: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            act, answer = asked
            try:
                answer.set_result(act())
            except BaseException as error:  # noqa: BLE001
                answer.set_exception(error)

    def __call__(self, act: Callable[[], T]) -> T:
        answer: Future[T] = Future()
        self._asked.put((act, answer))
        return answer.result(60)

    def end(self) -> None:
        self._asked.put(None)
        self._thread.join(60)
