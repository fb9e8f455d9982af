"""Members log in from one address. Together they stay below nginx's limit for it."""

from loadtest import login_queue
from toggles import TOGGLES

NGINX_BURST = 10


def test_reserved_logins_never_exceed_the_limit() -> None:
    now = 0.0
    queue = login_queue.LoginQueue(0.9 * 30, clock=lambda: now)
    turns = [queue.reserve() for _ in range(60)]
    assert turns[: login_queue.BURST] == [0.0] * login_queue.BURST
    # nginx's own arithmetic: a bucket that drains by half a login a second.
    level, last = 0.0, 0.0
    for turn in sorted(turns):
        level, last = max(0.0, level - (turn - last) * 0.5) + 1, turn
        assert level <= 1 + NGINX_BURST
    assert turns[-1] < 60 / 27 * 60


def test_a_pause_restores_the_burst_and_no_more() -> None:
    now = 0.0
    queue = login_queue.LoginQueue(60, burst=3, clock=lambda: now)
    assert [queue.reserve() for _ in range(4)] == [0, 0, 0, 1]
    assert queue.wait_seconds() == 2
    now = 1000.0
    assert queue.wait_seconds() == 0
    assert [queue.reserve() for _ in range(4)] == [1000, 1000, 1000, 1001]


def test_the_default_is_the_default_of_the_stack() -> None:
    assert TOGGLES["STACK_LOGIN_RATE"].default == login_queue.DEFAULT_LOGIN_RATE


def test_without_a_limit_logins_are_still_spread() -> None:
    queue = login_queue.login_queue({"STACK_LOGIN_RATE": "0"})
    turns = [queue.reserve() for _ in range(108)]
    assert 15 < turns[-1] - turns[0] < 25
