"""Data of the session's user is read in the session's own round trip, and returned only to them."""

from typing import Any

import pytest
from flask import Flask, jsonify, session

from app.redis_client import Client, Command
from tests.servers.redis import RedisServer
from tests.sessions.pages import client_of, logged_in, make_app


class Counting:
    """A client that counts its round trips."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.trips = 0

    def pipeline(self, commands: Any, **options: Any) -> Any:
        self.trips += 1
        return self._client.pipeline(commands, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def client(redis: RedisServer) -> Counting:
    return Counting(client_of(redis))


def read_name(user: str) -> Command:
    return ("GET", f"account:name:{user}")


@pytest.fixture
def app(client: Counting) -> Flask:
    app = make_app(client)

    @app.get("/name")
    def name() -> Any:
        reply = session.prefetched(read_name)
        return jsonify(reply and reply.decode())

    return app


def test_the_second_request_needs_one_trip(app: Flask, client: Counting) -> None:
    client.execute("SET", "account:name:ann", "Ann B.")
    browser = logged_in(app)
    assert browser.get("/name").json is None, "the process does not know yet whose session it is"
    before = client.trips
    assert browser.get("/name").json == "Ann B."
    assert client.trips - before == 1
    client.execute("SET", "account:name:ann", "Ann C.")
    assert browser.get("/name").json == "Ann C."


def test_the_data_of_another_user_is_not_returned(app: Flask, client: Counting) -> None:
    client.execute("SET", "account:name:eve", "Eve")
    browser = logged_in(app)
    browser.get("/name")
    owners = app.session_interface._store._owners
    assert list(owners.values()) == ["ann"]
    for tag in owners:
        owners[tag] = "eve"
    assert browser.get("/name").json is None
    assert list(owners.values()) == ["ann"], "corrected by the reply"


def test_a_failed_prefetch_does_not_harm_the_session(app: Flask, client: Counting) -> None:
    browser = logged_in(app)
    browser.get("/name")
    client.execute("DEL", "account:name:ann")
    client.execute("LPUSH", "account:name:ann", "not a string")
    assert browser.get("/whoami").json == "ann"
    client.execute("DEL", "account:name:ann")


def test_the_memory_of_owners_is_bounded(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.sessions.store._OWNERS", 3)
    for number in range(8):
        browser = logged_in(app, f"user{number}")
        browser.get("/name")
    assert len(app.session_interface._store._owners) <= 3
