"""/readyz answers within 150 ms whatever Redis does, and pings it at most once a second."""

import threading
import time
from types import SimpleNamespace

import pytest

from app.ops import readiness as readiness_module
from app.ops.readiness import Readiness


def test_ready_if_redis_answers():
    assert Readiness(lambda: b"PONG", timeout=30).check() is True


def test_not_ready_if_redis_refuses():
    def refuse():
        raise ConnectionRefusedError

    assert Readiness(refuse).check() is False


@pytest.mark.quiet
def test_a_hanging_redis_costs_the_timeout_and_one_thread():
    release = threading.Event()
    first, others = [], []
    try:
        # A busy machine may delay one of them.
        for _ in range(3):
            readiness = Readiness(lambda: release.wait(60), max_age=0)
            before = threading.active_count()
            start = time.monotonic()
            assert readiness.check() is False
            first.append(time.monotonic() - start)
            start = time.monotonic()
            assert not any(readiness.check() for _ in range(20))
            others.append(time.monotonic() - start)
            assert threading.active_count() == before + 1
    finally:
        release.set()
    assert min(first) < 0.15
    assert min(others) < 0.15


def test_the_result_is_cached_until_it_expires(monkeypatch):
    asked = []
    readiness = Readiness(lambda: asked.append(1), timeout=30, max_age=3600)
    for _ in range(50):
        assert readiness.check()
    assert len(asked) == 1
    later = time.monotonic() + 3600
    monkeypatch.setattr(readiness_module, "time", SimpleNamespace(monotonic=lambda: later))
    assert readiness.check()
    assert len(asked) == 2


def test_concurrent_checks_share_one_ping():
    asked = []

    def slow():
        asked.append(1)
        time.sleep(0.03)

    readiness = Readiness(slow, timeout=30, max_age=3600)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(readiness.check())) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 16
    assert len(asked) == 1


def test_it_recovers():
    state = {"away": True}

    def ping():
        if state["away"]:
            raise ConnectionError

    readiness = Readiness(ping, timeout=30, max_age=0)
    assert readiness.check() is False
    state["away"] = False
    assert readiness.check() is True
