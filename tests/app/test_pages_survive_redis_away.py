"""While Redis is down, public pages are served and pages that need a session answer 503 quickly."""

import time

import pytest

from app.redis_client.client import BUDGET
from tests.people import in_process
from tests.waiting import wait_until

pytestmark = pytest.mark.quiet

# A second is promised, and BUDGET of it are waits for Redis. The rest is for a busy machine.
WITHIN = 2 * BUDGET


@pytest.fixture(scope="module")
def member(redis):
    return in_process.member(in_process.make_app(redis, budget=BUDGET, STACK_WORKLOAD="on"))[0]


def wait_until_back(member):
    """Each request tests for 10 ms whether Redis is back; a busy machine may need several."""
    wait_until(lambda: member.get("/home").status_code == 200)


@pytest.fixture
def away(redis, member):
    wait_until_back(member)
    redis.kill()
    yield
    redis.start()


def test_the_user_is_known_while_redis_is_up(member):
    wait_until_back(member)
    assert member.name in member.get("/").text
    assert member.get("/readyz").json == {"ready": True, "redis": "up"}


def test_the_front_page_is_served_without_claiming_who_the_visitor_is(away, member):
    start = time.monotonic()
    answer = member.get("/")
    assert time.monotonic() - start < WITHIN
    assert answer.status_code == 200
    assert "temporarily unavailable" in answer.text
    assert "Register" not in answer.text
    assert "Set-Cookie" not in answer.headers


def test_an_anonymous_visitor_sees_the_usual_front_page(away, member):
    answer = member.client.application.test_client().get("/")
    assert answer.status_code == 200
    assert "Log in" in answer.text


@pytest.mark.parametrize("path", ["/home", "/workload/protected", "/auth/whoami"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_pages_that_need_a_session_are_503(away, member, path, accept):
    start = time.monotonic()
    answer = member.get(path, Accept=accept)
    assert time.monotonic() - start < WITHIN
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.mimetype == accept
    assert "Set-Cookie" not in answer.headers


def test_alive_but_not_ready(away, member):
    assert member.get("/livez").status_code == 200
    assert member.get("/version").status_code == 200
    seconds = []
    for _ in range(3):  # a busy machine may delay one of them
        time.sleep(1.05)  # the cached result is valid for a second
        start = time.monotonic()
        answer = member.get("/readyz")
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 0.15
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_users_are_still_logged_in_when_redis_is_back(redis, member):
    redis.kill()
    assert member.get("/home").status_code == 503
    redis.start()
    wait_until_back(member)
    assert member.name in member.get("/").text
