"""An arm inside the generator: what its right answer is, and what became of its requests."""

from __future__ import annotations

from array import array
from typing import Any

from lab.measure import counters
from lab.measure.connection import Connection, NoAnswer, status_text
from lab.measure.histogram import Histogram
from lab.measure.rotation import Target

# So many different texts of faults are kept; the numbers count them all.
FAULTS_KEPT = 5
_EXCERPT = 80


class Hopeless(Exception):
    """There is nothing to measure. The text says why."""


class WrongAnswer(Exception):
    """There is an answer, and it is not the right one.

    The text says in what; *shown* is what there was instead. Locust keeps a line for each different
    text, and what was shown may differ every time.
    """

    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        self.shown = shown


class Tally:
    """Numbers of requests and their latencies in seconds, of one part of a load.

    A request is intended (it has its turn), sent or dropped, and done when an answer came, whatever
    it says. Errors have no answer or a status other than 200; wrong are answers with another body.
    Latencies are kept of answers with status 200.
    """

    def __init__(self) -> None:
        self.intended = self.sent = self.done = self.dropped = self.errors = self.wrong = 0
        self.unanswered = 0  # the errors that ran out of patience
        self.service, self.response, self.lag = array("d"), array("d"), array("d")
        self.longest_s = 0.0  # from the intended moment, of any request
        self.seconds = self.cpu_s = 0.0  # of the clock, and of the generator
        self.faults: dict[str, int] = {}

    def fault(self, error: NoAnswer | WrongAnswer) -> None:
        """Count what went wrong, by its text."""
        text = str(error)
        if isinstance(error, WrongAnswer) and error.shown:
            text += f": {error.shown}"
        if text in self.faults or len(self.faults) < FAULTS_KEPT:
            self.faults[text] = self.faults.get(text, 0) + 1

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
    """A target with its tally. *number* is its connection's index in every user."""

    def __init__(self, target: Target, number: int) -> None:
        self.target = target
        self.number = number
        self.url = target.address + target.path
        self.expect = None if target.expect is None else target.expect.encode()
        self.right = b""
        self.tally = Tally()
        self.warm_up = True
        self.earlier = 1  # requests before the measured part: the first one, and the warm-up
        self.tickets = 0.0  # requests that may still be sent
        self.used: list[counters.Reading] = []  # a slice an entry
        self.requests: list[int] = []  # sent in each slice

    def connect(self, patience_s: float) -> Connection:
        target = self.target
        return Connection(target.address, target.path, target.cookie, patience_s)

    def learn(self, patience_s: float) -> None:
        """Ask once and remember the answer. Raises Hopeless unless its status is 200."""
        connection = self.connect(patience_s)
        try:
            status, self.right = connection.get()
        except NoAnswer as error:
            raise Hopeless(f"{self.target.name} does not answer at {self.url}: {error}") from error
        finally:
            connection.close()
        if status != 200:
            raise Hopeless(
                f"{self.target.name} answers {status_text(status)} at {self.url}: an arm has to "
                "answer 200 before it is loaded (is its cookie good for this path?)"
            )

    def fault_in(self, status: int, body: bytes) -> WrongAnswer | None:
        """What is wrong with an answer; None when nothing is."""
        if status != 200:
            return WrongAnswer(status_text(status))
        if self.expect is None and body != self.right:
            return WrongAnswer("not the first answer's body", _start_of(body))
        if self.expect is not None and self.expect not in body:
            return WrongAnswer("a body without the expected text", _start_of(body))
        return None


def _start_of(body: bytes) -> str:
    return repr(body[:_EXCERPT])[1:] + f" ({len(body)} bytes)"
