"""Round trips a request: none without the session, one to read it, one more to change it."""

import gc

import pytest

from tests.sessions.pages import client_of, cookie_of, logged_in, make_app


class Meter:
    """Counts with the server's counters. A round trip is a read from the client's socket."""

    def __init__(self, server):
        # The end of a connection is a read too, and the garbage of earlier tests has some.
        gc.collect()
        self._monitor = server.connect("monitor")
        self._monitor.ping()

    def cost(self, action):
        trips, commands = self._trips(), self._commands()
        answer = action()
        # Reading the counters takes a round trip.
        spent = self._trips() - trips
        after = self._commands()
        names = {name for name in after if after[name] != commands.get(name, 0)}
        return answer, spent - self._own, {n: after[n] - commands.get(n, 0) for n in names}

    _own = 2

    def _trips(self):
        return self._monitor.info("stats")["total_reads_processed"]

    def _commands(self):
        stats = self._monitor.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): entry["calls"]
            for name, entry in stats.items()
            if not name.endswith("info")
        }


@pytest.fixture(scope="module")
def app(any_redis):
    return make_app(client_of(any_redis))


@pytest.fixture
def meter(any_redis):
    return Meter(any_redis)


@pytest.fixture
def browser(app):
    """A logged-in client with a key to read. Redis has every script."""
    logged_in(app).post("/logout")
    browser = logged_in(app)
    browser.post("/set/a", json=1)
    browser.post("/rotate")
    return browser


def test_a_stranger_costs_nothing(app, meter):
    for path in ("/plain", "/get/a", "/static/conftest.py"):
        answer, trips, commands = meter.cost(lambda path=path: app.test_client().get(path))
        assert answer.status_code == 200
        assert (trips, commands) == (0, {})
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/plain", "/static/conftest.py"])
def test_an_untouched_session_costs_nothing(browser, meter, path):
    answer, trips, commands = meter.cost(lambda: browser.get(path))
    assert answer.status_code == 200
    assert (trips, commands) == (0, {})
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers


def test_a_read_is_one_round_trip(browser, meter):
    answer, trips, commands = meter.cost(lambda: browser.get("/get/a"))
    assert answer.json == 1
    assert trips == 1
    assert commands["evalsha"] == 1
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Vary"] == "Cookie"


def test_a_change_is_one_more(browser, meter):
    answer, trips, commands = meter.cost(lambda: browser.post("/set/a", json=2))
    assert answer.text == "set"
    assert trips == 2
    assert commands["evalsha"] == 2
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/login/ann", "/login/ben", "/rotate", "/delete/a", "/logout"])
def test_so_are_login_rotation_and_logout(browser, meter, path):
    _, trips, _ = meter.cost(lambda: browser.post(path))
    assert trips <= 2


def test_the_first_write_of_a_stranger_is_one_round_trip(app, meter):
    app.test_client().post("/set/a", json=1)  # Redis then has the script
    _, trips, _ = meter.cost(lambda: app.test_client().post("/set/a", json=1))
    assert trips == 1


def test_what_was_not_changed_is_not_written(browser, meter):
    browser.post("/set/nested", json={"list": [1]})
    for action in (
        lambda: browser.post("/set/a", json=1),
        lambda: browser.get("/all"),
        lambda: browser.post("/delete/never-there"),
    ):
        _, trips, commands = meter.cost(action)
        assert trips == 1
        assert "hset" not in commands
        assert "hdel" not in commands


def test_a_cookie_that_is_no_id_costs_nothing(app, meter):
    for forged in ("x", "a" * 54, "a" * 56, "ä" * 55, "a" * 54 + "/", "a" * 4000):
        browser = app.test_client()
        browser.set_cookie("session", forged)
        answer, trips, _ = meter.cost(lambda browser=browser: browser.get("/get/a"))
        assert (answer.json, trips) == (None, 0)


def test_redis_forgets_the_scripts_and_nobody_notices(any_redis, app):
    browser = logged_in(app)
    before = cookie_of(browser)
    any_redis.stop()
    any_redis.start()
    assert browser.get("/whoami").json == "ann"
    assert browser.post("/set/b", json=2).status_code == 200
    assert browser.post("/rotate").status_code == 200
    assert cookie_of(browser) != before
    assert browser.get("/get/b").json == 2
