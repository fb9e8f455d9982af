"""The stack as local processes: the containers' nginx, uWSGI and Redis files under supervisord.

All files of a copy are in ``run/<STACK_NAME>/``: ``state.json`` while it is up, ``logs/``,
``secrets/``, ``data/`` (Redis) and ``app-data/``. Copies with different names share nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stack import logs, ports, probes, processes, programs, project
from stack.address import public_address
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local import wiring
from stack.local.program import environment_of
from stack.local.state import State
from stack.local.supervisor import Supervisor
from stack.progress import Progress
from stack.runtime import SERVICES, Runtime, ServiceStatus
from stack.venv import DEVELOP, SERVE, VirtualEnvironment
from toggles import TOGGLES

# From the start of Redis to its first answer, on a slow machine. STACK_START_TIMEOUT is the app's.
START_TIMEOUT_S = 60.0

# A unix socket's path has at most 107 bytes, and nginx accepts no blanks or quotes in it.
_SHORT = 80
_TMP = "/tmp"  # noqa: S108 - mkdtemp; TMPDIR may be as long as the path that is avoided
# The exit code of uwsgi/reload when it was interrupted and the old code goes on.
INTERRUPTED = 130
_PLAIN = re.compile(r"/[A-Za-z0-9/._-]*")


class LocalRuntime(Runtime):
    """One copy. With ``STACK_PORT=0`` and without a *run_dir* it is for one test or measurement:
    its files are in a temporary directory that ``down`` deletes.
    """

    kind = "local"
    # As paths in the checkout. Each gets the environment of stack.local.wiring.
    entrypoints: Mapping[str, str] = {
        "nginx": "nginx/entrypoint",
        "app": "uwsgi/entrypoint",
        "redis": "redis/entrypoint",
        "certificates": "certificates/entrypoint",  # with STACK_ACME
    }

    def __init__(
        self,
        environ: Mapping[str, str],
        checkout: Path = CHECKOUT,
        *,
        run_dir: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(environ, checkout, progress)
        self._throwaway = run_dir is None and environ.get("STACK_PORT") == "0"
        if self._throwaway:
            run_dir = Path(tempfile.mkdtemp(prefix="stack-", dir=_TMP))
        self.run_dir = run_dir or checkout / "run" / self.name
        self._state_file = self.run_dir / "state.json"
        self._nginx_loaded = self.run_dir / "nginx.loaded"  # what _nginx_digest() was
        self._venv = VirtualEnvironment(checkout, self._progress)
        self._child: subprocess.Popen[bytes] | None = None

    # ── Up ──────────────────────────────────────────────────────────────────────────────────────

    def up(self, services: Sequence[str] = SERVICES) -> None:
        with self._locked():
            if self.is_up():
                return
            self._refuse_while_dev_runs()
            try:
                self._end()
                self._prepare(services)
                self._start(services)
            except BaseException:
                # Also for a Ctrl-C: the terminal's signal does not reach another session.
                self._end()
                if self._throwaway:
                    shutil.rmtree(self.run_dir, ignore_errors=True)
                raise

    def _refuse_while_dev_runs(self) -> None:
        state = State.load(self._state_file)
        if state and state.supervisor() and set(state.services) != set(SERVICES):
            raise StackError(
                f"`make dev` is using the {', '.join(state.services)} of this copy",
                "stop it first, or make up STACK_NAME=another",
            )

    def _prepare(self, services: Sequence[str]) -> None:
        """Do everything that can fail before a process is started."""
        project.variables(self._checkout, os.environ)
        whole = "nginx" in services
        servers, pins = (programs.SERVERS, SERVE) if whole else (programs.REDIS, DEVELOP)
        if whole:
            for variable, port in self._published_ports().items():
                ports.require(self.toggles["STACK_BIND"], port, variable)
        if self._with_acme(services):
            self._refuse_acme()
            servers = (*servers, programs.CERTBOT)
        programs.ensure((*servers, *self._venv.needs(pins)), self._progress)
        self._venv.ensure(pins)
        for directory in ("logs", "secrets", "data", "app-data", "redis", "uwsgi", "static"):
            (self.run_dir / directory).mkdir(parents=True, exist_ok=True)
        (self.run_dir / "secrets").chmod(0o700)
        self._move_old_logs()

    def _with_acme(self, services: Sequence[str]) -> bool:
        return bool(self.toggles["STACK_ACME"]) and "nginx" in services

    def _refuse_acme(self) -> None:
        acme = f"STACK_ACME={self.toggles['STACK_ACME']!r}"
        public = self.toggles["STACK_ACME_SERVER"] in ("production", "staging")
        if public and self.toggles["STACK_PORT"] != "80":
            fault = f"{acme}: Let's Encrypt asks at port 80, and STACK_PORT is not 80"
            raise StackError(fault, "set STACK_PORT=80")
        for name in ("TLS_CERT_FILE", "TLS_KEY_FILE"):
            if self._settings.get(name):
                raise StackError(f"{acme} and {name} are both set", "set one of them")

    def _start(self, services: Sequence[str]) -> None:
        run = self._short_run_directory()
        purposes = ("app", "metrics", "status", "certificates")
        internal = {purpose: ports.free() for purpose in purposes}
        supervisor = Supervisor(run, self._checkout, self._venv.bin)
        self._child = supervisor.start(
            self.name,
            {
                service: self._checkout / path
                for service, path in self.entrypoints.items()
                if service != "certificates" or self._with_acme(services)
            },
            self._environment(run, self.toggles, internal, self._venv.bin),
        )
        started = processes.find(self._child.pid)
        state = State(
            boot_id=processes.boot_id(),
            supervisor_pid=self._child.pid,
            supervisor_started_ticks=started.started_ticks if started else 0,
            run=str(run),
            services=list(services),
            ports=internal,
            toggles=self.toggles,
        )
        if started:
            state.save(self._state_file)
        supervisor.wait_until_it_answers(self._child, START_TIMEOUT_S)
        self._progress.step("starting redis")
        supervisor.start_program("redis")
        self._wait(supervisor, ("redis",), lambda: self._redis_answers(run), START_TIMEOUT_S)
        if "nginx" in services:
            self.write_static_files()
            self._write_app_environment(state)
            self._progress.step("starting app and nginx")
            supervisor.start_program("app")
            supervisor.start_program("nginx")
            most = float(self.toggles["STACK_START_TIMEOUT"])
            self._wait(supervisor, ("app", "nginx"), self._ready, most)
            self._nginx_loaded.write_text(self._nginx_digest(), encoding="ascii")
            if self._with_acme(services):
                supervisor.start_program("certificates")

    def write_static_files(self) -> None:
        """Write hashed copies for nginx; open pages still need those of earlier versions."""
        self._progress.step("writing static files")
        made = subprocess.run(
            [self._venv.python, "-P", "app/assets.py", self.run_dir / "static"],
            cwd=self._checkout, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise StackError("app/assets.py failed", log=made.stderr.strip())

    def _wait(
        self,
        supervisor: Supervisor,
        services: Sequence[str],
        ready: Callable[[], bool],
        most: float,
    ) -> None:
        """Return when *ready*; raise StackError when one of *services* ends, or after *most* s."""
        programs = supervisor.programs()
        first = {service: programs[service]["pid"] for service in services}
        begun = time.monotonic()
        while True:
            programs = supervisor.programs()
            for service in services:
                running = programs[service]["statename"] in ("STARTING", "RUNNING")
                if not running or programs[service]["pid"] != first[service]:
                    raise self._failed(service, "does not start")
            if ready():
                return
            waited = time.monotonic() - begun
            if waited > most:
                late = f"runs but does not answer after {most:.0f} s (STACK_START_TIMEOUT)"
                raise self._failed(services[0], late)
            if waited > 2:
                self._progress.detail(f"waiting for {services[0]}: {waited:.0f} of {most:.0f} s")
            time.sleep(0.05)

    def _failed(self, service: str, how: str) -> StackError:
        log = self.run_dir / "logs" / f"{service}.log"
        remedy = "the end of its log is above" if self._throwaway else f"see {log}"
        return StackError(f"{service} {how}", remedy, log=self.log(service, lines=12))

    def log(self, service: str, *, lines: int | None = None) -> str:
        log = self.run_dir / "logs" / f"{service}.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return text if lines is None else "\n".join(text.splitlines()[-lines:])

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

    def _environment(
        self, run: Path, toggles: Mapping[str, str], internal: Mapping[str, int], binaries: Path
    ) -> dict[str, str]:
        environ = wiring.environment(
            run,
            self._checkout,
            binaries,
            toggles=toggles,
            ports=internal,
            settings=self._settings,
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

    def _end(self) -> None:
        state = State.load(self._state_file)
        if state is None:
            if self._child is not None:  # interrupted before the state was saved
                self._child.kill()
                self._child.wait()
                self._child = None
            return
        supervisor = self._supervisor(state)
        if state.supervisor() and supervisor.answers():
            for service, info in ((s, supervisor.programs()[s]) for s in SERVICES):
                if info["pid"]:
                    self._progress.step(f"stopping {service}")
                supervisor.stop_program(service)
            supervisor.shutdown()
            deadline = time.monotonic() + 10
            while state.supervisor() and time.monotonic() < deadline:
                time.sleep(0.02)
        # supervisord itself if it hangs, or the services of one that was killed.
        processes.end(state.processes())
        if self._child is not None:
            self._child.wait()
            self._child = None
        run = Path(state.run)
        for leftover in ("supervisor.sock", "redis.sock", "supervisord.pid"):
            (self.run_dir / leftover).unlink(missing_ok=True)
        if run.is_symlink():
            shutil.rmtree(run.parent, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)

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
        return state is not None and bool(state.processes())

    def state(self) -> State:
        """The state of this copy, of which at least one process runs."""
        state = State.load(self._state_file)
        if state is None or not state.processes():
            raise StackError(f"the stack {self.name} is not up", "make up")
        if not Path(state.run, "supervisor.sock").exists():
            raise StackError(
                f"{state.run} was deleted while the stack {self.name} runs", "make down up"
            )
        return state

    def running_toggles(self) -> dict[str, str]:
        return self.state().toggles

    def main_pids(self) -> dict[str, int]:
        """By service: the pid that supervisord started; 0 for one that does not run."""
        state = self.state()
        if state.supervisor() is None:
            return dict.fromkeys(state.services, 0)
        programs = self._supervisor(state).programs()
        return {service: programs[service]["pid"] for service in state.services}

    def status(self) -> list[ServiceStatus]:
        if not self.is_started():
            return []
        state = self.state()
        where = {
            "nginx": public_address(state.toggles),
            "app": f"uwsgi:{self._app_listens_at(state)}",
            "redis": f"unix:{state.run}/redis.sock",
        }
        result = []
        for service, pid in self.main_pids().items():
            main = processes.find(pid)
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

    def _answers(self, service: str, state: State) -> bool:
        if service == "redis":
            return self._redis_answers(Path(state.run))
        if service == "app":
            # The same check as in the container.
            check = f"{self._checkout}/uwsgi/healthcheck.py"
            command = [str(self._venv.python), "-S", check, self._app_listens_at(state)]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return probes.http_status(f"http://127.0.0.1:{state.ports['status']}/nginx-health") == 200

    @staticmethod
    def _app_listens_at(state: State) -> str:
        if state.toggles["STACK_SOCKET"] == "unix":
            return f"{state.run}/app.sock"
        return f"127.0.0.1:{state.ports['app']}"

    @staticmethod
    def _redis_answers(run: Path) -> bool:
        return probes.redis_answers(run / "redis.sock", run / "secrets" / "redis-password")

    def logs(self, follow: bool = True) -> int:
        return logs.show(self.run_dir / "logs", SERVICES, follow=follow)

    # ── Reload ──────────────────────────────────────────────────────────────────────────────────

    def reload(self) -> None:
        """Reload nginx and the app; static files first, because new pages link to them."""
        self.require_up()
        self.write_static_files()
        self.reload_nginx()
        # A setting of nginx's as well would be in force in one of the two only.
        changed = self.changed()
        applied = {k: v for k, v in changed.items() if TOGGLES[k].readers == ("app",)}
        left = {k: v for k, v in changed.items() if k not in applied}
        self.not_applied(left, "a reload changes settings of the app only")
        self.swap(applied)

    def reload_nginx(self) -> None:
        """Let nginx read its files again, only if they have changed.

        It then closes idle connections, and a request that arrives on one meanwhile has no answer.
        """
        self._progress.step("checking nginx's configuration")
        self.check_nginx(self.service_environment())
        digest, loaded = self._nginx_digest(), self._nginx_loaded
        if not loaded.exists() or loaded.read_text(encoding="ascii") != digest:
            self._progress.step("reloading nginx")
            self._supervisor(self.state()).signal_program("nginx", "HUP")
            loaded.write_text(digest, encoding="ascii")

    def _nginx_digest(self) -> str:
        """Return a digest of all files that nginx reads when it starts, certificates included."""
        top = Path(self.state().run, "nginx", "conf")
        files = sorted(
            Path(at, name) for at, _, found in os.walk(top, followlinks=True) for name in found
        )
        return hashlib.sha256(b"".join(map(Path.read_bytes, files))).hexdigest()

    def check_nginx(self, environ: Mapping[str, str]) -> None:
        """Write nginx's configuration and test it. Raises StackError if it is not valid."""
        checked = subprocess.run(
            [self._checkout / "nginx" / "entrypoint", "--check"],
            cwd=self._checkout, env=environment_of("nginx", environ),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if checked.returncode != 0:
            raise StackError(
                "nginx's new configuration is not valid; the old one stays in use",
                log=checked.stderr.strip(),
            )

    def swap(self, applied: Mapping[str, str], binaries: Path | None = None) -> None:
        """Start the app anew beside itself, with the settings *applied*, from *binaries*.

        Ctrl-C ends the new one, unless it serves already.
        """
        self._progress.step("replacing the app's workers")
        state = self.state()
        new = replace(
            state,
            toggles={**state.toggles, **applied},
            binaries=str(binaries or state.binaries),
        )
        file = self.run_dir / "environment.json"
        former = file.with_suffix(".former")
        former.unlink(missing_ok=True)
        former.hardlink_to(file)
        self._write_app_environment(new)
        # In a group of its own, so that Ctrl-C does not end it before its outcome is known.
        environ = {**os.environ, "APP_RUN": f"{state.run}/uwsgi"}
        with subprocess.Popen(
            [self._checkout / "uwsgi" / "reload"],
            cwd=self._checkout, env=environ, process_group=0,
        ) as reload:  # fmt: skip
            try:
                code = reload.wait()
            except KeyboardInterrupt:
                reload.terminate()
                code = reload.wait()
        if code != 0:
            # The app still runs with the old settings, and would start again with the file's.
            former.replace(file)
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            raise StackError("the app did not start with its new code", "see `make logs`")
        new.save(self._state_file)

    def _write_app_environment(self, state: State) -> None:
        """Write the file from which uwsgi/entrypoint takes its environment at each reload."""
        environ = environment_of("app", self._environment_of(state))
        environ |= project.variables(self._checkout, environ)
        file = self.run_dir / "environment.json"
        fresh = file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(environ), encoding="utf-8")
        fresh.replace(file)

    def environment_read_at(self) -> float:
        return (self.run_dir / "environment.json").stat().st_mtime

    def service_environment(self) -> dict[str, str]:
        """The environment of the running services, for a program that uses the same Redis."""
        return self._environment_of(self.state())

    def _environment_of(self, state: State) -> dict[str, str]:
        binaries = Path(state.binaries or self._venv.bin)
        return self._environment(Path(state.run), state.toggles, state.ports, binaries)

    def _in_app(self, *command: str) -> list[str]:
        binaries = self.state().binaries or self._venv.bin
        return [f"{binaries}/{command[0]}", *command[1:]]

    def _app_environment(self) -> Mapping[str, str]:
        return environment_of("app", self.service_environment())

    def _supervisor(self, state: State) -> Supervisor:
        return Supervisor(Path(state.run), self._checkout, self._venv.bin)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Serialise commands on this copy: a second `make up` waits and finds it up."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with (self.run_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
