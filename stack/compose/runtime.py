"""The stack in containers: one Compose project per copy, run through the ``docker`` command.

docker-compose.yml is complete without this module, which builds, starts and watches it: `make up`
ends either with a stack that answers or with the reason why it does not.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stack import ports, programs, project
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import SERVICES, Runtime, ServiceStatus
from toggles import PREFIX, ToggleError
from toggles import read as read_toggles

# The default of docker-compose.yml and of every Dockerfile.
DEFAULT_BASE_IMAGE = "debian:trixie-slim"
# For what comes before the app's own start, which has STACK_START_TIMEOUT.
START_TIMEOUT_S = 60.0
# nginx's ports in the container, and the toggles that publish them.
_PORTS = {8443: "STACK_TLS_PORT", 8080: "STACK_PORT"}
_APP_ADDRESS = {"unix": "/run/app/uwsgi.sock", "tcp": "app:3031"}


@dataclass(frozen=True)
class Container:
    """The result of `docker inspect` for one container, as far as it is used here."""

    id: str
    name: str
    service: str
    pid: int
    checkout: str
    state: str
    health: str
    exit_code: int
    restarts: int
    started_at: str
    environment: Mapping[str, str]
    # Container port → address and port on the host.
    published: Mapping[int, tuple[str, str]]

    @classmethod
    def from_inspection(cls, answer: Mapping[str, Any]) -> Container:
        state, labels = answer["State"], answer["Config"]["Labels"]
        return cls(
            id=answer["Id"],
            name=answer["Name"].lstrip("/"),
            service=labels["com.docker.compose.service"],
            pid=state["Pid"],
            checkout=labels["com.docker.compose.project.working_dir"],
            state=state["Status"],
            health=state.get("Health", {}).get("Status", ""),
            exit_code=state["ExitCode"],
            restarts=answer["RestartCount"],
            started_at=state["StartedAt"],
            # A variable that Compose passes on and that is not set has no value here.
            environment=dict(pair.split("=", 1) for pair in answer["Config"]["Env"] if "=" in pair),
            published={
                int(port.partition("/")[0]): (bindings[0]["HostIp"], bindings[0]["HostPort"])
                for port, bindings in (answer["HostConfig"]["PortBindings"] or {}).items()
                if bindings
            },
        )

    @property
    def uptime_s(self) -> float | None:
        if self.state != "running":
            return None
        return time.time() - datetime.fromisoformat(self.started_at).timestamp()


class ComposeRuntime(Runtime):
    """One copy of the stack in containers.

    *environ* may also hold BASE_IMAGE, CA_BUNDLE and similar ones where they differ from this
    process's environment. *files* are further Compose files, read after the stack's own.
    """

    kind = "compose"

    def __init__(
        self,
        environ: Mapping[str, str],
        checkout: Path = CHECKOUT,
        *,
        progress: Progress | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        super().__init__(environ, checkout, progress)
        self._mine = f"label=com.docker.compose.project={self.name}"
        self._files = [checkout / "docker-compose.yml"]
        if self.toggles["STACK_TLS"] == "on":
            self._files.append(checkout / "docker-compose.tls.yml")
        if self.toggles["STACK_ACME"]:
            self._files.append(checkout / "certificates" / "compose.yml")
        # Overlays of .env, which plain `docker compose` reads there. The shell may have another
        # project's variable.
        named = environ.get("COMPOSE_FILE", "").split(os.pathsep)
        if named[0] == "docker-compose.yml":
            more = [checkout / name for name in named]
            self._files += [file for file in more if file not in self._files]
        self._files += files
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        # Without defaults: plain `docker compose up` must not find another configuration.
        known = {**inherited, **self._settings}
        known["CA_BUNDLE"] = known.get("CA_BUNDLE") or _python_ca_bundle(known)
        self.environ: Mapping[str, str] = known

    def up(self) -> None:
        before = self.containers()
        if not any(c.service == "nginx" and c.state == "running" for c in before.values()):
            self._require_ports()
        new = not before and not self.docker("volume", "ls", "--quiet", "--filter", self._mine)
        self.build()
        try:
            self._progress.step("starting the containers")
            self._start()
            self._progress.step("waiting until the stack answers")
            self._wait_until_ready()
        except BaseException:
            # A copy that ran before is left running: after half a deploy it may still serve.
            if not before:
                self.down(volumes=new)
            raise

    def down(self, *, volumes: bool = False) -> None:
        # With all profiles; otherwise the load test's container stays, and with it its network.
        arguments = ["--profile", "*", "down", "--remove-orphans"]
        self.compose(*arguments, *(["--volumes"] if volumes else []), timeout_s=300)

    def remove_images(self) -> None:
        """Delete the images of every service; the copy must be down."""
        self.compose("--profile", "*", "down", "--rmi", "all", timeout_s=300)

    def remove_leftovers(self) -> None:
        """Delete images, volumes and networks of this copy that no Compose file names any more."""
        for kind in ("image", "volume", "network"):
            if left := set(self.docker(kind, "ls", "--quiet", "--filter", self._mine).split()):
                self.docker(kind, "rm", *(["--force"] if kind == "image" else []), *left)

    def is_up(self) -> bool:
        running = {c.service for c in self.replicas() if c.state == "running"}
        return running >= set(SERVICES) and self._ready()

    def status(self) -> list[ServiceStatus]:
        # The engine's first health check comes seconds after the start; until then ours counts.
        good = {"healthy", "starting"} if self._ready() else {"healthy"}
        internal = {"redis": "redis:6379"}
        if self.replicas():
            internal["app"] = _APP_ADDRESS[self.running_toggles()["STACK_SOCKET"]]
        return [
            ServiceStatus(
                service=name,
                id=container.name,
                address=internal.get(name, self.address()),
                healthy=container.state == "running"
                and container.health in good
                and (name != "redis" or self._redis_answers(container)),
                uptime_s=container.uptime_s,
                memory_bytes=_memory_bytes(container.pid),
            )
            for name in SERVICES
            for container in self.replicas()
            if container.service == name
        ]

    def _redis_answers(self, container: Container) -> bool:
        """Ask it as the engine does, which calls it unhealthy only after half a minute."""
        ping = 'REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE") timeout 3 redis-cli --user monitor ping'
        return "PONG" in self.docker("exec", container.id, "sh", "-c", ping, check=False)

    def reload(self) -> None:
        """Replace the workers. They load the code of their image: new code needs a new image."""
        if not self.replicas():
            raise StackError(f"the stack {self.name} is not up", "make up")
        self._progress.step("replacing the workers")
        for container in self.replicas():
            if container.service == "app":
                command = ["docker", "exec", container.id, "/srv/uwsgi/reload"]
                if subprocess.run(command, env=self.environ, check=False).returncode != 0:
                    fault = f"the workers of {container.name} were not replaced"
                    log = self.log("app", lines=12)
                    raise StackError(fault, "the end of the app's log is above", log=log)
        self.not_applied(self.changed(), "a container's environment does not change")
        how = "deploy" if (self._checkout / "operate").is_dir() else "down up"
        self._progress.step(f"new code needs new images: `make {how}` deploys it")

    def logs(self, follow: bool = True) -> int:
        command = self.command("logs", *(["--follow"] if follow else []))
        try:
            code = subprocess.run(command, env=self.environ, check=False).returncode
        except KeyboardInterrupt:
            return 0
        stdout = select.poll()
        stdout.register(1, 0)
        if code and stdout.poll(0):
            raise BrokenPipeError  # `make logs | head`
        return code

    def log(self, service: str, *, lines: int | None = None) -> str:
        """The log of *service* since its container was created, both streams in their order."""
        container = self.containers().get(service)
        if container is None:
            raise StackError(f"{service} has no container", "make up")
        return self.log_of(container, lines=lines)

    def log_of(self, container: Container, *, lines: int | None = None) -> str:
        tail = [] if lines is None else ["--tail", str(lines)]
        return subprocess.run(
            ["docker", "logs", *tail, container.id],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        ).stdout  # fmt: skip

    def running_toggles(self) -> dict[str, str]:
        """The toggles of the existing containers; without any, those that `up` starts with."""
        containers = self.containers()
        given: dict[str, str] = {}
        for container in containers.values():
            given |= {k: v for k, v in container.environment.items() if k.startswith(PREFIX)}
        if "nginx" in containers:
            for port, name in _PORTS.items():
                if port in containers["nginx"].published:
                    given["STACK_BIND"], given[name] = containers["nginx"].published[port]
        if not given:
            return self.toggles
        try:
            return read_toggles({**given, "STACK_NAME": self.name})
        except ToggleError:
            return self.toggles  # the containers refused these values as well

    def containers(self) -> dict[str, Container]:
        """By service; for a scaled service, its first container."""
        return {container.service: container for container in reversed(self.replicas())}

    def replicas(self) -> list[Container]:
        """Every container of this copy, those of a scaled service in the order of their numbers."""
        services = ("--filter", self._mine, "--filter", "label=com.docker.compose.oneoff=False")
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc", *services).split()
        if not ids:
            return []
        # For one that was removed meanwhile `inspect` fails, but it still prints the others.
        text = self.docker("inspect", *ids, check=False)
        found = [Container.from_inspection(answer) for answer in json.loads(text or "[]")]
        return sorted(found, key=lambda container: (len(container.name), container.name))

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run ``docker compose`` on this copy and return its output."""
        return _output(self.command(*arguments), self.environ, timeout_s)

    def _require_ports(self) -> None:
        if not self.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
            return
        for variable, port in self._published_ports().items():
            # The engine publishes as root and may use ports below 1024.
            if port >= 1024 or os.geteuid() == 0:
                ports.require(self.toggles["STACK_BIND"], port, variable)

    def _require_base_image(self) -> None:
        image = self.environ.get("BASE_IMAGE") or DEFAULT_BASE_IMAGE
        if self.docker("images", "--quiet", image).strip():
            return
        self._progress.step(f"pulling {image}")
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", image], capture_output=True, text=True, check=False
        )
        if pulled.returncode != 0:
            raise StackError(
                f"{image} cannot be pulled ({_last_line(pulled.stderr)})",
                "without a registry, .ci/base-image builds it from Debian's packages",
            )

    def build(self) -> None:
        project.variables(self._checkout, self.environ)
        self._require_base_image()
        self._progress.step("building the images (minutes the first time, then seconds)")
        code, lines = programs.run_with_progress(
            self.command("--progress", "plain", "build"), self._progress, self.environ
        )
        if code == 0:
            return
        log = "\n".join(lines[-30:])
        if re.search("CERTIFICATE_VERIFY_FAILED|certificate verify failed", log):
            raise StackError(
                "pip does not trust the certificate of the package index",
                "behind a proxy that re-signs TLS: make up CA_BUNDLE=/path/to/its/certificates.pem",
                log=log,
            )
        raise StackError("the images could not be built", "the log above names the step", log=log)

    def _start(self) -> None:
        command = self.command("--progress", "plain", "up", "--detach", "--no-build")
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        if re.search("port is already allocated|address already in use", done.stderr):
            found = re.search(r":(\d+)(?: failed|: bind)", done.stderr)
            port = found[1] if found else self.toggles["STACK_PORT"]
            variable = "STACK_TLS_PORT" if port == self.toggles["STACK_TLS_PORT"] else "STACK_PORT"
            raise StackError(f"port {port} is taken", f"make up {variable}={int(port) + 1}")
        for container in self.replicas():
            self._raise_if_failed(container)
        raise StackError("the containers did not start", _last_line(done.stderr), log=done.stderr)

    def _wait_until_ready(self) -> None:
        most = START_TIMEOUT_S + float(self.toggles["STACK_START_TIMEOUT"])
        begun = time.monotonic()
        while True:
            if self._ready():
                return
            for container in self.replicas():
                self._raise_if_failed(container)
            waited = time.monotonic() - begun
            if waited > most:
                states = (f"{c.service} {c.state}" for c in self.containers().values())
                raise StackError(
                    f"the stack does not answer at {self.address()} ({', '.join(states)})",
                    "the end of the app's log is above",
                    log=self.log("app", lines=30),
                )
            if waited > 2:
                self._progress.detail(f"{waited:.0f} of {most:.0f} s (STACK_START_TIMEOUT + 60)")
            time.sleep(0.2)

    def _raise_if_failed(self, container: Container) -> None:
        if container.restarts == 0 and container.state not in {"exited", "dead", "restarting"}:
            return
        log = self.log(container.service, lines=60).rstrip()
        # An entrypoint prints one line for each value that it refuses, again at each restart.
        refused = dict.fromkeys(re.findall(r"^\w+/entrypoint: .+: must .+$", log, re.MULTILINE))
        remedy = "\n".join(refused) or "the end of its log is above"
        raise StackError(f"{container.service} does not start", remedy, log=log)

    def command(self, *arguments: str) -> list[str]:
        """Return ``docker compose`` for this copy, independent of COMPOSE_* in the environment."""
        files = (word for file in self._files for word in ("--file", str(file)))
        where = ["--project-name", self.name, "--project-directory", str(self._checkout)]
        # Without .env, whose values are in the environment already.
        return ["docker", "compose", "--env-file", os.devnull, *where, *files, *arguments]

    def _in_app(self, *command: str) -> list[str]:
        terminal = [] if sys.stdin.isatty() else ["-T"]
        return self.command("exec", *terminal, "app", *command)

    def _app_environment(self) -> Mapping[str, str]:
        return self.environ

    def docker(self, *arguments: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run ``docker`` and return its output; with *check*, raise StackError if it fails."""
        return _output(["docker", *arguments], self.environ, timeout_s, check=check)


def _python_ca_bundle(environ: Mapping[str, str]) -> str:
    """Return the certificates that pip uses on this machine, for pip in the build."""
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        if Path(environ.get(variable, "")).is_file():
            return environ[variable]
    return ""


def _memory_bytes(pid: int) -> int | None:
    """Return the memory charged to the control group of *pid*, without reclaimable file cache.

    None for a container that does not run or runs on another machine.
    """
    root = Path("/sys/fs/cgroup")
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        if old := re.search(r":memory:/(.*)", text):  # version 1
            group, charged, cache = root / "memory" / old[1], "usage_in_bytes", "total_"
        else:
            group, charged, cache = root / text.partition("0::/")[2].strip(), "current", ""
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int((group / f"memory.{charged}").read_text()) - int(
            statistics[f"{cache}inactive_file"]
        )
    except (OSError, KeyError):
        return None


def _output(
    command: Sequence[str], environ: Mapping[str, str], timeout_s: float, *, check: bool = True
) -> str:
    what = " ".join(command[:2])
    try:
        # In a group of its own: Ctrl-C reaches only this process, which decides what it ends.
        finished = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=timeout_s, check=False,
            process_group=0,
        )  # fmt: skip
    except FileNotFoundError:
        raise StackError("docker is not installed", "make up RUNTIME=local") from None
    except subprocess.TimeoutExpired:
        raise StackError(f"`{what}` did not answer within {timeout_s:.0f} s") from None
    if check and finished.returncode != 0:
        raise StackError(f"`{what}` failed", _last_line(finished.stderr), log=finished.stderr)
    return finished.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it gave no reason"
