"""A running instance of the stack for the lab, in either runtime.

Beside `stack.runtime.Runtime` the lab needs process ids of this machine, the counters of nginx and
Redis, a reload in a given mode, and an immediate stop.
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
from toggles import TOGGLES

ReloadMode = Literal["chain", "full"]

_COMPOSE_FILE = Path(__file__).with_name("compose.yml")


class Instance(Protocol):
    """Every method raises StackError when it fails."""

    @property
    def runtime(self) -> LocalRuntime | ComposeRuntime: ...

    def main_pids(self) -> dict[str, int]:
        """Service → the pid of its first process on this machine."""

    def host_pid(self, pid: int, members: list[int]) -> int:
        """The pid on this machine of the one of *members* whose own namespace calls it *pid*."""

    def nginx_status(self) -> str:
        """The answer of stub_status, which counts this request as well."""

    def redis_statistics(self) -> str:
        """``INFO commandstats`` as the user `monitor`: one AUTH and one INFO."""

    def reload(self, mode: ReloadMode) -> None:
        """Replace uWSGI's workers and return when the new ones serve."""

    def stop(self) -> None:
        """Kill it and delete its data."""


class LocalInstance:
    """Local processes."""

    def __init__(
        self, environ: Mapping[str, str], server: AppServer, progress: Progress | None
    ) -> None:
        self.runtime = LocalRuntime(environ, progress=progress, server=server)

    def main_pids(self) -> dict[str, int]:
        return self.runtime.main_pids()

    def host_pid(self, pid: int, members: list[int]) -> int:  # noqa: ARG002 - one pid namespace
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
                        raise StackError("Redis refuses the user `monitor`")
                    length = int(answer.readline()[1:])
                    return answer.read(length).decode()
        except (OSError, ValueError) as error:
            raise StackError(f"Redis' counters cannot be read ({error})") from error

    def reload(self, mode: ReloadMode) -> None:
        environ = {**self.runtime.service_environment(), **_reload_setting(mode)}
        done = subprocess.run(
            [os.fspath(CHECKOUT / "uwsgi" / "reload")],
            cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise StackError("the workers were not replaced", log=done.stdout + done.stderr)

    def stop(self) -> None:
        self.runtime.kill()


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

    def nginx_status(self) -> str:
        ask = r"exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /status HTTP/1.0\r\n\r\n' >&3; cat <&3"
        return self.runtime.compose("exec", "-T", "nginx", "bash", "-c", ask)

    def redis_statistics(self) -> str:
        ask = (
            "REDISCLI_AUTH=$(cat /secrets/redis/password) "
            "redis-cli --no-auth-warning --user monitor INFO commandstats"
        )
        return self.runtime.compose("exec", "-T", "redis", "sh", "-c", ask)

    def reload(self, mode: ReloadMode) -> None:
        setting = [f"--env={name}={value}" for name, value in _reload_setting(mode).items()]
        self.runtime.compose("exec", "-T", *setting, "app", "/srv/uwsgi/reload", timeout_s=300)

    def stop(self) -> None:
        # `down` alone waits for a graceful stop.
        self.runtime.compose("kill")
        self.runtime.down(volumes=True)


def _reload_setting(mode: ReloadMode) -> dict[str, str]:
    """uwsgi/reload chooses the mode by this setting, which an experiment may override."""
    return {"STACK_LAZY_APPS": "on" if mode == "chain" else "off"}


def members(main: int) -> list[int]:
    """The living processes of the service whose first process is *main*."""
    return sorted(process.pid for process in processes.family(main)) if main else []
