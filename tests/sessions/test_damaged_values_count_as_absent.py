"""Damaged values in Redis raise nothing: the session counts as absent, and the log names its key
without its content.
"""

import logging
import random

import pytest

from app.sessions import codec, store
from tests.sessions.pages import client_of, cookie_of, logged_in, make_app

DECODED = 100_000
STORED, BATCH = 10_000, 500
SECRET = b"fuzzed-content-that-no-log-may-show"


@pytest.fixture(scope="module")
def redis_client(redis):
    return client_of(redis)


@pytest.fixture(scope="module")
def app(redis_client):
    return make_app(redis_client)


def fuzzed(random_, seeds):
    """Noise, or a real value with flipped bits, cut or extended."""
    kind = random_.randrange(5)
    if kind == 0:
        return random_.randbytes(random_.randrange(40))
    value = bytearray(random_.choice(seeds))
    if kind == 1:
        return bytes(value[: random_.randrange(len(value) + 1)])
    if kind == 2:
        return bytes(value) + random_.randbytes(random_.randrange(1, 9))
    for _ in range(random_.randrange(1, 4)):
        value[random_.randrange(len(value))] = random_.randrange(256)
    return bytes(value)


def seeds():
    from datetime import UTC, datetime
    from uuid import uuid4

    from markupsafe import Markup

    values = [
        1,
        -1,
        2**70,
        1.5,
        None,
        True,
        "text",
        "\0",
        b"bytes",
        (1, ("a",)),
        [1, [2]],
        {"a": 1},
    ]
    values += [datetime.now(UTC), uuid4(), Markup("<b>"), {"d": [(1, None)] * 9}]
    values += [SECRET.decode(), [("message", Markup("<i>"))]]
    return [codec.encode(value) for value in values]


class Incidents(logging.Handler):
    """Counts log lines instead of keeping 6,000."""

    count = 0
    leaks = 0

    def emit(self, record):
        line = record.getMessage()
        self.count += "is damaged" in line
        self.leaks += SECRET.decode() in line


def test_a_hundred_thousand_values():
    """Decodes as the store does, without the round trips."""
    random_, originals = random.Random(20261121), seeds()
    records = (store._read([b"a", fuzzed(random_, originals)]) for _ in range(DECODED))
    absent = sum(record is None for record in records)
    # Some of the noise is valid, so neither side is empty.
    assert DECODED / 3 < absent < DECODED


def test_values_in_redis_through_the_interface(redis_client, app):
    random_ = random.Random(20261121)
    interface, originals = app.session_interface, seeds()
    cookies = [cookie_of(logged_in(app)) for _ in range(BATCH)]
    keys = [interface._store._key(cookie) for cookie in cookies]
    absent = 0
    logger = logging.getLogger("app.sessions")
    logger.addHandler(log := Incidents())
    logger.propagate = False
    try:
        for _ in range(STORED // BATCH):
            redis_client.pipeline([("HSET", key, "a", fuzzed(random_, originals)) for key in keys])
            for cookie in cookies:
                environ = {"REQUEST_METHOD": "GET", "HTTP_COOKIE": f"session={cookie}"}
                opened = interface.open_session(app, app.request_class(environ))
                absent += dict(opened) == {}
    finally:
        logger.propagate = True
        logger.removeHandler(log)
    assert STORED / 3 < absent < STORED
    assert (log.count, log.leaks) == (absent, 0)


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "text"),
        ("RPUSH", "a", "b"),
        ("SADD", "a"),
        ("ZADD", "1", "a"),
        ("HSET", "a", "b"),
        ("HSET", "@seen", "x", "@end", "y"),
        ("HSET", "@seen", "nan", "@end", "nan"),
        ("HSET", "@seen", "1e308", "@end", "1e309", "a", "\xff"),
        ("HSET", "@seen", "1e18", "@end", "1e18", "@@", b"\xc1"),
        ("HSET", "@seen", "1e18", "@end", "1e18", b"\xff\xfe", b"\xc0"),
        ("HSET", "@seen", "1e18", "@end", "1e18", "a", b"\x91" * 50_000),
        ("HSET", "@seen", "1e18", "@end", "1e18", "a", b"\xdd\xff\xff\xff\xff"),
        ("HSET", "@seen", "1e18", "@end", "1e18", "a", b"\xc6\xff\xff\xff\xff"),
    ],
)
def test_another_thing_in_its_place(redis_client, app, command):
    browser = logged_in(app)
    key = app.session_interface._store._key(cookie_of(browser))
    redis_client.execute("UNLINK", key)
    redis_client.execute(command[0], key, *command[1:])
    assert browser.get("/all").json == {}
    assert browser.post("/set/b", json=1).status_code == 200
    assert browser.get("/all").json == {"b": 1}


def test_a_damaged_session_hinders_neither_logins_nor_the_end_of_all_sessions(redis_client, app):
    """More logins than a user may have sessions, so that the oldest is looked for."""
    cookies = [cookie_of(logged_in(app, "often")) for _ in range(3)]
    store = app.session_interface._store
    redis_client.execute("UNLINK", store._key(cookies[0]))
    redis_client.execute("SET", store._key(cookies[0]), "text")
    redis_client.execute("HSET", store._key(cookies[1]), "@born", "x")
    assert len(app.session_interface.sessions_of("often")) == 2
    redis_client.execute("SET", store._key(cookies[2]), "text")
    for _ in range(app.session_interface.sessions_per_user):
        browser = logged_in(app, "often")
    assert browser.get("/whoami").status_code == 200
    assert app.session_interface.revoke_user("often") > 0
    assert app.session_interface.sessions_of("often") == []


def test_a_value_in_the_users_list_breaks_no_list(redis_client, app):
    browser = logged_in(app, "listed")
    store = app.session_interface._store
    redis_client.execute(
        "ZADD", store._list_key(store._tags("listed")[0]), 9e15, b"\xff not a handle"
    )
    assert len(app.session_interface.sessions_of("listed")) == 1
    assert browser.get("/whoami").status_code == 200


def test_nothing_is_ever_unpickled(redis_client, app):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    browser = logged_in(app)
    key = app.session_interface._store._key(cookie_of(browser))
    redis_client.execute("HSET", key, "a", pickle.dumps(Bomb()))
    assert browser.get("/all").json == {}
