"""A PostgreSQL server for one test, from Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import ports


def programs() -> Path | None:
    """Return the folder of initdb and postgres, which Debian keeps off PATH; None without them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def running_postgresql(address: str = "127.0.0.1") -> Iterator[str]:
    """Yield the URL of an empty database, for SQLAlchemy with psycopg."""
    folder = programs()
    assert folder, "PostgreSQL is not installed"
    # PostgreSQL refuses root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    data, port = Path(tempfile.mkdtemp(prefix="postgresql-")), ports.free(address)
    shutil.chown(data, user)
    initdb = [folder / "initdb", "--no-sync", "--auth=trust", "--username=shop", data]
    subprocess.run(initdb, user=user, cwd=data, check=True, capture_output=True)
    with (data / "pg_hba.conf").open("a") as access:
        access.write("host all all all trust\n")
    server = subprocess.Popen(
        [folder / "postgres", "-D", data, "-h", address, "-p", str(port), "-k", data, "-F"],
        user=user, cwd=data, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # No wait: the app's first connection may be refused until the server has started.
        ready = [folder / "pg_isready", "--quiet", "-h", address, "-p", str(port), "-t", "30"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert server.poll() is None, "PostgreSQL has ended"
        yield f"postgresql+psycopg://shop@{address}:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for its clients
        server.wait(30)
        shutil.rmtree(data)
