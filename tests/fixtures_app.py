"""The whole app in this process, with a real Redis beside it and without nginx and uWSGI.

For promises of the views themselves. What people see through the whole stack is in tests/browser.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app

PASSWORD = "correct-horse-battery-staple"


@dataclass
class RedisServer:
    """A Redis of our own on a unix socket, which can be taken away and brought back."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock?db=0"

    def start(self) -> None:
        socket = ["--port", "0", "--unixsocket", f"{self.folder}/redis.sock"]
        kept = ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen(
            ["redis-server", *socket, *kept, "--save", ""], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it has read its file: the socket is there before."""
        ping = ["redis-cli", "-s", f"{self.folder}/redis.sock", "ping"]
        return subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        (self.folder / "redis.sock").unlink(missing_ok=True)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    # Not pytest's tmp_path: a unix socket's path may be 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def make_app(redis: RedisServer, **environ: str) -> Flask:
    key = redis.folder / "key"
    key.write_text("k" * 64)
    app = create_app({"SECRET_KEY_FILE": str(key), "REDIS_URL": redis.url, **environ})
    app.testing = False  # errors as clients see them
    return app


class Person:
    """Somebody with a browser of their own, and an account."""

    def __init__(self, app: Flask, name: str) -> None:
        self.name = name
        self.client: FlaskClient = app.test_client()
        answer = self.post(
            "/auth/register", {"name": name, "password": PASSWORD, "repeated": PASSWORD}
        )
        assert answer.status_code == 303, answer.text

    def get(self, path: str, **options: object) -> TestResponse:
        return self.client.get(path, **options)

    def post(
        self, path: str, fields: dict[str, str] | None = None, form: str | None = None
    ) -> TestResponse:
        """Send a form with the token of the page that holds it (*form*, usually *path*)."""
        page = self.client.get(form or path).text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token, page
        return self.client.post(path, data={**(fields or {}), "csrf_token": token.group(1)})

    def write(self, title: str = "A title", text: str = "A text") -> str:
        """Publish a post and return its address."""
        answer = self.post("/posts/", {"title": title, "text": text})
        assert answer.status_code == 303, answer.text
        return answer.location
