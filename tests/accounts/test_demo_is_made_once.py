"""The demo account exists only on request, and once, however many workers start together."""

import multiprocessing

import pytest

from tests.people.in_process import Browser, make_app
from tests.servers.redis import running_redis
from tests.waiting import wait_until
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

CONTEXT = multiprocessing.get_context("fork")


def _start(redis, barrier):
    barrier.wait(60)
    make_app(redis, STACK_DEMO="on")


def everybody(app):
    return [user.name for user in app.extensions["security"].users.page(0, 100)]


def test_without_the_switch_there_is_no_account_at_all(redis):
    app = make_app(redis)
    assert everybody(app) == []
    assert Browser(app).log_in(DEMO_NAME, DEMO_PASSWORD).status_code == 401


def test_of_many_workers_one_makes_it():
    with running_redis() as redis:
        barrier = CONTEXT.Barrier(8)
        workers = [CONTEXT.Process(target=_start, args=(redis, barrier)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        app = make_app(redis, STACK_DEMO="on")
        assert everybody(app) == [DEMO_NAME]
        browser = Browser(app)
        assert browser.log_in(DEMO_NAME, DEMO_PASSWORD).status_code == 303
        assert not app.extensions["security"].find(DEMO_NAME).roles


def test_redis_may_come_up_later_than_the_app():
    with running_redis() as redis:
        hidden = redis.socket.rename(redis.folder / "hidden.sock")
        app = make_app(redis, STACK_DEMO="on")
        assert Browser(app).get("/").status_code == 200
        hidden.rename(redis.socket)
        # On a busy machine the first request can use up its budget for Redis and answer 503.
        browser = Browser(app)
        wait_until(lambda: browser.log_in(DEMO_NAME, DEMO_PASSWORD).status_code == 303)
        assert everybody(app) == [DEMO_NAME]


@pytest.mark.parametrize("name", ["Demo", "DEMO"])
def test_nobody_else_can_take_its_name(name):
    with running_redis() as redis:
        app = make_app(redis, STACK_DEMO="on")
        assert Browser(app).register(name).status_code == 400


def test_nobody_else_can_take_it_before_the_account_exists():
    with running_redis() as redis:
        hidden = redis.socket.rename(redis.folder / "hidden.sock")
        app = make_app(redis, STACK_DEMO="on")
        hidden.rename(redis.socket)
        assert everybody(app) == []
        assert Browser(app).register("Demo").status_code == 400
        assert Browser(app).log_in(DEMO_NAME, DEMO_PASSWORD).status_code == 303
