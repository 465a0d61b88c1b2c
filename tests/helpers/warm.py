"""A process that has imported Dynamo and Inductor and forks for each call.

`Warm()` starts it by running this file as a script. Importing both takes 5 seconds, and the first compile reads all of
torch's source for its cache keys, another 3 seconds. That is too slow for each test that needs an unchanged torch."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")
TESTS = Path(__file__).parents[1]


class Warm:
    def __init__(self) -> None:
        # pytest has put the folders of the test modules on sys.path. The process imports the functions from there.
        folders = [path for path in sys.path if TESTS in Path(path).parents]
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        paths = [*given, *folders, str(TESTS), str(TESTS.parent)]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", __file__]
        self._process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a module-level function in a fork. If it raises, raises RuntimeError with the traceback."""
        assert self._process.stdin
        assert self._process.stdout
        send(self._process.stdin, (function, arguments))
        fine, result = pickle.loads(receive(self._process.stdout))
        if not fine:
            raise RuntimeError(result)
        answer: T = result
        return answer

    def end(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def send(pipe: IO[bytes], thing: Any) -> None:
    data = pickle.dumps(thing)
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    return pipe.read(int.from_bytes(pipe.read(8), "little"))


def serve() -> None:
    from torch._inductor import codecache, compile_fx  # noqa: F401

    codecache.torch_key()
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of the function must not mix with the answers
    while data := receive(asked):
        child = os.fork()
        if not child:
            try:
                function, arguments = pickle.loads(data)
                answer = (True, function(*arguments))
            except BaseException:  # noqa: BLE001 (every error is sent to the caller)
                answer = (False, traceback.format_exc())
            send(answers, answer)
            sys.stderr.flush()
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            send(answers, (False, f"it ended with status {os.waitstatus_to_exitcode(status)}"))


if __name__ == "__main__":
    serve()
