"""An app that misbehaves as the real one cannot be made to, and `python -m loadtest` to load it.

It has the pages that the test users visit, with sessions and CSRF tokens in memory. A test switches
its faults on: another account's identity, wrong statuses, refusals.
"""

import itertools
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from stack.checkout import CHECKOUT

Answer = tuple[int, str, dict[str, str]]


@dataclass
class StandIn:
    """The app. *fault* gets the method and path of each request and may answer it."""

    leak: str = ""  # where another account is shown: "whoami", "page" or "post"
    fault: Callable[[str, str], Answer | None] = lambda method, path: None
    registration_logs_in: bool = True
    accounts: dict[str, dict[str, str]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: dict[str, tuple[str, str]] = field(default_factory=dict)  # path → (author, body)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
        sid = cookies["session"].value if "session" in cookies else ""
        status, text, headers = self.fault(method, path) or self.answer(method, path, form, sid)
        self.log.append((method, path, status))
        headers.setdefault("Content-Type", "text/html; charset=utf-8")
        headers["X-Request-ID"] = secrets.token_hex(16)
        data = text.encode()
        headers["Content-Length"] = str(len(data))
        start_response(f"{status} Whatever", list(headers.items()))
        return [data]

    def answer(self, method: str, path: str, form: dict[str, str], sid: str) -> Answer:  # noqa: PLR0911
        session = self.sessions.get(sid, {})
        user = session.get("name")
        if path.startswith("/static/"):
            return 200, "body {}", {"Content-Type": "text/css"}
        if path in {"/readyz", "/version"}:
            return 200, "{}", {"Content-Type": "application/json"}
        if path == "/":
            return 200, self.page(user, "Welcome"), {}
        if path == "/auth/whoami":
            return self.whoami(user)
        if method == "POST" and form.get("csrf_token") != session.get("token"):
            return 400, "CSRF", {}
        if path in {"/auth/login", "/auth/register"}:
            return self.enter(method, path, form, sid)
        if not user:
            return 302, "", {"Location": f"/auth/login?next={path}"}
        if path == "/auth/logout":
            del self.sessions[sid]
            return 302, "", {"Location": "/"}
        if path == "/home":
            return 200, self.page(user, "Home", session["token"]), {}
        return self.post_pages(method, path, form, session)

    def enter(self, method: str, path: str, form: dict[str, str], sid: str) -> Answer:
        if method == "GET":
            sid = sid if sid in self.sessions else secrets.token_hex(8)
            session = self.sessions.setdefault(sid, {"token": secrets.token_hex(8)})
            again = '<input type="password" name="again">' if path.endswith("register") else ""
            fields = f'<input name="name"><input type="password" name="password">{again}'
            text = self.page(None, _form(path, session["token"], fields))
            return 200, text, {"Set-Cookie": f"session={sid}; HttpOnly; Path=/"}
        name = form["name"]
        if path.endswith("register"):
            assert name not in self.accounts, "registered twice"
            assert form["password"] == form["again"]
            self.accounts[name] = {"id": str(next(self.numbers)), "password": form["password"]}
            if not self.registration_logs_in:
                return 302, "", {"Location": "/auth/login"}
        elif self.accounts.get(name, {}).get("password") != form["password"]:
            return 200, self.page(None, "wrong password"), {}
        del self.sessions[sid]
        sid = secrets.token_hex(8)
        self.sessions[sid] = {"name": name, "token": secrets.token_hex(8)}
        return 302, "", {"Location": "/home", "Set-Cookie": f"session={sid}; HttpOnly; Path=/"}

    def post_pages(
        self, method: str, path: str, form: dict[str, str], session: dict[str, Any]
    ) -> Answer:
        user, token = session["name"], session["token"]
        fields = '<input name="title"><textarea name="text"></textarea>'
        if method == "POST" and path.endswith("/delete"):
            del self.posts[path.removesuffix("/delete")]
            return 302, "", {"Location": "/posts/"}
        if method == "POST":
            path = f"/posts/{next(self.numbers)}" if path == "/posts/" else path[: -len("/edit")]
            self.posts[path] = (user, form["text"])
            return 302, "", {"Location": path}
        if path == "/posts/":
            return 200, self.page(user, _form(path, token, fields), token), {}
        _, body = self.posts[path.removesuffix("/edit")]
        others = [post for post in self.posts.values() if post[0] != user]
        if self.leak == "post" and others:
            body = others[0][1]
        text = f"<article>{body}</article>"
        if path.endswith("/edit"):
            text += _form(path, token, fields)
        return 200, self.page(user, text, token), {}

    def whoami(self, user: str | None) -> Answer:
        if not user:
            return 401, "{}", {"Content-Type": "application/json"}
        shown = self.other(user) if self.leak == "whoami" else user
        text = f'{{"id": "{self.accounts[shown]["id"]}", "name": "{shown}"}}'
        return 200, text, {"Content-Type": "application/json"}

    def page(self, user: str | None, text: str, token: str = "") -> str:
        shown = self.other(user) if self.leak == "page" and user else user
        account = f"{shown} {_form('/auth/logout', token)}" if shown else "Log in"
        return (
            '<!doctype html><link rel="stylesheet" href="/static/style.0123456789ab.css">'
            f"<header><nav>{account}</nav></header><main>{text}</main>"
        )

    def other(self, user: str) -> str:
        return next((name for name in self.accounts if name != user), user)

    def statuses(self, pattern: str) -> list[int]:
        """Return the statuses of all requests whose "METHOD path" matches."""
        return [
            status for method, path, status in self.log if re.search(pattern, f"{method} {path}")
        ]


def _form(action: str, token: str, fields: str = "") -> str:
    hidden = f'<input type="hidden" name="csrf_token" value="{token}">'
    return f'<form method="post" action="{action}">{hidden}{fields}<button>Go</button></form>'


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve *app* on a free port of 127.0.0.1 and yield its address."""
    server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(**changes: str) -> dict[str, str]:
    """Return this environment with *changes*, and without variables that change a profile."""
    foreign = re.compile(r"(SMOKE|STEADY|RAMP|SPIKE|SOAK|LOADTEST|STACK)_|HOST$|ALLOW_REMOTE$")
    kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    return {**kept, **changes}


def start(*arguments: str, **changes: str) -> "subprocess.Popen[str]":
    """Start ``python -m loadtest`` with *arguments* and *changes* to its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=environment(**changes),
    )


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m loadtest`` to its end."""
    process = start(*arguments, **changes)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
