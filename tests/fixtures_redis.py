"""A Redis of the test's own, started by redis/entrypoint as both runtimes start it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ROOT = Path(__file__).resolve().parents[1]
# A refusal is what several tests are about; redis-py would ask again and again.
NO_RETRY = Retry(NoBackoff(), 0)


class OwnRedis:
    """redis-server behind redis/entrypoint, on a unix socket or on a port."""

    def __init__(self, directory: Path, listen: str | None = None, **environ: str) -> None:
        self.directory = directory
        self.password_file = directory / "password"
        self.socket = directory / "socket" / "redis.sock"
        self._environ = {
            "PATH": os.environ["PATH"],
            "REDIS_LISTEN": listen or str(self.socket),
            "REDIS_RUN": str(directory / "run"),
            "REDIS_DATA": str(directory / "data"),
            "REDIS_PASSWORD_FILE": str(self.password_file),
            **environ,
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [ROOT / "redis" / "entrypoint"],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.connect("monitor") as client:
                    client.ping()
                return
            except (OSError, redis.RedisError):
                assert self.process.poll() is None, self.process.communicate()[0]
                assert time.monotonic() < deadline, "redis does not answer"
                time.sleep(0.02)

    @property
    def password(self) -> str:
        return self.password_file.read_text()

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
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=20)
