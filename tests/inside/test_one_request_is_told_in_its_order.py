"""/inside shows the request that asked: its steps in order, nested, with times, without secrets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from flask import Flask, render_template

from app.redis_client import Client
from app.security import SecurityManager, User
from app.security.redis_users import RedisUserStore
from app.security.users import UserStore
from tests.people.in_process import PASSWORD, Browser, admin, make_app, member
from tests.servers.redis import RedisServer

ID = {"X-Request-ID": "0123456789abcdef0123456789abcdef"}
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def app(redis: RedisServer) -> Flask:
    return make_app(redis, STACK_INSIDE="users")


@pytest.fixture
def ada(app: Flask) -> Browser:
    return member(app)[0]


def steps(document: dict) -> list[tuple[int, str]]:
    return [(span["depth"], span["name"]) for span in document["spans"]]


def test_the_time_line_has_the_order_of_the_path(ada: Browser) -> None:
    found = ada.get("/inside/", **JSON, **ID).json
    names = [name for _, name in steps(found)]
    path = [
        "application(environ, start_response)",
        "contexts pushed",
        "open_session: an object, nothing is read yet",
        "before_request flask_wtf.csrf.csrf_protect",
        "before_request app.inside.guard",
        "Flask-Login loads the user",
        "one round trip",
        "view inside.index",
    ]
    assert [name for name in dict.fromkeys(names) if name in path] == path
    depths = {name: depth for depth, name in steps(found)}
    assert [depths[name] for name in path] == [0, 1, 1, 1, 1, 2, 3, 1]
    trip = next(span for span in found["spans"] if span["layer"] == "Redis")
    assert "Read a session and extend its idle timeout." in trip["detail"]
    assert trip["detail"].startswith("GET session:…")


def test_times_nest(ada: Browser) -> None:
    ada.get("/home", **ID).close()  # as a server does when it has sent the answer
    found = ada.get("/inside/?trace=" + ID["X-Request-ID"], **JSON).json
    assert found["path"] == "/home"
    assert found["facts"] == {
        "status": 200, "endpoint": "front.home", "rule": "/home", "arguments": [],
    }  # fmt: skip
    open_: list[dict] = []
    for span in found["spans"]:
        assert span["took_ms"] is not None, span
        del open_[span["depth"] :]
        for outer in open_:
            assert outer["begin_ms"] <= span["begin_ms"] + 0.002
            end = span["begin_ms"] + span["took_ms"]
            assert end <= outer["begin_ms"] + outer["took_ms"] + 0.002
        open_.append(span)
    names = [name for _, name in steps(found)]
    assert "template front/home.html" in names
    assert names.index("view front.home") < names.index("save_session") < len(names) - 2
    assert names[-2] == "contexts popped"
    assert names[-1] == "uWSGI iterates over the answer and closes it"


def test_the_facts_answer_at_a_glance(app: Flask, ada: Browser) -> None:
    ada.get("/home")  # Redis knows the scripts from now on
    page = " ".join(ada.get("/inside/", **ID).text.split())
    assert re.search(r"<dt>Redis was asked</dt><dd>once, \d+\.\d\d ms</dd>", page)
    assert "<dt>Matched rule</dt><dd>/inside/ for inside.index</dd>" in page
    assert "<dt>Waited for that thread</dt><dd>unknown: no nginx</dd>" in page
    ada.get("/version", **ID).close()  # it asks for no session
    root, _ = admin(app)
    page = " ".join(root.get("/inside/?trace=" + ID["X-Request-ID"]).text.split())
    assert "<dt>Redis was asked</dt><dd>nothing</dd>" in page


def test_a_trace_keeps_no_secret(app: Flask, redis: RedisServer, ada: Browser) -> None:
    ada.log_out()
    token = ada.token("/auth/login")
    fields = {"name": ada.name, "password": PASSWORD, "csrf_token": token}
    ada.post("/auth/login?next=/home%3Fcode%3Dwhisper", fields, **ID).close()
    key = "app:inside:" + ID["X-Request-ID"]
    kept = app.extensions["redis"].execute("GET", key).decode()
    assert json.loads(kept)["path"] == "/auth/login"
    assert json.loads(kept)["facts"]["status"] == 303
    assert "account:" in kept and ":ada" not in kept, "the name is part of a key"
    for secret in (PASSWORD, token, "whisper", ada.session_id):
        assert secret and secret not in kept
    assert 0 < app.extensions["redis"].execute("TTL", key) <= 180


def test_the_page_redacts_the_environ(ada: Browser) -> None:
    page = ada.get("/inside/", Authorization="Bearer whisper", **ID).text
    assert "<code>wsgi.multithread</code>" in page
    assert "HTTP_COOKIE" in page and "HTTP_AUTHORIZATION" in page
    assert ada.session_id not in page and "whisper" not in page


def test_others_see_their_own_and_admins_all(app: Flask, ada: Browser) -> None:
    ada.get("/home", **ID).close()  # as a server does when it has sent the answer
    address = "/inside/?trace=" + ID["X-Request-ID"]
    assert ada.get(address).status_code == 200
    assert member(app)[0].get(address).status_code == 404
    root, _ = admin(app)
    assert root.get(address).status_code == 200
    assert "kept for 180 s" in root.get("/inside/?trace=unknown").text


def test_a_stranger_sees_nothing(app: Flask) -> None:
    stranger = Browser(app)
    for page in ("/inside/", "/inside/workers", "/inside/ping", "/inside/wsgi"):
        assert stranger.get(page, **JSON).status_code == 401, page
    assert "Server-Timing" not in stranger.get("/").headers


def test_the_header_is_for_those_who_may_see(app: Flask, ada: Browser) -> None:
    header = ada.get("/home").headers["Server-Timing"]
    assert re.match(r"app;dur=\d+\.\d\d;desc=.+, redis;dur=\d", header)


def test_for_admins_only(redis: RedisServer) -> None:
    app = make_app(redis, STACK_INSIDE="admin")
    ada, (root, _) = member(app)[0], admin(app)
    assert ada.get("/inside/").status_code == 403
    assert "Server-Timing" not in ada.get("/home").headers
    assert ">Inside<" not in ada.get("/home").text
    assert root.get("/inside/").status_code == 200
    assert ">Inside<" in root.get("/home").text


def test_off_leaves_nothing(redis: RedisServer) -> None:
    program = (
        "import sys; from app import create_app; app = create_app()\n"
        "assert not [name for name in sys.modules if name.startswith('app.inside')]\n"
        "assert not [rule for rule in app.url_map.iter_rules() if 'inside' in rule.rule]\n"
        "assert type(app.wsgi_app).__name__ == 'method', app.wsgi_app\n"
    )
    environ = {**os.environ, **redis.environ}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("wsgi", "200 OK"),
        ("contexts", "/as/ben"),
        ("routing", "I am the app two"),
        ("sessions", "session"),
        ("preforking", "this is not uWSGI"),
        ("herd", "this is not uWSGI"),
        ("accept", "gunicorn"),
        ("start", "This is not uWSGI"),
        ("security", "app.security.redis_users.RedisUserStore"),
        ("security", '<code>inside.ping</code></td><td data-label="Permission">users.manage<'),
        ("security", "admin, moderator"),
        ("reload", "The next reload"),
    ],
)
def test_each_page_shows_live_objects(ada: Browser, name: str, shown: str) -> None:
    answer = ada.get(f"/inside/{name}")
    assert answer.status_code == 200
    assert shown in answer.text


def test_a_store_that_a_function_makes_is_named_by_its_class(redis: RedisServer) -> None:
    def store(user_model: type[User], client: Client) -> UserStore:  # as STACK_USERS_URL does it
        return RedisUserStore(user_model, client)

    class Manager(SecurityManager):
        user_store = staticmethod(store)

    page = member(make_app(redis, Manager, STACK_INSIDE="users"))[0].get("/inside/security").text
    assert "app.security.redis_users.RedisUserStore" in page


def test_two_requests_at_once_have_their_own_user(ada: Browser) -> None:
    page = ada.get("/inside/contexts").text
    rows = re.findall(r"/as/(\w+)</td><td [^>]*>(\w+)</td>.*?<code>(0x\w+)", page)
    assert [(path, user) for path, user, _ in rows] == [("ada", "ada"), ("ben", "ben")]
    assert rows[0][2] != rows[1][2]
    assert f"its user is still {ada.name}" in page


def test_pings_are_limited(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inside.MOST_PINGS", 3)
    root, _ = admin(app)
    assert [root.get("/inside/ping").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert member(app)[0].get("/inside/ping").status_code == 403


def test_an_unfinished_template_leaves_the_rest_whole(
    app: Flask, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that fails in its template: the steps after it are not inside of it."""
    broken = app.jinja_env.from_string("{{ 1 // 0 }}")
    monkeypatch.setattr("app.front.render_template", lambda _name: render_template(broken))
    answer = ada.get("/home", **ID)
    answer.close()
    assert answer.status_code == 500
    found = ada.get("/inside/?trace=" + ID["X-Request-ID"], **JSON).json
    assert {name: depth for depth, name in steps(found)}["save_session"] == 1
