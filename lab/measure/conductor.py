"""Carries out a plan: assigns requests to the users that Locust has spawned.

Locust's users work independently, without a barrier between slices and without an intended moment
for each request. So a conductor assigns jobs to them. Moments are those of time.perf_counter(),
which on Linux is the monotonic clock, like the timer's.
"""

# mypy: allow-untyped-calls
# (Locust says that it is typed and leaves many functions without types.)
from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.event import Event

from lab.measure import counters
from lab.measure.connection import Connection, NoAnswer
from lab.measure.load_plan import MEASURING, WARM_UP_SLICES, Plan, arrivals, lead, orders
from lab.measure.tally import Arm, Tally, TargetFailed, WrongAnswer
from lab.measure.timer import Timer

# A server's work after its answer (its log, the return to epoll) belongs to the slice.
SETTLE_S = 0.002
# Lead time, so that the schedule does not begin in the past.
LEAD_S = 0.005
# This many timeouts per user end a rotation or a closed loop. A server that hangs would keep each
# of thousands of requests waiting for patience_s.
TIMEOUTS_PER_USER = 3


class User(Protocol):
    """A greenlet with a connection to every arm."""

    @property
    def connections(self) -> Sequence[Connection]: ...

    def assign(self, job: Job) -> None:
        """Run *job* in the user's own greenlet, then add_idle()."""


Job = Callable[[User], None]


class Conductor:
    """One run of *plan*. *say* is called with lines of progress."""

    def __init__(self, environment: Any, plan: Plan, say: Callable[[str], None]) -> None:
        self.environment = environment
        self.plan = plan
        self.say = say
        self.arms = [Arm(target, number) for number, target in enumerate(plan.targets)]
        self.stage = "starting"
        self.users = 0
        self._idle: list[User] = []  # a stack, so that few connections are busy and stay warm
        self._all_idle = Event()
        self._finishing = False
        self._timer = Timer()
        self._fire = environment.events.request.fire
        self._epoch = time.time() - time.perf_counter()

    def run(self, users: int) -> dict[str, Any]:
        """Carry out the plan with *users*; return the result for JSON. Raises TargetFailed.

        It can run once, because the arms keep their counts.
        """
        self.users = users
        nice = _set_priority(self.plan.nice)
        for arm in self.arms:
            arm.fetch_expected(self.plan.patience_s)
        self._wait_for_all()
        kinds = {"rotation": self._rotate, "open": self._open_loop, "closed": self._closed}
        found = kinds[self.plan.kind]()
        self._timer.close()
        return {
            "users": users,
            "nice": nice,
            **found,
            "arms": [
                {
                    **arm.tally.to_json(),
                    "earlier": arm.earlier,
                    "answers": arm.answers,
                    "requests": arm.requests,
                    "slices": arm.seconds,
                    "used": [_plain(reading) for reading in arm.used],
                    "visits": [_plain(reading) for reading in arm.visits],
                }
                for arm in self.arms
            ],
        }

    def finish(self) -> None:
        """Send no further request. Those in flight still count."""
        self._finishing = True

    def progress(self) -> str:
        """A line about the state of the run."""
        done = sum(arm.tally.done for arm in self.arms)
        errors = sum(arm.tally.errors for arm in self.arms)
        return f"{self.stage}, {done:,} answers" + (f", {errors:,} errors" if errors else "")

    # The users

    def add_idle(self, user: User) -> None:
        """Called by a user without a job."""
        self._idle.append(user)
        if len(self._idle) >= self.users:
            self._all_idle.set()

    def _run_on_all(self, job: Job) -> None:
        """Assign *job* to every user and wait until all have done it: the barrier of slices."""
        self._all_idle.clear()
        while self._idle:
            self._idle.pop().assign(job)
        self._all_idle.wait()

    def _wait_for_all(self) -> None:
        """Wait until no request is in flight, at most patience_s."""
        self._all_idle.clear()
        if len(self._idle) < self.users:
            self._all_idle.wait()

    # One request

    def _request(self, user: User, arm: Arm, due: float | None = None) -> None:
        """Send one, check its answer, count it and report it to Locust, unless a turn begins with
        it. *due*: its intended moment."""
        connection = user.connections[arm.number]
        tally = arm.tally
        tally.sent += 1
        status, body = 0, b""
        exception: NoAnswer | WrongAnswer | None = None
        try:
            status, body = arm.request(connection)
        except NoAnswer as error:
            # Its traceback would hold this frame, which holds it: a cycle for the garbage
            # collector, which is switched off.
            exception = error.with_traceback(None)
            tally.unanswered += error.waited
        done = time.perf_counter()
        sent = connection.sent
        intended = sent if due is None else due
        if exception is None:
            tally.done += 1
            exception = arm.fault_in(status, body)
        if exception is not None:
            tally.fault(exception)
        tally.longest_s = max(tally.longest_s, done - intended)
        if status == 200:
            tally.wrong += exception is not None
            tally.service.append(done - sent)
            tally.response.append(done - intended)
            tally.lag.append(sent - intended)
        else:
            tally.errors += 1
        if arm.begins:
            return
        self._fire(
            request_type="GET",
            name=arm.target.name,
            response_time=(done - intended) * 1000,
            response_length=len(body),
            response=None,
            context={
                "service": (done - sent) * 1000,
                "lag": (sent - intended) * 1000,
                "warm_up": arm.warm_up,
            },
            exception=exception,
            start_time=self._epoch + sent,
            url=arm.url,
        )

    def _closed_loop(self, arm: Arm, until: float = math.inf) -> Job:
        """The job of sending requests without a pause while tickets and time last."""
        limit = TIMEOUTS_PER_USER * self.users

        def job(user: User) -> None:
            while arm.tickets > 0 and time.perf_counter() < until and not self._finishing:
                arm.tickets -= 1
                arm.tally.intended += 1
                self._request(user, arm)
                if arm.tally.unanswered >= limit:
                    arm.tickets = 0

        return job

    def _loop(self, arm: Arm, tickets: float, until: float = math.inf) -> None:
        """Let the users together send *tickets* requests. Raises TargetFailed if the arm hangs."""
        arm.tickets = tickets
        self._run_on_all(self._closed_loop(arm, until))
        if arm.tally.unanswered >= TIMEOUTS_PER_USER * self.users:
            raise TargetFailed(
                f"{arm.target.name} hangs: {arm.tally.unanswered} requests had no answer "
                f"within {self.plan.patience_s:g} s each"
            )

    # The three kinds of load

    def _rotate(self) -> dict[str, Any]:
        plan = self.plan
        self.stage = "warm-up"
        for order in orders(len(self.arms), WARM_UP_SLICES, f"{plan.seed} warm-up"):
            for number in order:
                self._loop(self.arms[number], plan.slice)
        self._begin_measuring()
        before = [counters.read(arm.target.pids) for arm in self.arms]
        visited = []
        for count, order in enumerate(orders(len(self.arms), plan.rounds, plan.seed), 1):
            self.stage = f"round {count} of {plan.rounds}"
            visited.append(order)
            for number in order:
                arm = self.arms[number]
                self._measure(arm, partial(self._loop, arm, plan.slice), lead(plan))
        whole = [
            counters.used(then, counters.read(arm.target.pids))
            for arm, then in zip(self.arms, before, strict=True)
        ]
        return {"orders": visited, "whole": [_plain(reading) for reading in whole]}

    def _closed(self) -> dict[str, Any]:
        (arm,) = self.arms
        plan = self.plan
        if plan.warm_s:
            self.stage = "warm-up"
            self._loop(arm, math.inf, time.perf_counter() + plan.warm_s)
        self._begin_measuring()
        until = math.inf if plan.seconds is None else time.perf_counter() + plan.seconds
        tickets = math.inf if plan.requests is None else plan.requests
        self._measure(arm, lambda: self._loop(arm, tickets, until))
        return {}

    def _open_loop(self) -> dict[str, Any]:
        (arm,) = self.arms
        plan = self.plan
        if plan.warm_s:
            self.stage = "warm-up"
            moments = arrivals(plan.rate, plan.warm_s, f"{plan.seed} warm-up")
            self._let_arrive(arm, moments, plan.warm_s)
        seconds = plan.seconds or 0.0
        moments = list(plan.moments) or arrivals(plan.rate, seconds, plan.seed)
        self._begin_measuring()
        self._measure(arm, lambda: self._let_arrive(arm, moments, seconds))
        return {}

    def _let_arrive(self, arm: Arm, moments: Sequence[float], seconds: float) -> None:
        """Send requests at *moments* of the next *seconds*, then wait for all answers."""
        tally = arm.tally
        begin = time.perf_counter() + LEAD_S
        for moment in moments:
            due = begin + moment
            # A late schedule yields as well, so that requests that are due get sent.
            self._timer.sleep(due - time.perf_counter())
            if self._finishing:
                break
            tally.intended += 1
            if self._idle:
                self._idle.pop().assign(partial(self._request, arm=arm, due=due))
            else:
                tally.dropped += 1
        else:
            self._timer.sleep(begin + seconds - time.perf_counter())
        self._wait_for_all()

    # What is measured

    def _begin_measuring(self) -> None:
        """Reset the counts after the warm-up, and switch the garbage collector off."""
        for arm in self.arms:
            arm.earlier += arm.tally.sent
            arm.tally = Tally()
            arm.warm_up = False
        self.environment.stats.reset_all()
        gc.collect()
        gc.freeze()
        gc.disable()  # requests leave no cycles, and a full collection takes tens of ms
        self.stage = MEASURING
        self.say(self.stage)

    def _measure(self, arm: Arm, work: Callable[[], None], first: int = 0) -> None:
        """Do *work* between two readings of the arm's counters; nothing else is sent meanwhile.

        The *first* requests are sent before it and not measured.
        """
        tally = arm.tally
        before = begin = counters.read(arm.target.pids)
        if first:
            arm.tally, arm.begins = Tally(), True
            self._loop(arm, first)
            arm.earlier += arm.tally.sent
            tally.take_faults(arm.tally)
            arm.tally, arm.begins = tally, False
            before = counters.read(arm.target.pids)
        sent, began, cpu = tally.sent, time.perf_counter(), time.process_time()
        work()
        arm.seconds.append(time.perf_counter() - began)
        tally.seconds += arm.seconds[-1]
        tally.cpu_s += time.process_time() - cpu
        gevent.sleep(SETTLE_S)
        after = counters.read(arm.target.pids)
        arm.used.append(counters.used(before, after))
        arm.visits.append(counters.used(begin, after))
        arm.requests.append(tally.sent - sent)


def _set_priority(nice: int) -> int:
    """Request *nice*; return the value in force.

    The kernel may schedule sessions before it schedules processes (autogroup), so the session's
    value is set as well.
    """
    with suppress(OSError):
        if nice != os.getpriority(os.PRIO_PROCESS, 0):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")
    return os.getpriority(os.PRIO_PROCESS, 0)


def _plain(reading: counters.Reading) -> dict[str, Any]:
    return {
        "clock": reading.clock,
        "cpu_ns": reading.cpu_ns,
        "voluntary": reading.voluntary,
        "involuntary": reading.involuntary,
        "lost": list(reading.lost),
    }
