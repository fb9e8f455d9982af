"""All members log in from one address: together they stay below what nginx allows it."""

from loadtest import pacing
from toggles import TOGGLES

NGINX_BURST = 10


def test_reserved_turns_never_exceed_the_limit() -> None:
    now = 0.0
    gate = pacing.LoginGate(0.9 * 30, clock=lambda: now)
    turns = [gate.reserve() for _ in range(60)]
    assert turns[: pacing.BURST] == [0.0] * pacing.BURST
    # nginx's own arithmetic: a bucket that drains by half a login a second.
    level, last = 0.0, 0.0
    for turn in sorted(turns):
        level, last = max(0.0, level - (turn - last) * 0.5) + 1, turn
        assert level <= 1 + NGINX_BURST
    assert turns[-1] < 60 / 27 * 60


def test_a_pause_gives_the_burst_back_and_no_more() -> None:
    now = 0.0
    gate = pacing.LoginGate(60, burst=3, clock=lambda: now)
    assert [gate.reserve() for _ in range(4)] == [0, 0, 0, 1]
    assert gate.queue() == 2
    now = 1000.0
    assert gate.queue() == 0
    assert [gate.reserve() for _ in range(4)] == [1000, 1000, 1000, 1001]


def test_the_default_is_the_stack_s() -> None:
    assert str(pacing.DEFAULT_LOGIN_RATE) == TOGGLES["STACK_LOGIN_RATE"].default


def test_without_a_limit_hashing_is_still_spread() -> None:
    turns = [pacing.login_gate({"STACK_LOGIN_RATE": "0"}).reserve() for _ in range(1)]
    gate = pacing.login_gate({"STACK_LOGIN_RATE": "0"})
    turns = [gate.reserve() for _ in range(108)]
    assert 15 < turns[-1] - turns[0] < 25
