"""People who use the app inside this process: its test client, in front of a real Redis."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.security import SecurityManager
from docs.examples.sqlite_users import SqliteUsers
from tests.servers.redis import RedisServer

PASSWORD = "a long and quiet walk"
OTHER_PASSWORD = "another walk, by the sea"
_numbers = count(1)


def sqlite_manager(folder: Path) -> type[SecurityManager]:
    class Users(SqliteUsers):
        path = str(folder / "users.sqlite")

    class SqliteManager(SecurityManager):
        user_store = Users

    return SqliteManager


def make_app(
    redis: RedisServer,
    manager: type[SecurityManager] = SecurityManager,
    *,
    budget: float = 10,
    **environ: str,
) -> Flask:
    """Return an app that waits longer for Redis than a real one: *budget* seconds a request.

    A busy machine may stop Redis for a second, and the circuit that this opens fails the requests
    after it too.
    """
    app = create_app(redis.environ | environ, security_manager_class=manager)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.extensions["redis"].budget = budget
    return app


def new_name() -> str:
    return f"ada-{next(_numbers)}"


class Browser:
    """One person's browser: it keeps cookies and fills in forms. It does not follow redirects."""

    def __init__(self, app: Flask, address: str = "192.0.2.1", agent: str = "Firefox/1") -> None:
        self.app = app
        self.client = app.test_client()
        self.name = ""
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
        """Post to *path* with the token of *page*, where its form is (default: *path*)."""
        return self.post(path, {**fields, "csrf_token": self.token(page or path)})

    def register(self, name: str, password: str = PASSWORD) -> TestResponse:
        self.name = name
        return self.send("/auth/register", name=name, password=password, repeated=password)

    def log_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.send("/auth/login", name=name, password=password)

    def write(self, title: str = "A title", text: str = "A text") -> str:
        """Publish a post and return its address."""
        answer = self.send("/posts/", title=title, text=text)
        assert answer.status_code == 303, answer.text
        return answer.location

    def log_out(self) -> TestResponse:
        return self.send("/auth/logout", page="/auth/login")

    @property
    def session_id(self) -> str | None:
        cookie = self.client.get_cookie(self.app.config["SESSION_COOKIE_NAME"])
        return None if cookie is None else cookie.value

    def who(self) -> str | None:
        """The account that the server takes this browser for, or None."""
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
    return with_role(app, "admin", **browser)


def with_role(app: Flask, role: str, **browser: str) -> tuple[Browser, str]:
    """A new account with that role, logged in."""
    person, name = member(app, **browser)
    security = app.extensions["security"]
    security.change_roles(security.find(name), grant=[role])
    assert person.log_in(name).status_code == 303
    return person, name
