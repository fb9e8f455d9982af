"""Puts a load on arms: passes a plan to Locust and returns the results.

There are three kinds. rotate(): all arms are up and the load moves between them in slices; for the
cost of a request. open_loop(): requests arrive by a schedule, whether the server keeps up or not;
for the latency that clients see. closed(): each user sends when it has its answer; for capacity.

Service time counts from the sending to the answer. Response time counts from the intended moment of
sending, so it includes the wait for a late generator or server, which a closed loop leaves out
(coordinated omission). A closed loop has no intended moments; there both are equal.

Locust runs in a process of its own (generator.py). A folder keeps its plan, result and log.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.measure import child, counters
from lab.measure.histogram import Histogram
from lab.measure.load_plan import (
    FINISH_SIGNAL,
    LOG_FILE,
    MARK,
    MEASURING,
    PARENT_VARIABLE,
    PLAN_FILE,
    PLAN_VARIABLE,
    RESULT_FILE,
    Plan,
    Target,
)
from loadtest.target import TargetError, refuse_foreign

__all__ = [
    "GeneratorFailed",
    "LoadError",
    "LoadResult",
    "OpenLoop",
    "Rotation",
    "Target",
    "closed",
    "open_loop",
    "rotate",
]

GENERATOR = Path(__file__).with_name("generator.py")
# Open loop: an arrival that finds this many requests in flight is dropped.
IN_FLIGHT = 200
# An open loop must send on time and needs little CPU, so it gets priority where the system allows.
# Closed loops and rotations wait for the server; there priority would only take CPU from it.
PUNCTUAL_NICE = -10
PATIENCE_S = 10.0

# Time limits of the generator, because one that hangs would never end the run: from its start to
# its first progress, without new progress, and in all if its plan has no duration.
START_WITHIN_S = 60.0
STALLED_S = 60.0
LONGEST_S = 1800.0
# Starts of a generator that ends or hangs before the measured part.
START_ATTEMPTS = 3
# The most that its log, or any other file of it, may have.
FILE_BYTES = 16_000_000
# Locust has nothing to clean up, so it is killed after this time.
STOP_WITHIN_S = 3
_LINES_OF_LOG = 8

Progress = Callable[[str], None]


class LoadError(Exception):
    """There was no usable load; the text is the reason."""


class GeneratorFailed(LoadError):
    """The generator did not start, hung or broke. The arm is not the cause."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """One arm's requests in the measured part, without the warm-up.

    seconds: from the first request to the last answer; of a rotation, in the arm's own slices.
    earlier: requests before the measured part, which servers' own counters include. intended:
    requests that were due. sent: those not dropped. dropped: arrivals without a free user. done:
    answers of any kind. errors: no answer, or a status other than 200. wrong: status 200 and
    another body. faults: the first few kinds of both, such as "3 x 502 Bad Gateway". Histograms are
    of answers with status 200; lag is from the intended moment to the sending. answers: route → a
    hash and the length of its first answer. longest_wait_ms: from the intended moment, of any
    request, failed or not. generator_cpu: share of one core. used: by the arm's processes. nice:
    the generator's priority in force.
    """

    seconds: float
    users: int
    earlier: int
    intended: int
    sent: int
    done: int
    dropped: int
    errors: int
    wrong: int
    faults: list[str]
    response: Histogram
    service: Histogram
    lag: Histogram
    longest_wait_ms: float
    generator_cpu: float
    used: counters.Reading
    nice: int
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rotation(LoadResult):
    """One arm of a rotation.

    rounds: metric (see trial.METRICS) → its value per request, per round; equal indexes are the
    same round in every arm. places: the arm's place in each round's order, from 0. idle_share: CPU
    time that its processes used during the others' slices, as a share of one core.
    """

    rounds: dict[str, list[float]]
    places: list[int]
    idle_share: float


class OpenLoop:
    """Requests at the arrivals of a seeded Poisson process, in the background.

    It shows the effect of an operation on clients: start() returns after the warm-up, wait() after
    the last answer, and finish() ends the arrivals early. As a context manager it stops its process
    on every exception.
    """

    def __init__(
        self,
        target: Target,
        *,
        rate: float,
        seconds: float,
        warm_s: float,
        seed: int | str,
        folder: Path,
        progress: Progress,
        in_flight: int = IN_FLIGHT,
        patience_s: float = PATIENCE_S,
        nice: int = PUNCTUAL_NICE,
        moments: Sequence[float] = (),
    ) -> None:
        """rate: arrivals per second, for *seconds* after *warm_s*. Raises LoadError."""
        _check(rate=rate, seconds=seconds, in_flight=in_flight)
        plan = Plan(
            kind="open",
            targets=[target],
            users=in_flight,
            seed=seed,
            rate=rate,
            seconds=seconds,
            warm_s=warm_s,
            patience_s=patience_s,
            nice=nice,
            moments=moments,
        )
        self._locust = _Locust(plan, folder, progress)

    def start(self) -> None:
        """Start Locust and return when the measured part begins. Raises LoadError."""
        with self._stopped_if_it_fails():
            self._locust.start()

    def finish(self) -> None:
        """End the arrivals; wait() then returns soon."""
        self._locust.finish()

    def wait(self) -> LoadResult:
        """Return the result after the last answer. Raises LoadError."""
        with self._stopped_if_it_fails():
            (result,) = _results(self._locust.wait())
        return LoadResult(**result)

    @contextmanager
    def _stopped_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # Ctrl-C above all
            self._locust.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._locust.stop()


def rotate(
    targets: Sequence[Target],
    *,
    users: int,
    rounds: int,
    slice: int,
    seed: int | str,
    folder: Path,
    progress: Progress,
    patience_s: float = PATIENCE_S,
    nice: int = 0,
) -> dict[str, Rotation]:
    """Send a slice of requests to every target in every round; return target → result.

    Each round has a new random order. Nothing else is sent during a slice, and the counters are
    read before and after it. The first requests of a turn, a quarter of a slice, come before it and
    are not measured. Raises LoadError.
    """
    _check(users=users, rounds=rounds, slice=slice, targets=len(targets))
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise LoadError(f"every arm needs a unique name, not {', '.join(names)}")
    plan = Plan(
        kind="rotation",
        targets=list(targets),
        users=users,
        seed=seed,
        rounds=rounds,
        slice=slice,
        patience_s=patience_s,
        nice=nice,
    )
    found = _run(plan, folder, progress)
    rotations = {}
    for number, (target, result) in enumerate(zip(targets, _results(found), strict=True)):
        arm = found["arms"][number]
        slices = [_reading(reading) for reading in arm["used"]]
        whole = _reading(found["whole"][number])
        visits = _total([_reading(reading) for reading in arm["visits"]])
        idle_ns = sum(whole.cpu_ns.values()) - sum(visits.cpu_ns.values())
        others_s = whole.clock - visits.clock
        rotations[target.name] = Rotation(
            **result,
            rounds=_by_round(slices, arm["requests"], arm["slices"]),
            places=[order.index(number) for order in found["orders"]],
            idle_share=idle_ns / 1e9 / others_s if others_s else 0.0,
        )
    return rotations


def open_loop(
    target: Target,
    *,
    rate: float,
    seconds: float,
    warm_s: float,
    seed: int | str,
    folder: Path,
    progress: Progress,
    in_flight: int = IN_FLIGHT,
    patience_s: float = PATIENCE_S,
    nice: int = PUNCTUAL_NICE,
    moments: Sequence[float] = (),
) -> LoadResult:
    """Let requests arrive at *rate* per second for *seconds* after *warm_s*. Raises LoadError.

    OpenLoop does the same in the background.
    """
    loop = OpenLoop(
        target,
        rate=rate,
        seconds=seconds,
        warm_s=warm_s,
        seed=seed,
        folder=folder,
        progress=progress,
        in_flight=in_flight,
        patience_s=patience_s,
        nice=nice,
        moments=moments,
    )
    with loop:
        loop.start()
        return loop.wait()


def closed(
    target: Target,
    *,
    users: int,
    seconds: float | None,
    requests: int | None,
    warm_s: float,
    seed: int | str,
    folder: Path,
    progress: Progress,
    patience_s: float = PATIENCE_S,
    nice: int = 0,
) -> LoadResult:
    """Let *users* send without a pause for *seconds*, or exactly *requests* requests.

    One of the two is None. The warm-up of *warm_s* comes before. Raises LoadError.
    """
    if (seconds is None) == (requests is None):
        raise LoadError("a closed loop ends after seconds or after requests: give one of them")
    _check(users=users, **({"seconds": seconds} if seconds is not None else {"requests": requests}))
    plan = Plan(
        kind="closed",
        targets=[target],
        users=users,
        seed=seed,
        seconds=seconds,
        requests=requests,
        warm_s=warm_s,
        patience_s=patience_s,
        nice=nice,
    )
    (result,) = _results(_run(plan, folder, progress))
    return LoadResult(**result)


class _Locust:
    """Locust's process with one plan, for one run."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        for target in plan.targets:
            try:
                refuse_foreign(target.address, os.environ)
            except TargetError as error:
                raise LoadError(f"{target.name}: {error}") from error
            if not target.address.startswith("http://"):
                raise LoadError(f"{target.name}: the lab supports http only, not {target.address}")
        self._plan = plan
        self._folder = folder
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = self._ends = 0.0  # of the next progress, and of the whole
        self._unread = b""
        self._last = ""

    def start(self) -> None:
        """Return when the measured part begins; a generator that fails before is started again.

        Raises LoadError.
        """
        for left in reversed(range(START_ATTEMPTS)):
            try:
                self._start()
                if not self._read(until=MEASURING):
                    self._result()
            except GeneratorFailed as error:
                self.stop()
                if not left:
                    text = f"the generator failed {START_ATTEMPTS} times: {error}"
                    raise GeneratorFailed(text) from error
                self._progress(f"the generator is started again: {str(error).splitlines()[0]}")
            else:
                return

    def _start(self) -> None:
        for name in (RESULT_FILE, LOG_FILE):
            (self._folder / name).unlink(missing_ok=True)
        plan = self._plan
        plan.write(self._folder / PLAN_FILE)
        with (self._folder / LOG_FILE).open("wb") as log:
            process = child.start(
                GENERATOR,
                [
                    *("--headless", "--only-summary", "--loglevel=WARNING"),
                    *(f"--users={plan.users}", f"--spawn-rate={plan.users}"),
                ],
                {
                    PLAN_VARIABLE: str((self._folder / PLAN_FILE).resolve()),
                    PARENT_VARIABLE: str(os.getpid()),
                },
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._process = process
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        now = time.monotonic()
        self._deadline = now + START_WITHIN_S
        load_s = LONGEST_S if plan.seconds is None else plan.warm_s + plan.seconds
        self._ends = self._deadline + load_s + STALLED_S
        self._unread = b""
        self._last = "nothing"

    def finish(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(FINISH_SIGNAL)

    def wait(self) -> dict[str, Any]:
        """Return the generator's result. Raises LoadError."""
        # It may have begun long ago, with a reload in between.
        self._deadline = min(self._ends, time.monotonic() + STALLED_S)
        self._read()
        return self._result()

    def _result(self) -> dict[str, Any]:
        """What it left when it ended. Raises LoadError."""
        process = self._running()
        try:
            code = process.wait(STALLED_S)
            text = (self._folder / RESULT_FILE).read_text(encoding="utf-8")
        except subprocess.TimeoutExpired:
            raise GeneratorFailed(f"Locust did not end within {STALLED_S:g} s") from None
        except FileNotFoundError:
            text = f"Locust ended with {code} and left no result"
            raise GeneratorFailed(f"{text}; {self._log_ends()}") from None
        found: dict[str, Any] = json.loads(text)
        if "error" in found:
            raise (GeneratorFailed if found.get("generator") else LoadError)(found["error"])
        return found

    def _log_ends(self) -> str:
        log = self._folder / LOG_FILE
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"{log} ends with:\n" + "\n".join(lines[-_LINES_OF_LOG:])

    def stop(self) -> None:
        """Stop it if it is running."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN_S)
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LoadError("wait() before start()")
        return self._process

    def _read(self, until: str | None = None) -> bool:
        """Report its progress to its end, or to the line *until*, and then return True.

        Raises GeneratorFailed after a time limit.
        """
        stream = self._running().stdout
        if stream is None:
            raise LoadError("the generator's output is not read")
        while True:
            *lines, self._unread = self._unread.split(b"\n")
            for number, raw in enumerate(lines, 1):
                line = raw.decode(errors="replace").rstrip()
                if line.startswith(MARK) and line != self._last:
                    self._last = line
                    self._deadline = min(self._ends, time.monotonic() + STALLED_S)
                    self._progress(line.removeprefix(MARK))
                if until is not None and line == MARK + until:
                    self._unread = b"\n".join([*lines[number:], self._unread])
                    return True
            left = max(0.0, self._deadline - time.monotonic())
            if not left or not select.select([stream], [], [], left)[0]:
                last = self._last.removeprefix(MARK)
                text = f"the generator hangs, and its last progress was {last!r}"
                raise GeneratorFailed(f"{text}; {self._log_ends()}")
            if not (data := os.read(stream.fileno(), 65_536)):
                return False
            self._unread += data


def _run(plan: Plan, folder: Path, progress: Progress) -> dict[str, Any]:
    locust = _Locust(plan, folder, progress)
    try:
        locust.start()
        return locust.wait()
    finally:
        locust.stop()


def _results(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a LoadResult for each target."""
    results = []
    for arm in found["arms"]:
        same = ("seconds", "intended", "sent", "done", "dropped", "errors", "wrong", "faults")
        results.append(
            {
                **{name: arm[name] for name in (*same, "earlier", "longest_wait_ms", "answers")},
                **{name: Histogram.decode(arm[name]) for name in ("response", "service", "lag")},
                "users": found["users"],
                "nice": found["nice"],
                "generator_cpu": arm["cpu_s"] / arm["seconds"] if arm["seconds"] else 0.0,
                "used": _total([_reading(reading) for reading in arm["used"]]),
            }
        )
    return results


def _by_round(
    slices: Sequence[counters.Reading], requests: Sequence[int], seconds: Sequence[float]
) -> dict[str, list[float]]:
    """Metric → its value in each slice: costs per request, and the rate until the last answer."""
    rounds: dict[str, list[float]] = {}
    for used, sent, lasted in zip(slices, requests, seconds, strict=True):
        figures = {f"cpu_us_{name}": ns / 1000 for name, ns in used.cpu_ns.items()}
        if figures:
            figures["cpu_us"] = sum(figures.values())
        if "app" in used.voluntary:
            figures["wakeups"] = used.voluntary["app"]
            figures["preemptions"] = used.involuntary["app"]
        for name, figure in figures.items():
            rounds.setdefault(name, []).append(figure / sent)
        if figures:
            rounds.setdefault("rps", []).append(sent / lasted)
    return rounds


def _reading(fields: Mapping[str, Any]) -> counters.Reading:
    return counters.Reading(**{**fields, "lost": tuple(fields["lost"])})


def _total(readings: Sequence[counters.Reading]) -> counters.Reading:
    def added(part: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for reading in readings:
            for service, count in getattr(reading, part).items():
                counts[service] = counts.get(service, 0) + count
        return counts

    return counters.Reading(
        clock=sum(reading.clock for reading in readings),
        cpu_ns=added("cpu_ns"),
        voluntary=added("voluntary"),
        involuntary=added("involuntary"),
        lost=tuple(sorted({pid for reading in readings for pid in reading.lost})),
    )


def _check(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is None or number <= 0:
            raise LoadError(f"{name} must be more than 0, not {number}")
