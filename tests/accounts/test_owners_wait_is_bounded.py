"""However many addresses guess at an account, its owner waits for a short, fixed time at most."""

import math
import time
from itertools import chain, count
from threading import Event, Thread

import pytest

from app.security import delays
from tests.people.in_process import Browser, make_app, member, new_name

TURNS = "guard:login:turns"


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


def attack(guard, name, addresses):
    """One round of guesses by those who obey their delay."""
    for number in range(addresses):
        address = f"10.0.{number // 250}.{number % 250}"
        if guard.remaining(name, address) == 0:
            guard.failed(name, address)


def later(app, milliseconds):
    """Let the turns of everybody be older by that much."""
    client = app.extensions["redis"]
    turns = iter(client.execute("ZRANGE", TURNS, 0, -1, "WITHSCORES"))
    older = ((int(asked) - milliseconds, who) for who, asked in zip(turns, turns, strict=True))
    client.execute("ZADD", TURNS, *chain.from_iterable(older))


@pytest.mark.parametrize("addresses", [1, 17, 100, 1000])
def test_from_a_new_address_it_is_one_turn(app, monkeypatch, addresses):
    monkeypatch.setattr(delays, "TURN_WAIT_MS", 1000)
    guard, name, over = app.extensions["security"].delays, new_name(), Event()
    for number in range(25):  # the attack has begun before
        guard.failed(name, f"10.0.0.{number % addresses}")

    def guess():
        while not over.is_set():
            attack(guard, name, addresses)

    attackers = Thread(target=guess)
    attackers.start()
    try:
        wait = guard.remaining(name, "203.0.113.9")
        assert wait <= 1
        time.sleep(wait + 0.1)
        assert guard.remaining(name, "203.0.113.9") == 0
    finally:
        over.set()
        attackers.join()


def test_a_turn_is_for_one_try(app):
    guard, name = app.extensions["security"].delays, new_name()
    for number in range(40):
        guard.failed(name, f"10.0.0.{number}")
    for _ in range(2):
        assert guard.remaining(name, "203.0.113.9") == 30
        later(app, delays.TURN_WAIT_MS)
        assert guard.remaining(name, "203.0.113.9") == 0
        guard.failed(name, "203.0.113.9")


@pytest.mark.parametrize(("a_second", "most"), [(2, 30), (5, 10), (10, 5)])
def test_from_a_new_address_while_turns_are_forgotten_early(app, monkeypatch, a_second, most):
    """With room for 100 turns, each lives for 100 ÷ a_second seconds."""
    monkeypatch.setattr(delays, "MOST_TURNS", 100)
    guard, name = app.extensions["security"].delays, new_name()
    app.extensions["redis"].execute("DEL", TURNS)
    for number in range(25):
        guard.failed(name, f"10.0.0.{number}")
    addresses = (f"10.{number // 250}.0.{number % 250}" for number in count(250))

    def flood(seconds):
        for _ in range(seconds * a_second):
            guard.remaining(name, next(addresses))
            later(app, 1000 // a_second)

    begun = time.monotonic()
    flood(150 // a_second)
    wait = guard.remaining(name, "203.0.113.9")
    # A turn is half as long as the oldest turn is old. Real time makes it older, too.
    assert 0 < wait <= most + math.ceil((time.monotonic() - begun) / 2)
    flood(wait + 1)
    assert guard.remaining(name, "203.0.113.9") == 0


def test_a_flood_of_other_names_frees_no_guesser(app, monkeypatch):
    """The counts that are forgotten first are those of the oldest guesses."""
    monkeypatch.setattr(delays, "MOST_COUNTS", 50)
    guard, name = app.extensions["security"].delays, new_name()
    for number in range(25):
        guard.failed(name, f"10.0.0.{number}")
    for _ in range(10):
        for _ in range(20):
            guard.failed(new_name(), "10.0.1.1")
        # Counts of one millisecond are in the order of their names: this one has its own.
        time.sleep(0.002)
        guard.failed(name, "10.0.0.1")
        time.sleep(0.002)
    assert guard.remaining(name, "10.0.0.1") > 30
    assert guard.remaining(name, "203.0.113.9") == 30


def test_a_known_browser_waits_for_nobody_wherever_it_is(app):
    ada, name = member(app, address="192.0.2.10")
    guard = app.extensions["security"].delays
    assert ada.log_out().status_code == 303
    for address in ["203.0.113.9"] * 20 + [f"10.0.0.{number}" for number in range(40)]:
        guard.failed(name, address)
    assert Browser(app, address="203.0.113.9").log_in(name).status_code == 429
    ada.environ["REMOTE_ADDR"] = "203.0.113.9"
    assert ada.log_in(name).status_code == 303


def test_a_known_browser_has_a_delay_of_its_own(app):
    ada, name = member(app)
    answers = [ada.send("/auth/login", name=name, password="wrong").status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]
    ada.environ["REMOTE_ADDR"] = "203.0.113.9"
    assert ada.log_in(name).status_code == 429
    _, other = member(app)
    assert ada.log_in(other).status_code == 303
