"""A PostgreSQL server for one test, from Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stack import ports
from tests.waiting import wait_until


def programs() -> Path | None:
    """Return the folder of initdb and postgres, which Debian keeps off PATH; None without them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class PostgreSql:
    """An empty database; `url` is for SQLAlchemy with psycopg."""

    def __init__(self, address: str) -> None:
        folder = programs()
        assert folder, "PostgreSQL is not installed"
        self._programs, self._address, self._port = folder, address, ports.free(address)
        self.url = f"postgresql+psycopg://shop@{address}:{self._port}/postgres"
        # PostgreSQL refuses root.
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._data = Path(tempfile.mkdtemp(prefix="postgresql-"))
        shutil.chown(self._data, self._user)
        initdb = [folder / "initdb", "--no-sync", "--auth=trust", "--username=shop", self._data]
        subprocess.run(initdb, user=self._user, cwd=self._data, check=True, capture_output=True)
        with (self._data / "pg_hba.conf").open("a") as access:
            access.write("host all all all trust\n")
        self._start()

    def _start(self) -> None:
        at = ["-D", self._data, "-h", self._address, "-p", str(self._port), "-k", self._data, "-F"]
        self._server = subprocess.Popen(
            [self._programs / "postgres", *at],
            user=self._user, cwd=self._data, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ready = [self._programs / "pg_isready", "--quiet", "-h", self._address]

        def answers() -> bool:
            assert self._server.poll() is None, "PostgreSQL has ended"
            return not subprocess.run([*ready, "-p", str(self._port)], check=False).returncode

        wait_until(answers, 60)

    def _stop(self) -> None:
        self._server.send_signal(signal.SIGINT)  # does not wait for its clients
        self._server.wait(30)

    def restart(self) -> None:
        """Close all connections and start again."""
        self._stop()
        self._start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Meanwhile no process of it runs; the kernel still accepts connections."""
        server = psutil.Process(self._server.pid)
        stopped = [server]
        server.suspend()
        try:
            for child in server.children():
                # Some live for a moment only.
                with suppress(psutil.NoSuchProcess):
                    child.suspend()
                    stopped.append(child)
            yield
        finally:
            for process in stopped:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def end(self) -> None:
        self._stop()
        shutil.rmtree(self._data)


@contextmanager
def postgresql(address: str = "127.0.0.1") -> Iterator[PostgreSql]:
    server = PostgreSql(address)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def running_postgresql(address: str = "127.0.0.1") -> Iterator[str]:
    """Yield the URL of an empty database, for SQLAlchemy with psycopg."""
    with postgresql(address) as server:
        yield server.url
