"""A copy of the stack as the lab needs it, in either runtime: one interface over both.

Beside `stack.runtime.Runtime` the lab wants process ids on this machine, what nginx and Redis have
counted, a reload of a chosen kind, and an end without ceremony.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from stack import probes, processes
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import AppServer, LocalRuntime
from stack.progress import Progress

How = Literal["chain", "full"]

# No health probes while requests and CPU time are counted: nginx would count theirs, and each
# starts a Python in the app's container.
_LAB_COMPOSE = Path(__file__).resolve().parent / "compose.yml"


class Copy(Protocol):
    """One copy. Every method raises StackError when it cannot do what it says."""

    @property
    def runtime(self) -> LocalRuntime | ComposeRuntime: ...

    def main_pids(self) -> dict[str, int]:
        """By service: its first process, as this machine numbers it."""

    def own_pid(self, pid: int, members: list[int]) -> int:
        """What this machine calls the process that calls itself *pid*."""

    def nginx_status(self) -> str:
        """The answer of stub_status. Counts itself as a request."""

    def redis_statistics(self) -> str:
        """``INFO commandstats``, as the user `monitor`: one AUTH and one INFO."""

    def reload(self, how: How) -> None:
        """Replace uWSGI's workers in that way, and return when the new ones serve."""

    def stop(self) -> None:
        """End it at once, and forget its data."""


class LocalCopy:
    """Processes of this machine."""

    def __init__(
        self, environ: Mapping[str, str], server: AppServer, progress: Progress | None
    ) -> None:
        self.runtime = LocalRuntime(environ, progress=progress, server=server)

    def main_pids(self) -> dict[str, int]:
        return self.runtime.main_pids()

    def own_pid(self, pid: int, members: list[int]) -> int:  # noqa: ARG002 - one numbering here
        return pid

    def nginx_status(self) -> str:
        try:
            return probes.http_text(f"http://127.0.0.1:{self.runtime.ports()['status']}/status")
        except OSError as error:
            raise StackError(f"nginx's counters cannot be read ({error})") from error

    def redis_statistics(self) -> str:
        try:
            password = (self.runtime.run_dir / "secrets" / "redis-password").read_text().strip()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(probes.TIMEOUT_S)
                connection.connect(str(self.runtime.redis_socket()))
                connection.sendall(f"AUTH monitor {password}\r\nINFO commandstats\r\n".encode())
                with connection.makefile("rb") as answer:
                    if answer.readline() != b"+OK\r\n":
                        raise StackError("Redis does not let its monitor in")
                    length = int(answer.readline()[1:])
                    return answer.read(length).decode()
        except (OSError, ValueError) as error:
            raise StackError(f"Redis' counters cannot be read ({error})") from error

    def reload(self, how: How) -> None:
        _run_reload(
            [os.fspath(CHECKOUT / "uwsgi" / "reload")],
            {**self.runtime.service_environment(), **_way(how)},
        )

    def stop(self) -> None:
        self.runtime.kill()


class ComposeCopy:
    """Containers on this machine's engine, with a name of their own."""

    def __init__(self, environ: Mapping[str, str], progress: Progress | None) -> None:
        name = f"lab-{secrets.token_hex(4)}"
        self.runtime = ComposeRuntime(
            {**environ, "STACK_NAME": name}, progress=progress, files=[_LAB_COMPOSE]
        )

    def main_pids(self) -> dict[str, int]:
        containers = self.runtime.containers()
        return {name: containers[name].pid for name in ("nginx", "app", "redis")}

    def own_pid(self, pid: int, members: list[int]) -> int:
        for member in members:
            text = Path(f"/proc/{member}/status").read_text(encoding="utf-8", errors="replace")
            numbers = next(line for line in text.splitlines() if line.startswith("NSpid:")).split()
            if int(numbers[-1]) == pid:
                return member
        raise StackError(f"process {pid} of the app's container is not to be seen on this machine")

    def nginx_status(self) -> str:
        ask = r"exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /status HTTP/1.0\r\n\r\n' >&3; cat <&3"
        return self.runtime.compose("exec", "-T", "nginx", "bash", "-c", ask)

    def redis_statistics(self) -> str:
        ask = (
            "REDISCLI_AUTH=$(cat /secrets/redis/password) "
            "redis-cli --no-auth-warning --user monitor INFO commandstats"
        )
        return self.runtime.compose("exec", "-T", "redis", "sh", "-c", ask)

    def reload(self, how: How) -> None:
        way = [word for name, value in _way(how).items() for word in ("-e", f"{name}={value}")]
        self.runtime.compose("exec", "-T", *way, "app", "/srv/uwsgi/reload", timeout_s=300)

    def stop(self) -> None:
        # Killed first: `down` alone waits until everything has ended gracefully.
        self.runtime.compose("kill")
        self.runtime.down(volumes=True)


def _way(how: How) -> dict[str, str]:
    """uwsgi/reload takes the way from the setting; an experiment may want the other one."""
    return {"STACK_LAZY_APPS": "on" if how == "chain" else "off"}


def _run_reload(command: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise StackError("the workers were not replaced", log=(done.stdout + done.stderr).strip())


def members(main: int) -> list[int]:
    """The living pids of a service whose first process is *main*."""
    return sorted(process.pid for process in processes.family(main)) if main else []
