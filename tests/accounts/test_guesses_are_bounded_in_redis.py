"""However many passwords are guessed, for however many names: what Redis keeps of it has a bound.

Their scripts may exceed Redis' memory limit. A guess beyond the bound still counts.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.redis_client import RedisClient, connect
from app.security import delays
from app.security.delays import LoginDelays
from tests.servers.redis import RedisServer

# docs/operations.md states it.
MOST_BYTES = 24_000_000
GUESSER = "198.51.100.7"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of its own, without room for anything: only `allow-oom` writes."""
    server = RedisServer(tmp_path, REDIS_MAXMEMORY="1mb")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server: RedisServer) -> RedisClient:
    return connect(server.url, server.password, budget=10)


@pytest.fixture
def guard(client: RedisClient) -> LoginDelays:
    return LoginDelays(client, b"key")


def in_use(server: RedisServer) -> int:
    with server.connect("monitor") as monitor:
        return int(monitor.info("memory")["used_memory_dataset"])


def flood(client: RedisClient, guard: LoginDelays, first: int, last: int) -> None:
    """Guess once for each of many names, and ask once from as many new addresses for one name."""
    limits = (3, 1, 0, delays.TURN_WAIT_MS, delays.TURN_MS, delays.MOST_TURNS)
    for start in range(first, last, 1000):
        some = range(start, min(start + 1000, last))
        here = [(f"name-{number}", f"10.1.{number >> 8}.{number & 255}", "") for number in some]
        guesses = [guard._failed(*guard._arguments(*one, delays.MOST_COUNTS)) for one in here]
        asks = [guard._remaining(*guard._arguments("ada", *one[1:], *limits)) for one in here]
        client.pipeline(guesses + asks)


def test_in_bytes(server: RedisServer, client: RedisClient, guard: LoginDelays) -> None:
    before = in_use(server)
    flood(client, guard, 0, 66_000)
    full = in_use(server) - before
    flood(client, guard, 66_000, 132_000)
    more = in_use(server) - before
    print(f"{full:,} bytes, and {more:,} after a second flood")
    assert max(full, more) < MOST_BYTES
    assert client.execute("ZCARD", "guard:login:counts") == delays.MOST_COUNTS
    assert client.execute("ZCARD", "guard:login:turns") == delays.MOST_TURNS
    for _ in range(delays.FREE_TRIES):
        guard.failed("ada", GUESSER)
    assert guard.remaining("ada", GUESSER) == 1, "a guess beyond the bound counts"


def test_what_is_over_is_not_kept(
    client: RedisClient, guard: LoginDelays, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEMORY_MS", "TURN_MS"):
        monkeypatch.setattr(delays, name, -1)
    monkeypatch.setattr(delays, "FREE_TRIES_EVERYWHERE", 0)
    monkeypatch.setattr(delays, "TURN_WAIT_MS", 0)
    for number in range(3):
        guard.failed(f"name-{number}", GUESSER)
        guard.remaining(f"name-{number}", GUESSER)
    assert client.execute("ZCARD", "guard:login:counts") == 0
    assert client.execute("ZCARD", "guard:login:turns") == 0


def test_an_account_knows_a_hundred_browsers_and_addresses(
    client: RedisClient, guard: LoginDelays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delays, "FREE_TRIES_EVERYWHERE", 0)
    guard.succeeded("ada", "203.0.113.0", "browser-0")
    time.sleep(0.002)  # what is known since the same millisecond is equally old
    for number in range(1, 60):
        guard.succeeded("ada", f"203.0.113.{number}", f"browser-{number}")
    key = f"guard:login:known:{guard.label('ada')}"
    assert client.execute("ZCARD", key) == delays.MOST_KNOWN
    assert guard.remaining("ada", GUESSER, "browser-59") == 0
    assert guard.remaining("ada", "203.0.113.59") == 0
    assert guard.remaining("ada", GUESSER, "browser-0") == 30, "the oldest goes"
    assert guard.remaining("ada", "203.0.113.0") == 30
    assert 0 < client.execute("PTTL", key) <= delays.KNOWN_MS


def test_what_the_account_knows_ends(guard: LoginDelays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "FREE_TRIES_EVERYWHERE", 0)
    monkeypatch.setattr(delays, "KNOWN_MS", 0)
    guard.succeeded("ada", GUESSER, "browser")
    assert guard.remaining("ada", GUESSER, "browser") == 30
