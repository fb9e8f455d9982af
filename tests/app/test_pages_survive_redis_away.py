"""While Redis is away, public pages come up and call nobody anonymous; others are 503 in time."""

import time

import pytest

from tests.people import in_process
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def member(redis):
    return in_process.member(in_process.make_app(redis, STACK_WORKLOAD="on"))[0]


def wait_until_back(member):
    """The app looks whether Redis is back for 10 ms a request; a busy machine may need several."""
    wait_until(lambda: member.get("/posts/").status_code == 200, 10)


@pytest.fixture
def away(redis, member):
    wait_until_back(member)
    redis.kill()
    yield
    redis.start()


def test_before_and_after_somebody_is_known(member):
    wait_until_back(member)
    assert member.name in member.get("/").text
    assert member.get("/readyz").json == {"ready": True, "redis": "answers"}


def test_the_front_page_comes_up_and_says_what_it_does_not_know(away, member):
    start = time.monotonic()
    answer = member.get("/")
    assert time.monotonic() - start < 1
    assert answer.status_code == 200
    assert "Sessions are away" in answer.text
    assert "Register" not in answer.text
    assert "Set-Cookie" not in answer.headers


def test_a_stranger_sees_the_front_page_as_always(away, member):
    answer = member.client.application.test_client().get("/")
    assert answer.status_code == 200
    assert "Log in" in answer.text


@pytest.mark.parametrize("path", ["/posts/", "/workload/protected", "/auth/whoami"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_pages_that_need_a_session_are_503(away, member, path, accept):
    start = time.monotonic()
    answer = member.get(path, Accept=accept)
    assert time.monotonic() - start < 1
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.mimetype == accept
    assert "Set-Cookie" not in answer.headers


def test_alive_but_not_ready(away, member):
    assert member.get("/livez").status_code == 200
    assert member.get("/version").status_code == 200
    time.sleep(1.05)  # the answer from before may be a second old
    start = time.monotonic()
    answer = member.get("/readyz")
    assert time.monotonic() - start < 0.15
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_who_was_logged_in_still_is_when_redis_is_back(redis, member):
    redis.kill()
    assert member.get("/posts/").status_code == 503
    redis.start()
    wait_until_back(member)
    assert member.name in member.get("/").text
