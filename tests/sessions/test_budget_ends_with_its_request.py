"""The time budget for Redis belongs to one request. Other work has a budget for each call, and its
failures do not make live requests fail fast.
"""

import threading
import time

import pytest
from flask import Flask, stream_with_context

from app.redis_client import StoreUnavailable, connect
from tests.servers.fault_proxy import FaultProxy
from tests.sessions.pages import logged_in, make_app

# Three replies of this delay exceed the budget together, and two do not: 0.5 s are left for what a
# busy machine does.
BUDGET = 2.0
DELAY = 0.75


@pytest.fixture(scope="module")
def proxy(redis):
    with FaultProxy(str(redis.socket)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy, redis):
    proxy.become("pass")
    client = connect(proxy.url, redis.password, budget=BUDGET)
    client.execute("PING")
    yield client
    proxy.become("pass")


def ping(client, times):
    return [client.execute("PING") for _ in range(times)] == [b"PONG"] * times


def test_a_context_that_is_never_saved_leaves_nothing_behind(client, proxy):
    app = make_app(client)
    with app.test_request_context():
        pass
    proxy.become("pass", delay=DELAY)
    assert ping(client, 4)


def test_a_request_that_raises_leaves_nothing_behind(client, proxy):
    app = make_app(client)
    app.testing = True  # the exception leaves the app, and no session is saved

    @app.get("/broken")
    def broken():
        client.execute("PING")
        raise LookupError

    with pytest.raises(LookupError):
        app.test_client().get("/broken")
    proxy.become("pass", delay=DELAY)
    assert ping(client, 4)


def test_a_request_inside_another_has_a_budget_of_its_own(client, proxy):
    app = make_app(client)
    proxy.become("pass", delay=DELAY)
    with app.test_request_context():
        assert ping(client, 2)
        with app.test_request_context():
            assert ping(client, 2)
        with pytest.raises(StoreUnavailable):
            ping(client, 2)


def test_an_app_with_other_sessions_has_the_budget_too(client, proxy):
    proxy.become("pass", delay=DELAY)
    with Flask("no sessions of ours").test_request_context(), pytest.raises(StoreUnavailable):
        ping(client, 4)


def test_a_stream_has_a_budget_for_each_call(client, proxy):
    app = make_app(client)

    @app.get("/stream")
    def stream():
        return stream_with_context(client.execute("PING").decode() for _ in range(4))

    proxy.become("pass", delay=DELAY)
    assert app.test_client().get("/stream").text == "PONG" * 4


def test_a_request_that_asks_too_often_does_not_make_others_fail_fast(redis, caplog):
    client = connect(redis.url, redis.password, budget=BUDGET)
    with Flask("app").test_request_context(), pytest.raises(StoreUnavailable, match="has used"):
        ping(client, 1_000_000)
    assert "failing fast" not in caplog.text


def test_a_request_whose_last_call_has_little_time_does_not_either(client, proxy, caplog):
    proxy.become("pass", delay=DELAY)
    with Flask("app").test_request_context(), pytest.raises(StoreUnavailable, match="has used"):
        ping(client, 3)
    assert "failing fast" not in caplog.text


def test_failed_work_outside_of_requests_does_not_make_requests_fail_fast(client, proxy):
    app = make_app(client)
    browser = logged_in(app)
    failures = []

    def work():
        try:
            client.execute("PING")
        except StoreUnavailable as error:
            failures.append(error)

    proxy.become("stall")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failures) == 1
    # Slower than the probe of an open circuit waits, and fast enough for a request.
    proxy.become("pass", delay=0.1)
    assert browser.get("/whoami").status_code == 200


def test_an_app_that_loads_connects_without_a_thread(redis, monkeypatch):
    """A thread that waits for a name server would keep uWSGI from forking its workers."""
    client = connect(redis.url, redis.password)
    original, threads = client._pool.make_connection, []

    def recording():
        threads.append(threading.current_thread())
        return original()

    monkeypatch.setattr(client._pool, "make_connection", recording)
    client.execute("PING")
    assert threads == [threading.current_thread()]


def test_one_thread_without_a_connection_does_not_make_the_others_fail_fast(
    client, redis, monkeypatch
):
    """Its name server does not answer; connections that exist do not need one."""
    app = make_app(client)
    browser = logged_in(app)
    unresolved = threading.Event()
    original = client._pool.make_connection

    def hanging():
        unresolved.wait(5)
        return original()

    monkeypatch.setattr(client._pool, "make_connection", hanging)
    statuses = []

    def newcomer():
        with app.test_request_context():
            try:
                client.execute("PING")
            except StoreUnavailable:
                statuses.append(503)

    thread = threading.Thread(target=newcomer)
    thread.start()
    while thread.is_alive():
        assert browser.get("/whoami").status_code == 200
        time.sleep(0.01)
    assert statuses == [503]
    assert browser.get("/whoami").status_code == 200
    unresolved.set()
