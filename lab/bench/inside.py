"""The bare WSGI call: what a request costs where there is no server, no nginx and no socket.

    python -m lab.bench.inside /workload/protected     # started by views.py

A process of its own loads STACK_APP with the environment of a running copy, so with its Redis and
its sessions, and calls it with the request that uWSGI would have passed on. Each call follows a
byte through a pipe, as a worker's follows a connection, because calls without a pause between them
find warm caches that no server has. Only the call is counted, by the thread's CPU clock.
"""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from werkzeug.test import EnvironBuilder

from lab.bench.slices import SLICE, WrongAnswer
from stack.local.runtime import LocalRuntime

_COOKIE = "BENCH_COOKIE"
_CALL, _TELL = b"c", b"t"
_DIGITS = 20


class Inside:
    """One path of *stack*'s app, called as one client with *cookie*. A context manager.

    `costs` collects CPU seconds a call, a slice an entry.
    """

    def __init__(self, stack: LocalRuntime, path: str, expected: bytes, cookie: str) -> None:
        self.name = "the call alone"
        self.costs: list[float] = []
        self._expected = expected
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, path],
            env={**stack.service_environment(), _COOKIE: cookie},
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        with self._process:
            pass

    def run(self, requests: int) -> None:
        """Call *requests* times. Raises WrongAnswer when the last one did not answer rightly."""
        for _ in range(requests):
            self._ask(_CALL, 1)
        self._cpu_ns()

    def measure(self) -> None:
        """Run one slice and note what it cost."""
        for _ in range(SLICE):
            self._ask(_CALL, 1)
        self.costs.append(self._cpu_ns() / SLICE / 1e9)

    def _cpu_ns(self) -> int:
        """Of the calls since it was last asked."""
        used, length = self._ask(_TELL, _DIGITS), int(self._ask(b"", _DIGITS))
        body = self._ask(b"", length)
        if self._expected not in body:
            raise WrongAnswer(f"{self.name}: {body[:80]!r}")
        return int(used)

    def _ask(self, command: bytes, length: int) -> bytes:
        commands, answers = self._process.stdin, self._process.stdout
        if commands is None or answers is None:
            raise ValueError("its pipes are closed")
        try:
            commands.write(command)
        except BrokenPipeError:
            raise WrongAnswer(f"{self.name}: its process has ended") from None
        answer = b""
        while len(answer) < length:
            part = answers.read(length - len(answer))
            if not part:
                raise WrongAnswer(f"{self.name}: its process has ended")
            answer += part
        return answer


def serve(path: str, cookie: str) -> None:
    """Call when told to, until standard input ends."""
    module, _, name = os.environ["STACK_APP"].partition(":")
    call = caller(getattr(importlib.import_module(module), name), path, cookie)
    commands, answers = Path("/dev/stdin").open("rb", 0), Path("/dev/stdout").open("wb", 0)  # noqa: SIM115
    used = 0
    body = call()
    gc.collect()
    gc.freeze()
    while command := commands.read(1):
        if command == _CALL:
            begun = time.thread_time_ns()
            body = call()
            used += time.thread_time_ns() - begun
            answers.write(_CALL)
        else:
            answers.write(b"%0*d%0*d%b" % (_DIGITS, used, _DIGITS, len(body), body))
            used = 0


def caller(application: Callable[..., Any], path: str, cookie: str) -> Callable[[], bytes]:
    """Make a function that has *application* answer one GET and returns the body."""
    headers = [("Cookie", cookie), ("X-Request-ID", "0" * 32)]
    environ = EnvironBuilder(path, headers=headers).get_environ()
    environ["REMOTE_ADDR"] = "127.0.0.1"

    def call() -> bytes:
        response = application(dict(environ), lambda *_: lambda _: None)
        try:
            return b"".join(response)
        finally:
            if close := getattr(response, "close", None):
                close()

    return call


if __name__ == "__main__":
    serve(sys.argv[1], os.environ.pop(_COOKIE))
