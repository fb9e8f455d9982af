"""Messages that nobody fetches stay few, and a message that cannot be stored fails no request."""

import pytest
from flask import flash, get_flashed_messages

from tests.servers.redis import running_redis
from tests.sessions.pages import client_of, logged_in, make_app


@pytest.fixture
def app(redis):
    return with_flashes(make_app(client_of(redis)))


def with_flashes(app):
    done = app.extensions["done"] = []

    @app.post("/do/<int:size>")
    def do(size):
        done.append(size)
        flash(f"{len(done)}:" + "x" * size)
        return "done"

    @app.get("/flashes")
    def flashes():
        return [text.partition(":")[0] for text in get_flashed_messages()]

    return app


@pytest.mark.parametrize(("times", "size"), [(2000, 30), (60, 3000), (3, 60_000), (2, 70_000)])
def test_the_newest_are_kept(app, times, size):
    browser = logged_in(app)
    for _ in range(times):
        assert browser.post(f"/do/{size}").status_code == 200
    kept = browser.get("/flashes").json
    assert len(kept) <= 20
    if size < 60_000:
        assert kept[-1] == str(times)
    assert browser.get("/whoami").json == "ann"


def test_what_was_done_does_not_look_failed_when_the_message_cannot_be_stored():
    with running_redis() as server:
        app = with_flashes(make_app(client_of(server)))
        browser = logged_in(app)
        assert browser.post("/do/1").status_code == 200
        server.connect("monitor")
        app.session_interface._store._save = lambda *_: (
            "EVAL",
            "return redis.error_reply('OOM full')",
            0,
        )
        assert browser.post("/do/1").status_code == 200
        assert browser.post("/set/a", json=1).status_code == 503
