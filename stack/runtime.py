"""What both runtimes have in common, containers and local processes."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import toggles
from stack import ports, probes
from stack.address import known_host, public_address
from stack.errors import StackError
from stack.progress import Progress

# In the order of a request's path.
SERVICES = ("nginx", "app", "redis")


@dataclass(frozen=True)
class ServiceStatus:
    """One service as `make status` shows it. ``id`` is a pid or a container's name."""

    service: str
    id: str
    address: str
    healthy: bool
    uptime_s: float | None
    memory_bytes: int | None


def shown(settings: Mapping[str, str]) -> str:
    """Return *settings* for a message: without the values that may hold a password."""
    return ", ".join(
        name if toggles.TOGGLES[name].secret else f"{name}={value}"
        for name, value in settings.items()
    )


class Runtime(ABC):
    """One copy of the stack. Every method raises StackError when it fails.

    *environ* holds the ``STACK_*`` values; others have their defaults. ``STACK_PORT=0`` takes free
    ports. As a library: ``with LocalRuntime({"STACK_PORT": "0"}) as stack: stack.address()``.
    """

    kind: ClassVar[str]

    def __init__(
        self, environ: Mapping[str, str], checkout: Path, progress: Progress | None
    ) -> None:
        self._settings = dict(environ)
        any_port = self._settings.get("STACK_PORT") == "0"
        if any_port:
            del self._settings["STACK_PORT"]
        try:
            # What `up` starts a copy with.
            self.toggles = toggles.read(self._settings)
        except toggles.ToggleError as error:
            raise StackError(str(error)) from error
        if any_port:
            for variable in ("STACK_PORT", "STACK_TLS_PORT"):
                self.toggles[variable] = str(ports.free(self.toggles["STACK_BIND"]))
                self._settings[variable] = self.toggles[variable]
        if self.toggles["STACK_ACME"] and not (checkout / "certificates").is_dir():
            raise StackError("STACK_ACME: this copy was made without certificates/", "unset it")
        self.name = self.toggles["STACK_NAME"]
        self._checkout = checkout
        self._progress = progress or Progress()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @abstractmethod
    def up(self) -> None:
        """Start what does not run and return once the stack answers; on failure leave nothing."""

    @abstractmethod
    def down(self, *, volumes: bool = False) -> None:
        """Stop this copy; with *volumes*, delete its data and secrets as well."""

    @abstractmethod
    def is_up(self) -> bool: ...

    def require_up(self, remedy: str = "make up") -> None:
        """Raises StackError, which names the services that do not answer, if it is not up."""
        if not self.is_up():
            silent = ", ".join(each.service for each in self.status() if not each.healthy)
            if silent:
                fault = f"{silent} of the stack {self.name} does not answer"
                raise StackError(fault, "`make logs` shows why; `make up` starts what has ended")
            raise StackError(f"the stack {self.name} is not up", remedy)

    @abstractmethod
    def running_toggles(self) -> dict[str, str]:
        """The toggles that the running services were started with; those of today may differ."""

    @abstractmethod
    def status(self) -> list[ServiceStatus]: ...

    @abstractmethod
    def reload(self) -> None:
        """Load the app's new code without refusing a request."""

    @contextlib.contextmanager
    def changing(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the copy's lock. Reloads share it; *alone*, for a deploy, excludes all others."""
        file = self._checkout / "run" / f"{self.name}.lock"
        file.parent.mkdir(exist_ok=True)
        with file.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_NB | (fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            except BlockingIOError:
                fault = f"a {'deploy or reload' if alone else 'deploy'} of {self.name} is under way"
                raise StackError(fault, "repeat the command when it is done") from None
            yield

    @abstractmethod
    def logs(self, follow: bool = True) -> int:
        """Print the services' logs, each line with its service; return an exit code."""

    @abstractmethod
    def log(self, service: str, *, lines: int | None = None) -> str:
        """Return the log of *service* since its start, or the last *lines* of it."""

    def flask(self, *arguments: str, quiet: bool = False) -> int:
        """Run ``flask`` on the running app, with this terminal's input; return its exit code."""
        command = self._in_app("flask", "--app", self.running_toggles()["STACK_APP"], *arguments)
        output = subprocess.DEVNULL if quiet else None
        # Flask would read the stack's .env, or advise a package that does.
        environ = {**self._app_environment(), "FLASK_SKIP_DOTENV": "1"}
        return subprocess.run(
            command, cwd=self._checkout, env=environ, stderr=output, check=False
        ).returncode

    @abstractmethod
    def _in_app(self, *command: str) -> list[str]:
        """Return the command that runs *command* where the app runs."""

    @abstractmethod
    def _app_environment(self) -> Mapping[str, str]: ...

    def address(self) -> str:
        """Where the stack answers, such as ``http://127.0.0.1:8080``."""
        return public_address(self.running_toggles())

    def environment_read_at(self) -> float:
        """When the app last read its variables: at its start. In seconds since the epoch."""
        app = next(status for status in self.status() if status.service == "app")
        return time.time() - (app.uptime_s or 0)

    def _ready(self) -> bool:
        running = self.running_toggles()
        proxied = running["STACK_PROXY_PROTOCOL"] == "on"
        return probes.stack_answers(public_address(running), known_host(running), proxied=proxied)

    def changed(self) -> dict[str, str]:
        """The settings that were given to this command and are not those that run."""
        running = self.running_toggles()
        return {
            name: value
            for name, value in self.toggles.items()
            if name in self._settings and running.get(name) != value
        }

    def not_applied(self, changed: Mapping[str, str], why: str) -> None:
        if changed:
            self._progress.step(f"not applied: {shown(changed)}; {why}: `make down up` applies it")

    def _published_ports(self) -> dict[str, int]:
        names = ["STACK_PORT", *(["STACK_TLS_PORT"] if self.toggles["STACK_TLS"] == "on" else [])]
        return {name: int(self.toggles[name]) for name in names}
