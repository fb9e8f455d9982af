"""Our own app behind a trusted proxy: sessions, delays and cookies are those of the client."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from stack.local.runtime import LocalRuntime
from tests.people.over_http import Person
from tests.servers.nginx import get
from tests.stack.checkouts import own_name

PASSWORD = secrets.token_urlsafe(18)
PROXY = "127.0.0.1"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalRuntime]:
    settings = {"STACK_PORT": "0", "STACK_NAME": own_name(), "STACK_TLS": "on"}
    with LocalRuntime({**settings, "STACK_TRUSTED_PROXIES": PROXY}) as stack:
        yield stack


def client(stack: LocalRuntime, address: str) -> Person:
    """A browser at *address*, which has written another address into its request."""
    person = Person(stack.address())
    person._opener.addheaders = [("X-Forwarded-For", f"192.0.2.66, {address}")]
    return person


def test_the_list_of_sessions_and_the_delays_have_its_address(stack: LocalRuntime) -> None:
    name = f"ada-{secrets.token_hex(4)}"
    ada = client(stack, "198.51.100.1")
    ada.fill_in("/auth/register", name=name, password=PASSWORD, repeated=PASSWORD)
    elsewhere = client(stack, "2001:db8::1")
    assert elsewhere.fill_in("/auth/login", name=name, password=PASSWORD).status == 200
    sessions = ada.get("/auth/sessions").text
    assert "198.51.100.1" in sessions and "2001:db8::1" in sessions
    assert PROXY not in sessions and "192.0.2.66" not in sessions

    stranger = client(stack, "198.51.100.3")

    def guess() -> int:
        return stranger.fill_in("/auth/login", name=name, password="wrong").status

    assert [guess() for _ in range(3)] == [401, 401, 401]
    # The first delay is a second, which a guess may take on a busy machine. Each is twice as long.
    assert 429 in [guess() for _ in range(3)]
    another = client(stack, "198.51.100.4")
    assert another.fill_in("/auth/login", name=name, password=PASSWORD).status == 200


def test_cookies_are_secure_where_tls_ended_in_front(stack: LocalRuntime) -> None:
    port = int(stack.running_toggles()["STACK_PORT"])
    over_https = get(port, "/auth/login", "X-Forwarded-Proto: https")
    assert over_https.status == 200
    cookie = over_https.headers["set-cookie"]
    assert cookie.startswith("__Host-") and "; Secure" in cookie
    assert "max-age" in over_https.headers["strict-transport-security"]
    assert get(port, "/auth/login").status == 308
    assert get(port, "/auth/login", "X-Forwarded-Proto: https", source="127.0.0.9").status == 308
