"""Accounts in this process: a real Redis with the stack's own access list, and either user store.

A test file takes what it needs by assignment, `redis, app = accounts.redis, accounts.app`. Each of
its tests then runs once with users in Redis and once with users in SQLite.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.security import SecurityManager
from docs.examples.sqlite_users import SqliteUsers

ROOT = Path(__file__).parents[1]
PASSWORD = "a long and quiet walk"
OTHER_PASSWORD = "another walk, by the sea"
_numbers = count(1)


@dataclass
class Redis:
    """A Redis that redis/entrypoint has started: the app may do here what it may in the stack."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "REDIS_URL": f"unix://app@{self.folder}/redis.sock?db=0",
            "REDIS_PASSWORD_FILE": str(self.folder / "password"),
            "SECRET_KEY_FILE": str(self.folder / "key"),
        }


@contextmanager
def redis_server() -> Iterator[Redis]:
    # Not pytest's tmp_path: a unix socket's path may be 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="accounts-"))
    (folder / "key").write_text(os.urandom(32).hex())
    environ = os.environ | {
        "REDIS_LISTEN": f"{folder}/redis.sock",
        "REDIS_RUN": str(folder),
        "REDIS_DATA": str(folder),
        "REDIS_PASSWORD_FILE": f"{folder}/password",
    }
    server = subprocess.Popen([ROOT / "redis/entrypoint"], env=environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (folder / "redis.sock").exists():
            assert server.poll() is None and time.monotonic() < deadline, "no Redis"
            time.sleep(0.02)
        yield Redis(folder)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def sqlite_manager(folder: Path) -> type[SecurityManager]:
    class Users(SqliteUsers):
        path = str(folder / "users.sqlite")

    class SqliteManager(SecurityManager):
        user_store = Users

    return SqliteManager


def make_app(
    redis: Redis, manager: type[SecurityManager] = SecurityManager, **environ: str
) -> Flask:
    app = create_app(redis.environ | environ, security_manager_class=manager)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module", params=["redis users", "sqlite users"])
def app(request: pytest.FixtureRequest, redis: Redis) -> Flask:
    if request.param == "redis users":
        return make_app(redis)
    return make_app(redis, sqlite_manager(redis.folder))


def new_name() -> str:
    return f"ada-{next(_numbers)}"


class Browser:
    """One person's browser: keeps cookies, does not follow redirects, fills in forms."""

    def __init__(self, app: Flask, address: str = "192.0.2.1", agent: str = "Firefox/1") -> None:
        self.app = app
        self.client = app.test_client()
        self.environ = {"REMOTE_ADDR": address, "HTTP_USER_AGENT": agent}

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers=headers, environ_overrides=self.environ)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> TestResponse:
        return self.client.post(path, data=fields, headers=headers, environ_overrides=self.environ)

    def token(self, page: str) -> str:
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.get(page).text)
        assert found, f"{page} has no form"
        return found.group(1)

    def send(self, path: str, page: str | None = None, **fields: str) -> TestResponse:
        """Post to *path* with the token of the page that its form stands on (default: *path*)."""
        return self.post(path, {**fields, "csrf_token": self.token(page or path)})

    def register(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.send("/auth/register", name=name, password=password, repeated=password)

    def log_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.send("/auth/login", name=name, password=password)

    def log_out(self) -> TestResponse:
        return self.send("/auth/logout", page="/auth/login")

    @property
    def session_id(self) -> str | None:
        cookie = self.client.get_cookie(self.app.config["SESSION_COOKIE_NAME"])
        return None if cookie is None else cookie.value

    def who(self) -> str | None:
        """The name that the server knows this browser by; None: nobody."""
        answer = self.get("/auth/whoami", Accept="application/json")
        assert answer.status_code in {200, 401}, answer.text
        return answer.json["name"] if answer.status_code == 200 else None


def member(app: Flask, **browser: str) -> tuple[Browser, str]:
    """A new account, logged in."""
    person, name = Browser(app, **browser), new_name()
    assert person.register(name).status_code == 303
    return person, name


def admin(app: Flask, **browser: str) -> tuple[Browser, str]:
    """A new account with the role admin, logged in."""
    person, name = member(app, **browser)
    security = app.extensions["security"]
    security.change_roles(security.find(name), grant=["admin"])
    assert person.log_in(name).status_code == 303
    return person, name
