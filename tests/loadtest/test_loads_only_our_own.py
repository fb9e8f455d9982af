"""No load goes to an address that is not this machine, our compose service, or allowed."""

import socket
from typing import Any

import psutil
import pytest

from loadtest.target import TargetError, refuse_foreign

ADDRESSES = {
    "localhost": ["127.0.0.1", "::1"],
    "nginx": ["172.18.0.4"],
    "nginx.example.org": ["172.18.0.4"],
    "intranet": ["10.1.2.3"],
    "rebound": ["127.0.0.1", "1.1.1.1"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, 0)) for address in ADDRESSES.get(name, [name])]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9:1",
        "http://[::1]:8080",
        "https://localhost:8443",
        "http://nginx:8080",
        "https://nginx:8443/shop",
    ],
)
def test_our_own_is_loaded(url: str) -> None:
    refuse_foreign(url, {})


def test_every_address_of_this_machine_is_ours() -> None:
    addresses = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    ]
    assert "127.0.0.1" in addresses
    for address in addresses:
        refuse_foreign(f"http://{address}:8080", {})


@pytest.mark.parametrize(
    "url",
    [
        "http://1.1.1.1",
        "http://192.168.1.10:8080",
        "http://intranet",
        "http://nginx.example.org",
        "http://rebound:8080",
        "http://0.0.0.0:8080",
    ],
)
def test_others_need_allow_remote(url: str) -> None:
    with pytest.raises(TargetError, match="ALLOW_REMOTE=yes") as error:
        refuse_foreign(url, {"ALLOW_REMOTE": "1"})
    assert error.value.usage
    refuse_foreign(url, {"ALLOW_REMOTE": "yes"})


def test_a_service_name_that_resolves_to_the_internet_is_refused() -> None:
    ADDRESSES["nginx"] = ["1.1.1.1"]
    try:
        with pytest.raises(TargetError, match="ALLOW_REMOTE"):
            refuse_foreign("http://nginx:8080", {})
    finally:
        ADDRESSES["nginx"] = ["172.18.0.4"]


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://127.0.0.1",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://a:b@127.0.0.1",
        "http://127.0.0.1/shop?page=2",
    ],
)
def test_what_is_not_an_address_is_refused(url: str) -> None:
    with pytest.raises(TargetError, match="HOST="):
        refuse_foreign(url, {"ALLOW_REMOTE": "yes"})
