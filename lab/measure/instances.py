"""A running instance of the stack for the lab, in either runtime.

Beside `stack.runtime.Runtime` the lab needs process ids of this machine, the counters of nginx and
Redis, a reload in a given mode, and an immediate stop.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from lab.plan.servers import AppServer
from stack import probes, processes
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.local.state import State
from stack.progress import Progress
from toggles import TOGGLES

# uwsgi/reload itself fails after STACK_START_TIMEOUT.
RELOAD_WITHIN_S = 300

_COMPOSE_FILE = Path(__file__).with_name("compose.yml")


class Instance(Protocol):
    """Every method raises StackError when it fails."""

    @property
    def runtime(self) -> LocalRuntime | ComposeRuntime: ...

    def main_pids(self) -> dict[str, int]:
        """Service → the pid of its first process on this machine."""

    def metrics(self) -> str:
        """The exporter's Prometheus text."""

    def server_log(self) -> str:
        """The app server's log since its start."""

    def host_pid(self, pid: int, members: list[int]) -> int:
        """The pid on this machine of the one of *members* whose own namespace calls it *pid*."""

    def nginx_status(self) -> str:
        """The answer of stub_status, which counts this request as well."""

    def redis_statistics(self) -> str:
        """``INFO commandstats`` as the user `monitor`: one AUTH and one INFO."""

    def reload(self) -> None:
        """Reload as the stack does it, and return when the new workers serve."""

    def command_master(self, letter: str) -> None:
        """Write a command of uWSGI's master fifo, such as ``c`` for a chain reload."""

    def stop(self) -> None:
        """Kill it and delete its data."""


class LocalInstance:
    """Local processes."""

    def __init__(
        self,
        environ: Mapping[str, str],
        server: AppServer,
        progress: Progress | None,
        ini: Sequence[str] = (),
    ) -> None:
        self.runtime = LocalRuntime(environ, progress=progress)
        app = self._with_lines(ini) if ini else server.entrypoint
        entrypoints = {"nginx": server.nginx, "app": app}
        self.runtime.entrypoints = {**self.runtime.entrypoints, **entrypoints}

    def _with_lines(self, ini: Sequence[str]) -> str:
        """Copy uwsgi/ with *ini* at the end of uwsgi.ini; return the copy's entrypoint."""
        copy = self.runtime.run_dir / "with-lines" / "uwsgi"
        shutil.copytree(CHECKOUT / "uwsgi", copy)
        (copy.parent / "toggles").symlink_to(CHECKOUT / "toggles")
        with (copy / "uwsgi.ini").open("a", encoding="utf-8") as file:
            file.write("\n".join(("", *ini, "")))
        return os.fspath(copy / "entrypoint")

    def main_pids(self) -> dict[str, int]:
        return self.runtime.main_pids()

    def host_pid(self, pid: int, members: list[int]) -> int:  # noqa: ARG002 - one pid namespace
        return pid

    def metrics(self) -> str:
        return self._get("metrics", "/metrics")

    def server_log(self) -> str:
        return (self.runtime.run_dir / "logs" / "app.log").read_text(errors="replace")

    def nginx_status(self) -> str:
        return self._get("status", "/status")

    def _get(self, purpose: str, path: str) -> str:
        url = f"http://127.0.0.1:{self.runtime.state().ports[purpose]}{path}"
        try:
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(url, timeout=probes.TIMEOUT_S) as response:
                return str(response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            raise StackError(f"{url} cannot be read ({error})") from error

    def redis_statistics(self) -> str:
        try:
            password = (self.runtime.run_dir / "secrets" / "redis-password").read_text().strip()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(probes.TIMEOUT_S)
                connection.connect(f"{self.runtime.state().run}/redis.sock")
                connection.sendall(f"AUTH monitor {password}\r\nINFO commandstats\r\n".encode())
                with connection.makefile("rb") as answer:
                    if answer.readline() != b"+OK\r\n":
                        raise StackError("Redis refuses the user `monitor`")
                    length = int(answer.readline()[1:])
                    return answer.read(length).decode()
        except (OSError, ValueError) as error:
            raise StackError(f"Redis' counters cannot be read ({error})") from error

    def reload(self) -> None:
        try:
            done = subprocess.run(
                [os.fspath(CHECKOUT / "uwsgi" / "reload")],
                cwd=CHECKOUT, env=self.runtime.service_environment(),
                capture_output=True, text=True, check=False, timeout=RELOAD_WITHIN_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StackError(f"the reload took more than {RELOAD_WITHIN_S:g} s") from None
        if done.returncode != 0:
            raise StackError("the workers were not replaced", log=done.stdout + done.stderr)

    def command_master(self, letter: str) -> None:
        fifo = Path(self.runtime.state().run, "uwsgi", "current", "master.fifo")
        fifo.write_text(letter, encoding="ascii")

    def stop(self) -> None:
        state = State.load(self.runtime.run_dir / "state.json")
        if state is not None:
            kill(state.processes)
        self.runtime.down()


class ComposeInstance:
    """Containers on this machine's engine, under a unique name."""

    def __init__(self, environ: Mapping[str, str], progress: Progress | None) -> None:
        name = f"lab-{secrets.token_hex(4)}"
        self.runtime = ComposeRuntime(
            # All instances run the same images.
            {"IMAGE_NAME": TOGGLES["STACK_NAME"].default, **environ, "STACK_NAME": name},
            progress=progress,
            files=[_COMPOSE_FILE],
        )

    def main_pids(self) -> dict[str, int]:
        containers = self.runtime.containers()
        return {name: containers[name].pid for name in ("nginx", "app", "redis")}

    def host_pid(self, pid: int, members: list[int]) -> int:
        for member in members:
            text = Path(f"/proc/{member}/status").read_text(encoding="utf-8", errors="replace")
            numbers = next(line for line in text.splitlines() if line.startswith("NSpid:")).split()
            if int(numbers[-1]) == pid:
                return member
        raise StackError(f"process {pid} of the app's container is not visible on this machine")

    def metrics(self) -> str:
        ask = (
            "from urllib.request import urlopen;"
            "print(urlopen('http://127.0.0.1:9101/metrics', timeout=5).read().decode(), end='')"
        )
        return self.runtime.compose("exec", "-T", "app", "python3", "-c", ask)

    def server_log(self) -> str:
        return self.runtime.log("app")

    def nginx_status(self) -> str:
        ask = r"exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /status HTTP/1.0\r\n\r\n' >&3; cat <&3"
        return self.runtime.compose("exec", "-T", "nginx", "bash", "-c", ask)

    def redis_statistics(self) -> str:
        ask = (
            "REDISCLI_AUTH=$(cat /secrets/redis/password) "
            "redis-cli --no-auth-warning --user monitor INFO commandstats"
        )
        return self.runtime.compose("exec", "-T", "redis", "sh", "-c", ask)

    def reload(self) -> None:
        self.runtime.compose("exec", "-T", "app", "/srv/uwsgi/reload", timeout_s=RELOAD_WITHIN_S)

    def command_master(self, letter: str) -> None:
        write = f"printf {letter} >/tmp/uwsgi/current/master.fifo"
        self.runtime.compose("exec", "-T", "app", "sh", "-c", write)

    def stop(self) -> None:
        # `down` alone waits for a graceful stop.
        self.runtime.compose("kill")
        self.runtime.down(volumes=True)


def members(main: int) -> list[int]:
    """The living processes of the service whose first process is *main*."""
    return sorted(process.pid for process in processes.family(main)) if main else []


def kill(members: Callable[[], list[processes.Process]], *, timeout_s: float = 5.0) -> None:
    """Kill what *members* returns, again and again until it returns no process."""
    deadline = time.monotonic() + timeout_s
    while (living := members()) and time.monotonic() < deadline:
        # The oldest first: a master would replace its workers.
        for process in sorted(living, key=lambda p: (p.started_ticks, p.pid)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.005)
