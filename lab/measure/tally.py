"""An arm inside the generator: its correct answer, and the counts of its requests."""

from __future__ import annotations

from array import array
from typing import Any

from lab.measure import counters
from lab.measure.connection import Connection, NoAnswer, status_text
from lab.measure.histogram import Histogram
from lab.measure.load_plan import Target

# Different texts of faults that are kept. The counts include all faults.
FAULTS_KEPT = 5
_EXCERPT = 80


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

    def connect(self, patience_s: float) -> Connection:
        target = self.target
        return Connection(target.address, target.path, target.cookie, patience_s)

    def fetch_expected(self, patience_s: float) -> None:
        """Send one request and keep its body. Raises TargetFailed unless its status is 200."""
        connection = self.connect(patience_s)
        try:
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
        if status != 200:
            return WrongAnswer(status_text(status))
        if self.expect is None and body != self.expected:
            return WrongAnswer("not the first answer's body", _start_of(body))
        if self.expect is not None and self.expect not in body:
            return WrongAnswer("a body without the expected text", _start_of(body))
        return None


def _start_of(body: bytes) -> str:
    return repr(body[:_EXCERPT])[1:] + f" ({len(body)} bytes)"
