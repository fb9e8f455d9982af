"""A running arm: its address, its processes, its options as reported, and its counters.

Each start is a new instance of the stack with its own directory, ports and data. Any number of arms
run side by side, and a stopped arm leaves nothing behind.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

from lab.measure import login_cookie, machine, server_options, trees, uwsgi_http
from lab.measure.instances import ComposeInstance, Instance, LocalInstance, members
from lab.plan.arms import ArmSpec, LoginForm, ReloadMode
from lab.plan.servers import SERVERS, Server
from stack import probes
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress

Runtime = Literal["local", "compose"]

# The same for every arm: a free port, the views that are measured, the demo account.
FIXED = {
    "STACK_PORT": "0",
    "STACK_WORKLOAD": "on",
    "STACK_DEMO": "on",
    "STACK_LOGIN_RATE": "0",
    "STACK_CLIENT_REQUESTS": "0",
}

# How long a started stack may take to answer the path of an experiment with 200.
PATIENCE_S = 20.0
# How long a server may take to report the options that were asked for, on a busy machine.
SETTLE_S = 5.0

# The most that each command of an arm's `setup` may take.
SETUP_S = 300.0

# A chain reload replaces a worker within worker-reload-mercy (65 s).
CHAIN_S = 300.0

# Concurrent starts. More would wait for each other on a small machine.
AT_ONCE = 3

# The slots of a server without a limit of its own: nginx's worker_connections, two per request.
NGINX_SLOTS = 2048

_REQUESTS = re.compile(r"^\s*\d+\s+\d+\s+(\d+)\s*$", re.MULTILINE)
_CALLS = re.compile(r"^cmdstat_([^:]+):calls=(\d+)", re.MULTILINE)
# Commands of the lab and of Redis' health check, and AUTH, which the app sends once per connection.
_NOT_COUNTED = frozenset({"auth", "info", "ping"})


@dataclass
class RunningArm:
    """A started arm. Its methods raise StackError when the arm does not answer any more."""

    spec: ArmSpec
    address: str
    cookies: list[str]  # one for each user who is logged in; at least one, perhaps ""
    # From the command to the first 200 through nginx. On compose this includes the check whether
    # the images are up to date.
    start_s: float
    options: dict[str, str]  # as the server reported them
    wrong_options: list[str]
    slots: int
    _instance: Instance
    _own_requests: int = field(default=0, init=False)

    @property
    def cookie(self) -> str:
        return self.cookies[0]

    @property
    def server(self) -> Server:
        return SERVERS[self.spec.server]

    def pids(self) -> dict[str, list[int]]:
        """Service → its living processes."""
        return {service: members(main) for service, main in self._instance.main_pids().items()}

    def workers(self) -> list[int]:
        """The processes that answer requests, without master, router, mule and helpers."""
        return _workers(self._instance, self.server)

    def served(self) -> int:
        """Requests that nginx has counted, without the lab's own."""
        found = _REQUESTS.search(self._instance.nginx_status())
        if found is None:
            raise StackError(f"{self.spec.name}: nginx's counters cannot be parsed")
        self._own_requests += 1
        return int(found[1]) - self._own_requests

    def worker_requests(self) -> dict[int, int] | None:
        """Worker → requests that it has answered; None if the server does not report them."""
        if not self.server.is_uwsgi:
            return None
        metrics = self._instance.metrics()
        return server_options.uwsgi_by_worker(metrics, "uwsgi_requests_total")

    def redis_commands(self) -> int:
        """Commands that Redis has run, those of scripts included, without the lab's own."""
        calls = _CALLS.findall(self._instance.redis_statistics())
        return sum(int(n) for name, n in calls if name not in _NOT_COUNTED)

    def reload(self, mode: ReloadMode) -> None:
        """Replace uWSGI's workers and return when the new ones serve."""
        if self.spec.server != "uwsgi":
            raise StackError(f"{self.spec.name}: the lab reloads uWSGI only")
        if mode == "shipped":
            self._instance.reload()
        else:
            self._chain_reload()

    def make_reload(self) -> None:
        """Reload as `make reload` does: also nginx and the static files."""
        self._instance.runtime.reload()

    def _chain_reload(self) -> None:
        before = self.workers()
        self._instance.command_master("c")
        deadline = time.monotonic() + CHAIN_S
        while set(before) & set(after := self.workers()) or len(after) < len(before):
            if time.monotonic() > deadline:
                raise StackError(f"{self.spec.name}: the chain reload left old workers")
            # Idle threads that wait for the thunder lock do not notice that their worker has to
            # end; each request lets one of them through (unbit/uwsgi#1028).
            for _ in range(5):
                self._livez()
                time.sleep(0.05)
        # The new workers may still load the app.
        while self._livez() != HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise StackError(f"{self.spec.name}: nothing serves after the chain reload")
            time.sleep(0.05)

    def _livez(self) -> int | None:
        self._own_requests += 1
        return probes.http_status(f"{self.address}/livez")

    def stop(self) -> None:
        """Kill it and delete its data."""
        self._instance.stop()


def start(
    spec: ArmSpec,
    *,
    path: str | None = None,
    runtime: Runtime = "local",
    progress: Progress | None = None,
) -> RunningArm:
    """Start *spec* and return it once *path* answers 200, or without a path once it is ready.

    Raises StackError, which names the arm; then nothing is left running.
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
    """Start several side by side, all or none. Their `start_s` is not meaningful."""
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
    if ignored := server.unsupported(spec.settings):
        raise StackError(
            f"{server.name} does not support {', '.join(ignored)}", "leave it out for this arm"
        )
    if runtime == "compose" and server.name != "uwsgi":
        raise StackError(f"{server.name} runs on the local runtime only", "RUNTIME=local")
    if runtime == "compose" and spec.ini:
        raise StackError("an arm with `ini` runs on the local runtime only", "RUNTIME=local")
    if runtime == "compose" and (spec.has_own_tree or spec.setup):
        raise StackError("an arm with files of its own runs on the local runtime", "RUNTIME=local")
    if server.name == "uwsgi-http":
        uwsgi_http.ensure(progress or Progress())
    # `auto` as a number: other servers need it, and so does the comparison with what runs. Files of
    # another commit may have another default.
    auto = {} if spec.has_own_tree else {"STACK_PROCESSES": str(machine.processes())}
    environ = {**auto, **spec.settings, **FIXED}
    instance: Instance
    if runtime == "compose":
        instance = ComposeInstance(environ, progress)
    elif spec.has_own_tree:
        instance = trees.TreeInstance(spec, environ)
    else:
        instance = LocalInstance(environ, server.program, progress, spec.ini)
    begun = time.monotonic()
    instance.runtime.up()
    try:
        for command in spec.setup:
            _set_up(instance, command)
        cookies = _cookies(spec.login, instance.runtime.address())
        if path is not None:
            _wait_for_200(instance.runtime.address(), spec.path or path, cookies[0])
        start_s = time.monotonic() - begun
        options, wrong = _options(instance, server, spec.ini)
    except BaseException:
        instance.stop()
        raise
    workers, threads = server.workers_and_threads(instance.runtime.toggles)
    return RunningArm(
        spec=spec,
        address=instance.runtime.address(),
        cookies=cookies,
        start_s=start_s,
        options=options,
        wrong_options=wrong,
        slots=workers * threads if threads is not None else NGINX_SLOTS,
        _instance=instance,
    )


def _set_up(instance: Instance, command: str) -> None:
    """Run a shell command where the app runs, with its variables. Raises StackError."""
    runtime = instance.runtime
    if not isinstance(runtime, LocalRuntime):
        raise StackError("an arm with `setup` runs on the local runtime only", "RUNTIME=local")
    file = runtime.run_dir / "environment.json"
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=runtime.run_dir.parents[1] / "project"
            if isinstance(runtime, trees.TreeRuntime)
            else CHECKOUT / "project",
            env=json.loads(file.read_text(encoding="utf-8")),
            capture_output=True, text=True, check=False, timeout=SETUP_S,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise StackError(f"setup {command!r} cannot be run: {error}") from error
    except subprocess.TimeoutExpired:
        raise StackError(f"setup {command!r} took more than {SETUP_S:g} s") from None
    if done.returncode:
        log = (done.stdout + done.stderr)[-2000:]
        raise StackError(f"setup {command!r} ended with {done.returncode}", log=log)


def _cookies(login: str | LoginForm | None, address: str) -> list[str]:
    try:
        if login is None:
            return [login_cookie.of_demo_account(address)]
        if isinstance(login, LoginForm):
            return [login_cookie.of_form(address, login, n + 1) for n in range(login.users)]
        return ["" if login == "none" else login_cookie.of_page(address, login)]
    except login_cookie.NoCookie as error:
        raise StackError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise StackError(f"the login failed ({error})") from error


def _wait_for_200(address: str, path: str, cookie: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status, text = _get(address, path, cookie)
        if status == HTTPStatus.OK:
            return
        if time.monotonic() > deadline:
            raise StackError(f"{path} answers {text} instead of 200")
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


def _workers(instance: Instance, server: Server) -> list[int]:
    main = instance.main_pids()["app"]
    if not server.is_uwsgi:
        return server_options.workers_of(server, main)
    pids = server_options.uwsgi_by_worker(instance.metrics(), "uwsgi_worker_pid").values()
    family = members(main)
    return sorted(instance.host_pid(pid, family) for pid in pids if pid)


def _options(
    instance: Instance, server: Server, ini: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """What the server reports, and where that differs from what was asked.

    It is read again for SETTLE_S if it differs: the first answer may come before all workers and
    uWSGI's exporter are up.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        late = time.monotonic() > deadline
        try:
            options, wrong = _read_options(instance, server, ini)
        except StackError:
            if late:
                raise
        else:
            if late or not wrong:
                return options, wrong
        time.sleep(0.1)


def _read_options(
    instance: Instance, server: Server, ini: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    asked: Mapping[str, str] = instance.runtime.toggles
    log = instance.server_log()
    if server.is_uwsgi:
        options = server_options.uwsgi_options(instance.metrics(), log)
        if any(line.startswith("cheaper") for line in ini):
            options.pop("workers (log)", None)  # it starts the others when it needs them
        if ini:
            options["uwsgi.ini, added"] = "; ".join(ini)
        return options, server_options.uwsgi_disagreements(asked, options)
    main = instance.main_pids()["app"]
    workers = server_options.workers_of(server, main)
    options = server_options.other_options(server, main, workers, log)
    return options, server_options.other_disagreements(server, asked, options)
