"""An arm inside the generator: its correct answer, and the counts of its requests."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Mapping
from typing import Any

from lab.measure import counters
from lab.measure.connection import Connection, NoAnswer, request_bytes, status_text
from lab.measure.histogram import Histogram
from lab.measure.load_plan import Target

# Different texts of faults that are kept. The counts include all faults.
FAULTS_KEPT = 5
_EXCERPT = 80
# Different requests that are sent once before the load, to see that they are answered.
FIRST_REQUESTS = 30


class TargetFailed(Exception):
    """The arm cannot be measured; the text is the reason."""


class WrongAnswer(Exception):
    """An answer that is not the correct one.

    The text says what is wrong with it; *shown* is the start of its body. They are separate because
    Locust keeps a line per different text.
    """

    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        self.shown = shown


class Tally:
    """Counts of requests, and their latencies in seconds, in one part of a load.

    A request is intended when it is due, then sent or dropped, and done when any answer came.
    Errors have no answer or a status other than 200; wrong answers have status 200 and another
    body. Latencies are those of answers with status 200.
    """

    def __init__(self) -> None:
        self.intended = self.sent = self.done = self.dropped = self.errors = self.wrong = 0
        self.unanswered = 0  # the errors that are timeouts
        self.service, self.response, self.lag = array("d"), array("d"), array("d")
        self.longest_s = 0.0  # from the intended moment, of any request
        self.seconds = self.cpu_s = 0.0  # wall-clock time, and the generator's CPU time
        self.faults: dict[str, int] = {}

    def fault(self, error: NoAnswer | WrongAnswer) -> None:
        """Count a fault by its text."""
        text = str(error)
        if isinstance(error, WrongAnswer) and error.shown:
            text += f": {error.shown}"
        if text in self.faults or len(self.faults) < FAULTS_KEPT:
            self.faults[text] = self.faults.get(text, 0) + 1

    def take_faults(self, other: Tally) -> None:
        """Count the faults of requests that are not measured."""
        self.errors += other.errors
        self.wrong += other.wrong
        self.unanswered += other.unanswered
        for text, number in other.faults.items():
            self.faults[text] = self.faults.get(text, 0) + number

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "cpu_s": self.cpu_s,
            "intended": self.intended,
            "sent": self.sent,
            "done": self.done,
            "dropped": self.dropped,
            "errors": self.errors,
            "wrong": self.wrong,
            "faults": [f"{number} x {text}" for text, number in self.faults.items()],
            "longest_wait_ms": self.longest_s * 1000,
            "response": Histogram(self.response).encode(),
            "service": Histogram(self.service).encode(),
            "lag": Histogram(self.lag).encode(),
        }


class Arm:
    """A target with its tally. *number* is the index of its connection in every user."""

    def __init__(self, target: Target, number: int) -> None:
        self.target = target
        self.number = number
        self.url = target.address + target.path
        self.expect = None if target.expect is None else target.expect.encode()
        self.expected = b""
        self.tally = Tally()
        self.warm_up = True
        self.begins = False  # a turn, with requests that are not measured
        self.earlier = 1  # requests before the measured part: the first one, and the warm-up
        self.tickets = 0.0  # requests that may still be sent
        # One per slice: what was used, the requests sent, and the seconds until the last answer;
        # and what was used in the slice with its beginning.
        self.used: list[counters.Reading] = []
        self.requests: list[int] = []
        self.seconds: list[float] = []
        self.visits: list[counters.Reading] = []

        self._sender = _Sender(target) if target.requests else None

    @property
    def answers(self) -> dict[str, str]:
        """Route → a hash and the length of its first answer, without what is masked."""
        return {} if self._sender is None else self._sender.answers()

    def request(self, connection: Connection) -> tuple[int, bytes]:
        """Send the next request. Status 200 stands for the one that is expected."""
        return connection.get() if self._sender is None else self._sender.send(connection)

    def connect(self, patience_s: float) -> Connection:
        target = self.target
        return Connection(target.address, target.path, target.cookie, patience_s)

    def fetch_expected(self, patience_s: float) -> None:
        """Send one request and keep its body. Raises TargetFailed unless its status is 200."""
        connection = self.connect(patience_s)
        try:
            if self._sender is not None:
                self.earlier = self._sender.send_each(connection)
                return
            status, self.expected = connection.get()
        except NoAnswer as error:
            text = f"{self.target.name} does not answer at {self.url}: {error}"
            raise TargetFailed(text) from error
        finally:
            connection.close()
        if status != 200:
            raise TargetFailed(
                f"{self.target.name} answers {status_text(status)} at {self.url}: an arm must "
                "answer 200 before it is loaded (does its cookie allow this path?)"
            )

    def fault_in(self, status: int, body: bytes) -> WrongAnswer | None:
        """What is wrong with an answer; None for a correct one."""
        if self._sender is not None:
            return self._sender.fault
        if status != 200:
            return WrongAnswer(status_text(status))
        if self.expect is None and body != self.expected:
            return WrongAnswer("not the first answer's body", _start_of(body))
        if self.expect is not None and self.expect not in body:
            return WrongAnswer("a body without the expected text", _start_of(body))
        return None


class _Sender:
    """Sends the requests of a target in their order, each as the next one of its users.

    The first answer to a request of a user, with what varies removed, is what later ones must be.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._masks = [re.compile(mask.encode()) for mask in target.masks]
        sessions = target.sessions or [{"cookie": target.cookie, "csrf": ""}]
        self._raw = [[self._bytes(one, user) for user in sessions] for one in target.requests]
        self._expected: dict[tuple[int, int], bytes] = {}
        self._status: dict[int, int] = {}  # of a log's request: that of its first answer
        self._count = 0
        self.fault: WrongAnswer | None = None  # of the last answer

    def _bytes(self, request: Mapping[str, Any], session: Mapping[str, str]) -> bytes:
        def filled(text: str) -> str:
            return text.replace("{csrf}", session["csrf"])

        headers = {name: filled(value) for name, value in request["headers"].items()}
        if session["cookie"]:
            headers["Cookie"] = session["cookie"]
        return request_bytes(
            self._target.address,
            request["method"], request["path"], headers, filled(request["body"]),
        )  # fmt: skip

    def send(self, connection: Connection) -> tuple[int, bytes]:
        order = self._target.order
        number, user = order[self._count % len(order)], self._count % len(self._raw[0])
        self._count += 1
        return self._send(connection, number, user)

    def send_each(self, connection: Connection) -> int:
        """Send every request of the order's beginning once, and return their number.

        Raises TargetFailed for an answer that is not as declared.
        """
        numbers = list(dict.fromkeys(self._target.order))[:FIRST_REQUESTS]
        for number in numbers:
            self._send(connection, number, 0)
            if self.fault is not None:
                one = self._target.requests[number]
                raise TargetFailed(
                    f"{self._target.name} answers {one['method']} {one['path']} with {self.fault}"
                    f", and {one['status']} is declared"
                )
        return len(numbers)

    def _send(self, connection: Connection, number: int, user: int) -> tuple[int, bytes]:
        request = self._target.requests[number]
        head = request["method"] == "HEAD"
        status, body = connection.send(self._raw[number][user], no_body=head)
        wanted = request["status"] or self._status.setdefault(number, status)
        self.fault = None
        if status != wanted or status >= 500 > request["status"]:
            self.fault = WrongAnswer(f"{status_text(status)} for {request['route']}")
            return (status if status != 200 else 0), body
        if request["check"] == "body":
            plain = body
            for mask in self._masks:
                plain = mask.sub(b"", plain)
            if plain != self._expected.setdefault((number, user), plain):
                text = f"not the first answer's body for {request['route']}"
                self.fault = WrongAnswer(text, _start_of(body))
        return 200, body

    def answers(self) -> dict[str, str]:
        return {
            self._target.requests[number]["route"]:
            f"{hashlib.sha256(body).hexdigest()[:8]}, {len(body)} bytes"
            for (number, user), body in self._expected.items() if not user
        }  # fmt: skip


def _start_of(body: bytes) -> str:
    return repr(body[:_EXCERPT])[1:] + f" ({len(body)} bytes)"
