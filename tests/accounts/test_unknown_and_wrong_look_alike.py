"""A wrong password and an unknown name look the same: status, body, headers, time."""

import re
import statistics
import time

import pytest

from app.security import delays
from tests.people.in_process import Browser, member, new_name

TRIES = 40
ROUNDS = 3
WRONG = "not the password"


@pytest.fixture
def no_delays(monkeypatch):
    """Without delays, which a test below compares: so many attempts would take days."""
    monkeypatch.setattr(delays, "FREE_TRIES", 10**9)
    monkeypatch.setattr(delays, "FREE_TRIES_EVERYWHERE", 10**9)


def refuse(app, name):
    return Browser(app).log_in(name, WRONG)


def normal(answer, name):
    """Removes what may differ: the name in its field and the token."""
    text = re.sub(r'value="[^"]*"', 'value=""', answer.text)
    headers = {
        key: value for key, value in answer.headers if key not in {"Set-Cookie", "Content-Length"}
    }
    return answer.status_code, text.replace(name, "NAME"), headers


def test_status_body_and_headers(app, no_delays):
    _, known = member(app)
    disabled = member(app)[1]
    security = app.extensions["security"]
    security.set_active(security.find(disabled), False)
    known_answer = refuse(app, known)
    assert known_answer.status_code == 401
    assert WRONG not in known_answer.text
    expected = normal(known_answer, known)
    for other in (new_name(), disabled, "not a name!", "x" * 500):
        assert normal(refuse(app, other), other) == expected, other
    # With its right password, a disabled account looks the same too.
    assert normal(Browser(app).log_in(disabled), disabled) == expected


def test_redis_is_asked_the_same(app, no_delays):
    client = app.extensions["redis"]
    _, known = member(app)
    asked = []
    real = client.pipeline

    def listening(commands, **options):
        asked[-1].append([str(command[0]) for command in commands])
        return real(commands, **options)

    client.pipeline = listening
    try:
        for name in (known, new_name(), known, new_name()):
            asked.append([])
            app.extensions["security"].authenticate(name, WRONG, "192.0.2.1")
    finally:
        del client.pipeline
    assert asked[0] and asked.count(asked[0]) == 4, asked


def test_time(app, no_delays):
    """The medians of ratios: within 5 % by CPU time, within half by the clock.

    The clock on a busy machine differs by a tenth now and then, and either way. CPU time does not,
    and the waits for Redis are compared above. A difference that is ours is there in every round.
    """
    rounds = (ratios(app) for _ in range(ROUNDS))
    assert any(0.95 <= cpu <= 1.05 and 0.67 <= clock <= 1.5 for cpu, clock in rounds)


def ratios(app):
    """The time of a known name ÷ that of an unknown one: medians, by CPU time and by the clock.

    Each ratio is of two attempts in succession. The same hash takes longer while the other core
    works, so two medians could be of different times.
    """
    security = app.extensions["security"]
    _, known = member(app)
    unknown = new_name()
    took = {known: [], unknown: []}
    for number in range(TRIES):
        for name in (known, unknown) if number % 2 else (unknown, known):
            cpu, clock = time.process_time(), time.perf_counter()
            assert security.authenticate(name, WRONG, "192.0.2.1") is None
            took[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    pairs = zip(took[known], took[unknown], strict=True)
    found = [
        statistics.median(ours / others for ours, others in column)
        for column in zip(*(zip(*pair, strict=True) for pair in pairs), strict=True)
    ]
    print(f"known ÷ unknown: {found[0]:.3f} by CPU time, {found[1]:.3f} by the clock")
    return found


def test_delays(app):
    _, known = member(app)
    seen = []
    for name in (known, new_name()):
        answers = [refuse(app, name) for _ in range(delays.FREE_TRIES + 1)]
        seen.append([(one.status_code, one.headers.get("Retry-After")) for one in answers])
    assert seen[0] == seen[1]
    assert seen[0][-1][0] == 429
