"""Wrong passwords cause growing delays, and nobody can lock another user out with them."""

import re

import pytest

from app.security import delays
from tests.people.in_process import OTHER_PASSWORD, Browser, member, new_name

GUESSER = "198.51.100.7"


@pytest.fixture
def login_delays(app):
    return app.extensions["security"].delays


def guess(app, name, times, address=GUESSER):
    browser = Browser(app, address=address)
    return [browser.log_in(name, "not the password") for _ in range(times)]


def test_the_fourth_try_waits(app):
    _, name = member(app)
    answers = guess(app, name, delays.FREE_TRIES + 1)
    assert [one.status_code for one in answers] == [401, 401, 401, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert "try again in 1 second." in answers[-1].text
    assert 'name="password"' in answers[-1].text, "the form is there to try again with"


def test_the_right_password_is_not_looked_at_during_the_delay(app):
    _, name = member(app)
    guess(app, name, delays.FREE_TRIES)
    assert Browser(app, address=GUESSER).log_in(name).status_code == 429


def test_each_delay_is_twice_the_one_before_up_to_a_limit(login_delays):
    name, waits = new_name(), []
    for _ in range(20):
        login_delays.failed(name, GUESSER)
        waits.append(login_delays.remaining(name, GUESSER))
    longest = delays.LONGEST_MS // 1000
    assert waits[:6] == [0, 0, 1, 2, 4, 8]
    assert waits[-1] == longest == max(waits)


def test_a_try_during_the_delay_does_not_make_it_longer(app, login_delays):
    _, name = member(app)
    for _ in range(delays.FREE_TRIES + 3):
        login_delays.failed(name, GUESSER)
    answers = guess(app, name, 5)
    waits = [int(one.headers["Retry-After"]) for one in answers]
    assert waits == sorted(waits, reverse=True) and waits[0] <= 8


def test_the_owner_gets_in_while_strangers_guess_from_everywhere(app, login_delays):
    ada, name = member(app, address="192.0.2.10")
    assert ada.log_in(name).status_code == 303
    for number in range(delays.FREE_TRIES_EVERYWHERE * 2):
        login_delays.failed(name, f"198.51.100.{number}")
    assert Browser(app, address="203.0.113.9").log_in(name).status_code == 429
    assert Browser(app, address="192.0.2.10").log_in(name).status_code == 303


def test_from_an_unknown_address_the_wait_stays_short(login_delays):
    name = new_name()
    for number in range(200):
        login_delays.failed(name, f"198.51.100.{number}")
    assert 0 < login_delays.remaining(name, "203.0.113.9") <= delays.TURN_WAIT_MS / 1000


def test_a_success_forgets_the_failures_of_its_address(app, login_delays):
    _, name = member(app)
    for _ in range(3):
        assert [one.status_code for one in guess(app, name, 2)] == [401, 401]
        assert Browser(app, address=GUESSER).log_in(name).status_code == 303


def test_addresses_of_one_ipv6_network_count_as_one(login_delays):
    name = new_name()
    for number in range(delays.FREE_TRIES):
        login_delays.failed(name, f"2001:db8:1:2::{number:x}")
    assert login_delays.remaining(name, "2001:db8:1:2:ffff::1") == 1
    assert login_delays.remaining(name, "2001:db8:1:3::1") == 0


def test_an_ipv4_address_counts_for_itself_also_when_it_is_mapped(login_delays):
    name = new_name()
    for _ in range(delays.FREE_TRIES):
        login_delays.failed(name, "::ffff:198.51.100.1")
    assert login_delays.remaining(name, "198.51.100.1") == 1
    assert login_delays.remaining(name, "::ffff:198.51.100.2") == 0


def test_asking_for_the_password_again_is_delayed_alike(app):
    ada, _ = member(app, address=GUESSER)
    sent = [ada.send("/auth/reauthenticate", password="wrong one") for _ in range(4)]
    assert [one.status_code for one in sent] == [401, 401, 401, 429]
    _, other = member(app, address=GUESSER)
    bob = Browser(app, address=GUESSER)
    bob.log_in(other)
    fields = {"password": OTHER_PASSWORD, "repeated": OTHER_PASSWORD}
    sent = [bob.send("/auth/password", current="wrong one", **fields) for _ in range(4)]
    assert [one.status_code for one in sent] == [401, 401, 401, 429]


def test_redis_holds_no_name(app, login_delays, redis):
    secret = "MySecretTypedAsName"
    Browser(app).log_in(secret, "x")
    login_delays.failed("somebody-famous", GUESSER)
    stored = b"".join(path.read_bytes() for path in redis.folder.rglob("*.aof") if path.is_file())
    assert b"guard:login:" in stored
    for text in ("somebody-famous", secret, secret.lower()):
        assert not re.search(rb"guard:[^\r]*" + text.encode(), stored)
