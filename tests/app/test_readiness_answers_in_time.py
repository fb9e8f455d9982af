"""/readyz answers within 150 ms whatever Redis does, and asks it no more than once a second."""

import threading
import time

from app.ops.readiness import Readiness


def test_a_redis_that_answers_is_ready():
    assert Readiness(lambda: b"PONG").check() is True


def test_a_redis_that_refuses_is_not():
    def refuse():
        raise ConnectionRefusedError

    assert Readiness(refuse).check() is False


def test_a_redis_that_hangs_costs_the_budget_and_no_more_threads():
    release = threading.Event()
    readiness = Readiness(lambda: release.wait(30), fresh_for=0)
    try:
        before = threading.active_count()
        start = time.monotonic()
        assert readiness.check() is False
        assert time.monotonic() - start < 0.15
        start = time.monotonic()
        assert not any(readiness.check() for _ in range(20))
        assert time.monotonic() - start < 0.15
        assert threading.active_count() == before + 1
    finally:
        release.set()


def test_the_answer_is_kept_for_a_second_and_not_longer():
    asked = []
    readiness = Readiness(lambda: asked.append(1), fresh_for=0.3)
    for _ in range(50):
        assert readiness.check()
    assert len(asked) == 1
    time.sleep(0.35)
    assert readiness.check()
    assert len(asked) == 2


def test_many_at_once_share_one_question():
    asked = []

    def slow():
        asked.append(1)
        time.sleep(0.03)

    readiness = Readiness(slow)
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


def test_it_comes_back_by_itself():
    state = {"away": True}

    def ping():
        if state["away"]:
            raise ConnectionError

    readiness = Readiness(ping, fresh_for=0)
    assert readiness.check() is False
    state["away"] = False
    assert readiness.check() is True
