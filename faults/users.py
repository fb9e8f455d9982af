"""People who keep using the stack at a fixed rate, and remember what it acknowledged.

The rate does not depend on the answers (an open loop): a stall is felt by everybody who comes
meanwhile, and a request's time counts from the moment at which it was due.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

PEOPLE = 8
GIVES_UP_S = 20.0
# Of ten requests: pages, reads of the session, writes into it, and one new account.
ROUND = ("page", "read", "write", "read", "page", "write", "read", "write", "read", "account")


@dataclass(frozen=True)
class Answered:
    """One request. *outcome* is a status, or what went wrong instead of one."""

    due: float
    kind: str
    outcome: str
    seconds: float

    @property
    def failed(self) -> bool:
        return self.outcome != "200"


def ask(
    address: str, path: str, fields: dict[str, str] | None = None, *,
    cookie: str = "", client: str = "192.0.2.1", timeout: float = GIVES_UP_S,
) -> tuple[int, bytes, str]:  # fmt: skip
    """Send one request, a POST if there are *fields*; return status, body and the new cookie.

    *client* is the address that nginx takes for the client's. Raises OSError or HTTPException.
    """
    url = urlsplit(address)
    headers = {"X-Forwarded-For": client, "Connection": "close"}
    if cookie:
        headers["Cookie"] = cookie
    body = None
    if fields is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(fields)
    with closing(http.client.HTTPConnection(url.netloc, timeout=timeout)) as connection:
        connection.request("GET" if body is None else "POST", url.path + path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, content, (answer.getheader("Set-Cookie") or "").partition(";")[0]


class Users:
    """Start them by `with`; they come at *rate* a second until its end."""

    def __init__(self, address: str, rate: float, *, may_be_logged_out: bool = False) -> None:
        self._may_be_logged_out = may_be_logged_out
        self._address = address
        self._rate = rate
        self._run = secrets.token_hex(4)
        self._cookies: list[str] = []
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[Answered] = []
        self._coming = 0
        self._acknowledged: list[set[str]] = [set() for _ in range(PEOPLE)]
        self._accounts: set[str] = set()
        self._pool = ThreadPoolExecutor(400, thread_name_prefix="user")
        self._clock = threading.Thread(target=self._come, daemon=True)

    def __enter__(self) -> Users:
        for person in range(PEOPLE):
            fields = {"mark": "first", "person": self._name(person)}
            deadline = time.monotonic() + GIVES_UP_S
            while True:
                status, _, cookie = ask(self._address, "/faults/mark", fields)
                # Right after a start on a busy machine, Redis may be slow.
                if status != 503 or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            if status != 200 or not cookie:
                raise RuntimeError(f"the stack gave no session before the fault: {status}")
            self._cookies.append(cookie)
            self._acknowledged[person].add("first")
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._clock.join()
        self._pool.shutdown()

    def answers(self, since: float = 0.0) -> list[Answered]:
        """The requests that were due since then and have ended, in no order."""
        with self._lock:
            return [answer for answer in self._answers if answer.due >= since]

    def waiting(self) -> int:
        """Requests without an answer so far."""
        with self._lock:
            return self._coming - len(self._answers)

    def last_failure(self, since: float) -> float | None:
        """When the last request that failed was due; None if none did."""
        return max((a.due for a in self.answers(since) if a.failed), default=None)

    def lost(self) -> list[str]:
        """Return what was acknowledged and is not there. Raises OSError if it cannot be read."""
        missing = []
        for person, cookie in enumerate(self._cookies):
            status, body, _ = ask(self._address, "/faults/mark", cookie=cookie)
            found = json.loads(body) if status == 200 else {"marks": []}
            gone = self._acknowledged[person] - set(found["marks"])
            missing += [f"mark {mark} of {self._name(person)}" for mark in sorted(gone)]
        for name in sorted(self._accounts):
            if ask(self._address, f"/faults/account/{name}")[0] != 200:
                missing.append(f"account {name}")
        return missing

    def acknowledged(self) -> int:
        with self._lock:
            return sum(map(len, self._acknowledged)) + len(self._accounts)

    def _name(self, person: int) -> str:
        return f"{self._run}-{person}"

    def _come(self) -> None:
        begun = time.monotonic()
        number = 0
        while not self._done.wait(max(0.0, begun + number / self._rate - time.monotonic())):
            with self._lock:
                self._coming += 1
            self._pool.submit(self._one, number, begun + number / self._rate)
            number += 1

    def _one(self, number: int, due: float) -> None:
        kind = ROUND[number % len(ROUND)]
        person = number % PEOPLE
        try:
            outcome = self._ask(kind, person, number)
        except TimeoutError:
            outcome = f"no answer in {GIVES_UP_S:.0f} s"
        except (OSError, http.client.HTTPException, ValueError):
            outcome = "connection broken"
        answer = Answered(due, kind, outcome, time.monotonic() - due)
        with self._lock:
            self._answers.append(answer)

    def _ask(self, kind: str, person: int, number: int) -> str:
        cookie, client = self._cookies[person], f"192.0.2.{person + 1}"
        if kind == "page":
            return str(ask(self._address, "/", cookie=cookie, client=client)[0])
        if kind == "read":
            status, body, _ = ask(self._address, "/faults/mark", cookie=cookie, client=client)
            if status == 200 and json.loads(body)["person"] != self._name(person):
                if json.loads(body)["person"]:
                    return "another's session"
                return "200" if self._may_be_logged_out else "logged out"
            return str(status)
        mark = f"{self._run}-{number}"
        fields = {"mark": mark, "person": self._name(person)}
        if kind == "account":
            fields["account"] = "yes"
        status, _, _ = ask(self._address, "/faults/mark", fields, cookie=cookie, client=client)
        if status == 200:
            with self._lock:
                (self._accounts if kind == "account" else self._acknowledged[person]).add(mark)
        return str(status)


def counted(answers: list[Answered]) -> dict[str, int]:
    """Return how many requests had each outcome, the most frequent first."""
    return dict(Counter(answer.outcome for answer in answers).most_common())


def port_of(address: str) -> tuple[str, int]:
    """Return host and port for a plain socket."""
    url = urlsplit(address)
    return url.hostname or "127.0.0.1", url.port or 80


def connect(address: str, timeout: float = 20.0) -> socket.socket:
    return socket.create_connection(port_of(address), timeout=timeout)
