"""A small generator of requests: threads with a connection each, over bare sockets.

It shares the machine with the stack, so it has to cost little. Locust takes several times as much.
"""

from __future__ import annotations

import http.client
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlencode, urlsplit

from stack.errors import StackError
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

TIMEOUT_S = 30.0
PAGE = "/workload/protected"


def cookie_of_demo_account(address: str) -> str:
    """Log in as the demo account; return ``name=value``. Raises StackError."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/auth/login")
        page = connection.getresponse()
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.read().decode())
        cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
        form = {"name": DEMO_NAME, "password": DEMO_PASSWORD}
        form["csrf_token"] = token[1] if token else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        connection.request("POST", "/auth/login", urlencode(form), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (302, 303):
            raise StackError(f"the demo account cannot log in ({answer.status})", "make logs")
        return (answer.getheader("Set-Cookie") or cookie).partition(";")[0]
    finally:
        connection.close()


class Client:
    """One kept connection. nginx closes it after a thousand requests, and it is opened again."""

    def __init__(self, address: str, cookie: str) -> None:
        parts = urlsplit(address)
        self._at = (parts.hostname or "", parts.port or 80)
        self._request = (
            f"GET {PAGE} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookie}\r\n\r\n"
        ).encode()
        self._socket: socket.socket | None = None

    def get(self) -> None:
        """Ask for the page. Raises OSError, and ValueError for another answer than 200."""
        if self._socket is None:
            self._socket = socket.create_connection(self._at, TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(self._request)
        data = b""
        while True:
            got = self._socket.recv(16384)
            if not got:
                raise ConnectionResetError("the connection was closed in an answer")
            data += got
            head, ended, body = data.partition(b"\r\n\r\n")
            if ended:
                head = head.lower()
                length = re.search(rb"\ncontent-length: ([0-9]+)", head)
                if length and len(body) >= int(length[1]):
                    break
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(f"the stack answers {head.splitlines()[0].decode()}")
        if b"\nconnection: close" in head:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def closed(address: str, cookie: str, clients: int, seconds: float) -> list[float]:
    """Let each client ask again at once for *seconds*; return the response times in seconds.

    Raises StackError if a request fails.
    """
    until = time.monotonic() + seconds

    def ask(client: Client) -> list[float]:
        times = []
        while (begun := time.monotonic()) < until:
            client.get()
            times.append(time.monotonic() - begun)
        return times

    return _in_threads(address, cookie, clients, ask)


def moments(rate: float, seconds: float, seed: int) -> list[float]:
    """Return random moments of the next *seconds*, *rate* a second."""
    source, due, drawn = random.Random(seed), 0.0, []  # noqa: S311 - not for secrets
    while (due := due + source.expovariate(rate)) < seconds:
        drawn.append(due)
    return drawn


def scheduled(address: str, cookie: str, clients: int, moments: Sequence[float]) -> list[float]:
    """Send a request at each of *moments*, in seconds from now, whatever the answers take.

    Response times count from that moment, so a request that finds every client taken waits. Raises
    StackError if a request fails.
    """
    numbers = itertools.count()
    begun = time.monotonic() + 0.05

    def ask(client: Client) -> list[float]:
        times = []
        while (number := next(numbers)) < len(moments):
            due = begun + moments[number]
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            client.get()
            times.append(time.monotonic() - due)
        return times

    return _in_threads(address, cookie, clients, ask)


def _in_threads(
    address: str, cookie: str, clients: int, ask: Callable[[Client], list[float]]
) -> list[float]:
    found: list[float] = []
    faults: list[Exception] = []

    def run() -> None:
        client = Client(address, cookie)
        try:
            found.extend(ask(client))
        except (OSError, ValueError) as error:
            faults.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise StackError(f"a request failed: {faults[0]}", "look at `make logs`")
    return found
