"""The stack as local processes: the containers' nginx, uWSGI and Redis files under supervisord.

All files of a copy are in ``run/<STACK_NAME>/``: ``state.json`` while it is up, ``logs/``,
``secrets/`` and ``data/`` (Redis). Copies with different names share nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import toggles
from stack import logs, ports, probes, processes, programs
from stack.address import known_host, public_address
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local import wiring
from stack.local.program import environment_of
from stack.local.state import State
from stack.local.supervisor import Program, Supervisor
from stack.progress import Progress
from stack.runtime import SERVICES, ServiceStatus
from stack.venv import DEVELOP, SERVE, VirtualEnvironment

# From the start of a service to its first answer, on a slow machine.
START_TIMEOUT_S = 60.0

# nginx waits for the responses in flight, up to the longest harakiri. uwsgi/entrypoint ends within
# 75 s; the kill after 85 s is for a machine that has stalled.
STOP_WAIT_S = {"redis": 30, "app": 85, "nginx": 70}
STOP_SIGNAL = {"redis": "TERM", "app": "TERM", "nginx": "QUIT"}

# A unix socket's path has at most 107 bytes, and nginx accepts no blanks or quotes in it.
_SHORT = 80
_TMP = "/tmp"  # noqa: S108 - mkdtemp; TMPDIR may be as long as the path that is avoided
_PLAIN = re.compile(r"/[A-Za-z0-9/._-]*")


@dataclass(frozen=True)
class AppServer:
    """The entrypoints of the app server and of its nginx, as paths in the checkout.

    Both get the environment of stack.local.wiring. The app server listens on APP_LISTEN.
    """

    entrypoint: str
    nginx: str
    speaks: Literal["uwsgi", "http"]


UWSGI = AppServer("uwsgi/entrypoint", "nginx/entrypoint", "uwsgi")


class LocalRuntime:
    """One copy. As a library: ``with LocalRuntime({"STACK_PORT": "0"}) as stack: stack.address()``.

    *environ* holds the ``STACK_*`` values; others have their defaults. ``STACK_PORT=0`` takes a
    free port and, without a *run_dir*, a temporary directory that ``down`` deletes: a copy for one
    test or measurement. *server* replaces uWSGI, for a comparison.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        checkout: Path = CHECKOUT,
        *,
        run_dir: Path | None = None,
        progress: Progress | None = None,
        server: AppServer = UWSGI,
    ) -> None:
        self._environ = dict(environ)
        self._server = server
        self._checkout = checkout
        self._progress = progress or Progress()
        self._any_port = self._environ.get("STACK_PORT") == "0"
        if self._any_port:
            del self._environ["STACK_PORT"]
        try:
            self.toggles = toggles.read(self._environ)
        except toggles.ToggleError as error:
            raise StackError(str(error)) from error
        self.name = self.toggles["STACK_NAME"]
        self._ports: dict[str, int] = {}
        self._throwaway = self._any_port and run_dir is None
        if run_dir is None and self._throwaway:
            run_dir = Path(tempfile.mkdtemp(prefix="stack-", dir=_TMP))
        self.run_dir = run_dir or checkout / "run" / self.name
        self._state_file = self.run_dir / "state.json"
        self._venv = VirtualEnvironment(checkout, self._progress)
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    # ── Up ──────────────────────────────────────────────────────────────────────────────────────

    def up(self, services: Sequence[str] = SERVICES) -> None:
        """Start *services* and return once they answer; on failure leave no process behind."""
        try:
            self._up(services)
        except BaseException:
            if self._throwaway:
                shutil.rmtree(self.run_dir, ignore_errors=True)
            raise

    def _up(self, services: Sequence[str]) -> None:
        with self._locked():
            if self.is_up() or self._runs_only(services):
                return
            self._refuse_while_dev_runs()
            self._end()
            self._prepare(services)
            try:
                self._start(services)
            except BaseException:
                # Also for a Ctrl-C: the terminal's signal does not reach another session.
                self._end()
                raise

    def _runs_only(self, services: Sequence[str]) -> bool:
        """Whether exactly *services*, fewer than all, run: another `make dev` started them."""
        state = State.load(self._state_file)
        same = state is not None and set(state.services) == set(services) != set(SERVICES)
        return same and self.is_started()

    def _refuse_while_dev_runs(self) -> None:
        state = State.load(self._state_file)
        if state and state.supervisor() and set(state.services) != set(SERVICES):
            raise StackError(
                f"`make dev` is using the {', '.join(state.services)} of this copy",
                "stop it first, or make up STACK_NAME=another",
            )

    def _prepare(self, services: Sequence[str]) -> None:
        """Do everything that can fail before a process is started."""
        if "nginx" in services:
            bind = self.toggles["STACK_BIND"]
            if self._any_port:
                self.toggles["STACK_PORT"] = str(ports.free(bind))
                self.toggles["STACK_TLS_PORT"] = str(ports.free(bind))
            ports.require(bind, int(self.toggles["STACK_PORT"]), "STACK_PORT")
            if self.toggles["STACK_TLS"] == "on":
                ports.require(bind, int(self.toggles["STACK_TLS_PORT"]), "STACK_TLS_PORT")
        servers, groups = (
            (programs.SERVERS, SERVE) if "nginx" in services else (programs.REDIS, DEVELOP)
        )
        programs.ensure((*servers, *self._venv.needs(groups)), self._progress)
        self._venv.ensure(groups)
        for directory in ("logs", "secrets", "data", "redis", "uwsgi", "static"):
            (self.run_dir / directory).mkdir(parents=True, exist_ok=True)
        (self.run_dir / "secrets").chmod(0o700)
        self._move_old_logs()

    def _start(self, services: Sequence[str]) -> None:
        run = self._short_run_directory()
        taken: set[int] = set()
        for purpose in ("app", "metrics", "status"):
            self._ports[purpose] = ports.free(avoid=frozenset(taken))
            taken.add(self._ports[purpose])
        supervisor = Supervisor(run, self._checkout, self._venv.bin)
        entrypoints = {
            "nginx": self._server.nginx,
            "app": self._server.entrypoint,
            "redis": "redis/entrypoint",
        }
        descriptions = [
            Program(
                service,
                self._checkout / entrypoints[service],
                STOP_SIGNAL[service],
                STOP_WAIT_S[service],
            )
            for service in SERVICES
        ]
        self._child = supervisor.start(self.name, descriptions, self._environment(run))
        started = processes.find(self._child.pid)
        if started is not None:
            State(
                boot_id=processes.boot_id(),
                supervisor_pid=started.pid,
                supervisor_started_ticks=started.started_ticks,
                run=str(run),
                address=public_address(self.toggles),
                host=known_host(self.toggles),
                services=list(services),
                ports=self._ports,
                toggles=self.toggles,
            ).save(self._state_file)
        supervisor.wait_until_it_answers(self._child, START_TIMEOUT_S)
        state = self._require_state()
        self._progress.step("starting redis")
        supervisor.start_program("redis")
        socket, password = run / "redis.sock", run / "secrets" / "redis-password"
        self._wait(supervisor, ("redis",), lambda: probes.redis_answers(socket, password))
        if "nginx" in services:
            self._write_static_files()
            self._progress.step("starting app and nginx")
            supervisor.start_program("app")
            supervisor.start_program("nginx")
            self._wait(
                supervisor,
                ("app", "nginx"),
                lambda: probes.stack_answers(state.address, state.host),
            )

    def _write_static_files(self) -> None:
        """Write hashed copies for nginx; open pages still need those of earlier versions."""
        made = subprocess.run(
            [self._venv.python, "-P", "app/assets.py", self.run_dir / "static"],
            cwd=self._checkout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise StackError("app/assets.py failed", log=made.stderr.strip())

    def _wait(
        self, supervisor: Supervisor, services: Sequence[str], ready: Callable[[], bool]
    ) -> None:
        """Return when *ready*; raise StackError when one of *services* ends or takes too long."""
        first = {service: supervisor.programs()[service]["pid"] for service in services}
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            for service in services:
                info = supervisor.programs()[service]
                running = info["statename"] in ("STARTING", "RUNNING")
                if not running or info["pid"] != first[service]:
                    raise self._failed(service, "does not start")
            if ready():
                return
            if time.monotonic() > deadline:
                raise self._failed(
                    services[0], f"runs but does not answer after {START_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.05)

    def _failed(self, service: str, how: str) -> StackError:
        return StackError(f"{service} {how}", self._logs_remedy(service), log=self._tail(service))

    def _logs_remedy(self, service: str) -> str:
        if self._throwaway:
            return "the end of its log is above"
        return f"see {self.run_dir / 'logs' / service}.log"

    def _tail(self, service: str, lines: int = 12) -> str:
        with contextlib.suppress(OSError):
            text = (self.run_dir / "logs" / f"{service}.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def _move_old_logs(self) -> None:
        """Keep the logs of the run before in ``logs/previous/``, and no older ones."""
        directory = self.run_dir / "logs"
        old = [file for file in directory.iterdir() if file.is_file()]
        if old:
            previous = directory / "previous"
            shutil.rmtree(previous, ignore_errors=True)
            previous.mkdir()
            for file in old:
                file.rename(previous / file.name)

    def _environment(self, run: Path) -> dict[str, str]:
        environ = wiring.environment(
            run,
            self._checkout,
            self._venv.bin,
            toggles=self.toggles,
            ports=self._ports,
            settings=self._environ,
        )
        if self._throwaway:
            # Deleted with the copy.
            temporary = run / "tmp"
            temporary.mkdir(exist_ok=True)
            environ["TMPDIR"] = str(temporary)
        return environ

    def _short_run_directory(self) -> Path:
        """Return a path of the run directory that every program accepts, a link if needed."""
        self.run_dir.chmod(0o700)
        path = str(self.run_dir.resolve())
        if len(path) <= _SHORT and _PLAIN.fullmatch(path):
            return Path(path)
        link = Path(tempfile.mkdtemp(prefix="stack-", dir=_TMP)) / "run"
        link.symlink_to(path)
        return link

    # ── Down ────────────────────────────────────────────────────────────────────────────────────

    def down(self, *, volumes: bool = False) -> None:
        """Stop the services, nginx first, so that no request is sent to a stopped app."""
        if not self.run_dir.is_dir():
            return
        with self._locked():
            self._end()
        if volumes or self._throwaway:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def kill(self) -> None:
        """Kill everything at once and delete the data: for a copy whose data nobody needs."""
        if not self.run_dir.is_dir():
            return
        with self._locked():
            state = State.load(self._state_file)
            if state is not None:
                processes.kill(state.processes)
            self._end()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _end(self) -> None:
        state = State.load(self._state_file)
        if state is None:
            if self._child is not None:  # interrupted before the state was saved
                self._child.kill()
                self._child = None
            return
        supervisor = Supervisor(Path(state.run), self._checkout, self._venv.bin)
        if state.supervisor() and supervisor.answers():
            for service, info in ((s, supervisor.programs()[s]) for s in SERVICES):
                if info["pid"]:
                    self._progress.step(f"stopping {service}")
                supervisor.stop_program(service)
            supervisor.shutdown()
            deadline = time.monotonic() + 10
            while state.supervisor() and time.monotonic() < deadline:
                self._reap()
                time.sleep(0.02)
        # supervisord itself if it hangs, or the services of one that was killed.
        processes.end(state.processes())
        self._reap()
        run = Path(state.run)
        for leftover in ("supervisor.sock", "redis.sock", "supervisord.pid"):
            (self.run_dir / leftover).unlink(missing_ok=True)
        if run.is_symlink():
            shutil.rmtree(run.parent, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)

    def _reap(self) -> None:
        """Wait for supervisord if it is our child: a zombie would count as alive."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None

    # ── State ───────────────────────────────────────────────────────────────────────────────────

    def is_up(self) -> bool:
        """Whether all services run under their supervisord."""
        state = State.load(self._state_file)
        if state is None or state.supervisor() is None or set(state.services) != set(SERVICES):
            return False
        supervisor = self._supervisor(state)
        return supervisor.answers() and all(
            info["statename"] in ("STARTING", "RUNNING") for info in supervisor.programs().values()
        )

    def is_started(self) -> bool:
        """Whether any process of this copy runs."""
        state = State.load(self._state_file)
        return state is not None and bool(state.supervisor() or state.processes())

    def address(self) -> str:
        return self._require_state().address

    def running_toggles(self) -> dict[str, str]:
        """The toggles that the copy was started with; those of today may differ."""
        return self._require_state().toggles

    def status(self) -> list[ServiceStatus]:
        state = self._require_state()
        alive = state.supervisor() is not None
        infos = self._supervisor(state).programs() if alive else {}
        where = {
            "nginx": state.address,
            "app": f"{self._server.speaks}://127.0.0.1:{state.ports['app']}",
            "redis": f"unix:{state.run}/redis.sock",
        }
        result = []
        for service in SERVICES:
            if service not in state.services:
                continue
            pid = infos.get(service, {}).get("pid", 0)
            main = processes.find(pid) if pid else None
            result.append(
                ServiceStatus(
                    service=service,
                    id=str(pid) if main else "-",
                    address=where[service],
                    healthy=main is not None and self._answers(service, state),
                    uptime_s=main.uptime_s if main else None,
                    memory_bytes=processes.pss_bytes(processes.family(pid)) if main else None,
                )
            )
        return result

    def main_pids(self) -> dict[str, int]:
        """By service: the pid that supervisord started; 0 for one that does not run."""
        infos = self._supervisor(self._require_state()).programs()
        return {service: info["pid"] for service, info in infos.items()}

    def ports(self) -> dict[str, int]:
        """The internal ports by purpose: ``app``, ``metrics`` and ``status`` (nginx's counters)."""
        return dict(self._require_state().ports)

    def redis_socket(self) -> Path:
        return Path(self._require_state().run) / "redis.sock"

    def _answers(self, service: str, state: State) -> bool:
        run = Path(state.run)
        if service == "redis":
            return probes.redis_answers(run / "redis.sock", run / "secrets" / "redis-password")
        if service == "app":
            if self._server.speaks == "http":
                url = f"http://127.0.0.1:{state.ports['app']}/livez"
                status = probes.http_status(url, host=state.host)
                return status is not None and status < 500
            # The same check as in the container.
            check = f"{self._checkout}/uwsgi/healthcheck.py"
            asked = subprocess.run(
                [self._venv.python, "-S", check, f"127.0.0.1:{state.ports['app']}"],
                capture_output=True, check=False,
            )  # fmt: skip
            return asked.returncode == 0
        plain = f"http://{state.address.partition('://')[2].rpartition(':')[0]}"
        port = state.toggles["STACK_PORT"]
        return probes.http_status(f"{plain}:{port}/nginx-health", host=state.host) == 200

    def metrics(self) -> str:
        try:
            return probes.http_text(
                f"http://127.0.0.1:{self._require_state().ports['metrics']}/metrics"
            )
        except OSError as error:
            raise StackError(f"the metrics cannot be read ({error})", "see `make logs`") from error

    def server_log(self) -> str:
        return logs.whole(self.run_dir / "logs" / "app.log")

    def logs(self, follow: bool = True) -> int:
        return logs.show(self.run_dir / "logs", SERVICES, follow=follow)

    # ── Reload ──────────────────────────────────────────────────────────────────────────────────

    def reload(self) -> None:
        """Reload nginx and the app; static files first, because new pages link to them."""
        state = self._require_state()
        if not self.is_up():
            raise StackError("the stack is not up", "make up")
        self._progress.step("writing static files")
        self._write_static_files()
        environ = self._environment_of(state)
        self._progress.step("reloading nginx")
        checked = subprocess.run(
            [self._checkout / "nginx" / "entrypoint", "--check"],
            cwd=self._checkout,
            env=environment_of("nginx", environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if checked.returncode != 0:
            raise StackError(
                "nginx's new configuration is not valid; the old one stays in use",
                log=checked.stderr.strip(),
            )
        os.kill(self._supervisor(state).programs()["nginx"]["pid"], signal.SIGHUP)
        self._progress.step("replacing the app's workers")
        self._progress.clear()
        replaced = subprocess.run(
            [self._checkout / "uwsgi" / "reload"],
            cwd=self._checkout,
            env=environment_of("app", environ),
            check=False,
        )
        if replaced.returncode != 0:
            raise StackError("the app did not start with its new code", "see `make logs`")

    def _environment_of(self, state: State) -> dict[str, str]:
        """The environment that the running copy was started with."""
        self.toggles, self._ports = dict(state.toggles), dict(state.ports)
        return self._environment(Path(state.run))

    def service_environment(self) -> dict[str, str]:
        """The environment of the running services, for a program that uses the same Redis."""
        return self._environment_of(self._require_state())

    def _require_state(self) -> State:
        state = State.load(self._state_file)
        if state is None or (state.supervisor() is None and not state.processes()):
            raise StackError(f"the stack {self.name} is not up", "make up")
        return state

    def _supervisor(self, state: State) -> Supervisor:
        return Supervisor(Path(state.run), self._checkout, self._venv.bin)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Serialise commands on this copy: a second `make up` waits and finds it up."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with (self.run_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
