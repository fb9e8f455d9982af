"""An arm of an experiment, started: where it answers, what it runs, what it has counted.

Each start is a fresh copy of the stack with a directory, ports and data of its own, so that any
number of arms stand side by side, and ending one leaves nothing.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

from lab.measure import servers, uwsgi_http
from lab.measure.copies import ComposeCopy, Copy, How, LocalCopy, members
from lab.measure.servers import SERVERS, Server
from lab.plan.experiment import ArmSpec
from loadtest import cookies
from stack.errors import StackError
from stack.progress import Progress

__all__ = ["SERVERS", "RunningArm", "Server", "start", "start_all"]

Runtime = Literal["local", "compose"]

# The same in every arm: a port of its own, the views that are measured, somebody to log in as.
FIXED = {"STACK_PORT": "0", "STACK_WORKLOAD": "on", "STACK_DEMO": "on", "STACK_LOGIN_RATE": "0"}

# What a started stack may take to answer the path of an experiment. It is ready by then.
PATIENCE_S = 20.0

# How many start at a time. More would only wait for each other on a small machine.
AT_ONCE = 3

# nginx's worker_connections, two for each request: what a server without a limit of its own gets.
NGINX_SLOTS = 2048

_REQUESTS = re.compile(r"^\s*\d+\s+\d+\s+(\d+)\s*$", re.MULTILINE)
_CALLS = re.compile(r"^cmdstat_([^:]+):calls=(\d+)", re.MULTILINE)
# What those send who look at Redis: this lab, and the health probe of its container. The app sends
# AUTH once a connection, which is no part of a request either.
_LOOKING = frozenset({"auth", "info", "ping"})


@dataclass
class RunningArm:
    """A started arm. Its methods raise StackError when the arm cannot be asked any more."""

    spec: ArmSpec
    address: str
    cookie: str
    # From the decision to start to the first 200 through nginx. On compose it begins with a look
    # whether the images are up to date.
    start_s: float
    options: dict[str, str]  # as the server itself reported them
    wrong_options: list[str]
    slots: int
    _copy: Copy
    _status_readings: int = field(default=0, init=False)

    @property
    def server(self) -> Server:
        return SERVERS[self.spec.server]

    def pids(self) -> dict[str, list[int]]:
        """By service, every living process."""
        return {service: members(main) for service, main in self._copy.main_pids().items()}

    def workers(self) -> list[int]:
        """The processes that answer requests: no master, router, mule or helper."""
        return _workers(self._copy, self.server)

    def served(self) -> int:
        """Requests that nginx has counted, the ones for this figure left out."""
        found = _REQUESTS.search(self._copy.nginx_status())
        if found is None:
            raise StackError(f"{self.spec.name}: nginx's counters are not to be understood")
        self._status_readings += 1
        return int(found[1]) - self._status_readings

    def worker_requests(self) -> dict[int, int] | None:
        """By worker, requests that it has answered; None where the server does not say."""
        if not self.server.is_uwsgi:
            return None
        return servers.uwsgi_by_worker(self._copy.runtime.metrics(), "uwsgi_requests_total")

    def redis_commands(self) -> int:
        """Commands that Redis has run, those inside scripts too; ours are left out."""
        calls = _CALLS.findall(self._copy.redis_statistics())
        return sum(int(n) for name, n in calls if name not in _LOOKING)

    def reload(self, how: How) -> None:
        """Replace uWSGI's workers and return when the new ones serve: one after the other
        (``chain``) or all at once (``full``), whatever STACK_LAZY_APPS says."""
        if self.spec.server != "uwsgi":
            raise StackError(f"{self.spec.name}: the lab reloads uWSGI only")
        self._copy.reload(how)

    def stop(self) -> None:
        """End it at once; nothing of it is left."""
        self._copy.stop()


def start(
    spec: ArmSpec,
    *,
    path: str | None = None,
    runtime: Runtime = "local",
    progress: Progress | None = None,
) -> RunningArm:
    """Start *spec* and return it once *path* answers 200 (without one: once the stack is ready).

    Raises StackError, which names the arm; nothing is left running then.
    """
    try:
        return _start(spec, path, runtime, progress)
    except StackError as error:
        raise StackError(
            f"arm {spec.name!r}: {error.message}", error.remedy, log=error.log
        ) from error


def start_all(
    specs: Sequence[ArmSpec],
    *,
    path: str | None = None,
    runtime: Runtime = "local",
    progress: Progress | None = None,
) -> list[RunningArm]:
    """Start several side by side: all or none. Their `start_s` is not a figure then."""
    if any(spec.server == "uwsgi-http" for spec in specs):
        uwsgi_http.ensure(progress or Progress())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [
            pool.submit(start, spec, path=path, runtime=runtime, progress=progress)
            for spec in specs
        ]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            for future in futures:
                if not future.cancelled():
                    with suppress(Exception):
                        future.result().stop()
            raise


def _start(
    spec: ArmSpec, path: str | None, runtime: Runtime, progress: Progress | None
) -> RunningArm:
    server = SERVERS.get(spec.server)
    if server is None:
        raise StackError(f"no such server: {spec.server}", f"known are {', '.join(SERVERS)}")
    if deaf := server.deaf_to(spec.settings):
        raise StackError(f"{server.name} knows no {', '.join(deaf)}", "leave it out for this arm")
    if runtime == "compose" and server.name != "uwsgi":
        raise StackError(f"{server.name} runs on the local runtime only", "RUNTIME=local")
    if server.name == "uwsgi-http":
        uwsgi_http.ensure(progress or Progress())
    environ = {**spec.settings, **FIXED}
    copy: Copy = (
        ComposeCopy(environ, progress)
        if runtime == "compose"
        else LocalCopy(environ, server.program, progress)
    )
    begun = time.monotonic()
    copy.runtime.up()
    try:
        cookie = _cookie(spec.enter, copy.runtime.address())
        if path is not None:
            _wait_for_200(copy.runtime.address(), path, cookie)
        start_s = time.monotonic() - begun
        options, wrong = _options(copy, server)
    except BaseException:
        copy.stop()
        raise
    workers, threads = server.workers_and_threads(copy.runtime.toggles)
    return RunningArm(
        spec=spec,
        address=copy.runtime.address(),
        cookie=cookie,
        start_s=start_s,
        options=options,
        wrong_options=wrong,
        slots=workers * threads if threads is not None else NGINX_SLOTS,
        _copy=copy,
    )


def _cookie(enter: str | None, address: str) -> str:
    try:
        if enter is None:
            return cookies.of_demo_account(address)
        return "" if enter == "none" else cookies.of_page(address, enter)
    except cookies.NoCookie as error:
        raise StackError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise StackError(f"nobody can log in ({error})") from error


def _wait_for_200(address: str, path: str, cookie: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status, said = _get(address, path, cookie)
        if status == HTTPStatus.OK:
            return
        if time.monotonic() > deadline:
            raise StackError(f"{path} does not answer 200 but {said}")
        time.sleep(0.02)


def _get(address: str, path: str, cookie: str) -> tuple[int | None, str]:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return None, f"nothing ({error})"
    else:
        return status, str(status)
    finally:
        connection.close()


def _workers(copy: Copy, server: Server) -> list[int]:
    main = copy.main_pids()["app"]
    if not server.is_uwsgi:
        return servers.workers_of(server, main)
    pids = servers.uwsgi_by_worker(copy.runtime.metrics(), "uwsgi_worker_pid").values()
    family = members(main)
    return sorted(copy.own_pid(pid, family) for pid in pids if pid)


def _options(copy: Copy, server: Server) -> tuple[dict[str, str], list[str]]:
    """What the server says it runs, and where that is not what was asked."""
    asked: Mapping[str, str] = copy.runtime.toggles
    if server.is_uwsgi:
        options = servers.uwsgi_options(copy.runtime.metrics(), copy.runtime.server_log())
        return options, servers.uwsgi_disagreements(asked, options)
    main = copy.main_pids()["app"]
    workers = servers.workers_of(server, main)
    options = servers.other_options(server, main, workers, copy.runtime.server_log())
    return options, servers.other_disagreements(server, asked, options)
