"""Carries out a plan with the users that Locust has spawned: who sends what, and when.

Locust's own way, each user for itself, has no barrier between slices and no moment at which a
request was meant to be sent; so a conductor hands work to the users. Moments are
time.perf_counter()'s, on Linux the monotonic clock, like the timer's.
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
from lab.measure.rotation import MEASURING, WARM_UP_SLICES, Plan, arrivals, orders
from lab.measure.tally import Arm, Hopeless, Tally, WrongAnswer
from lab.measure.timer import Timer

# What a server does after its answer (its log, the way back to epoll) belongs to the slice, too.
SETTLE_S = 0.002
# Time for the first arrival's timer; without it the schedule would begin in the past.
LEAD_S = 0.005
# As many requests a user without any answer end a rotation or a closed loop: of a server that hangs
# nothing can be learned by waiting patience_s for each of thousands.
HOPELESS_A_USER = 3


class User(Protocol):
    """Whom work is handed to: a greenlet with a connection to every arm."""

    @property
    def connections(self) -> Sequence[Connection]: ...

    def take(self, job: Job) -> None:
        """Do *job*, soon, in the user's own greenlet, and then rest()."""


Job = Callable[[User], None]


class Conductor:
    """One run of *plan*. *say* is called with lines about its progress."""

    def __init__(self, environment: Any, plan: Plan, say: Callable[[str], None]) -> None:
        self.environment = environment
        self.plan = plan
        self.say = say
        self.arms = [Arm(target, number) for number, target in enumerate(plan.targets)]
        self.stage = "starting"
        self.users = 0
        self._resting: list[User] = []  # a stack: few connections are busy, and those are warm
        self._all_rest = Event()
        self._finishing = False
        self._timer = Timer()
        self._fire = environment.events.request.fire
        self._epoch = time.time() - time.perf_counter()

    def run(self, users: int) -> dict[str, Any]:
        """Carry out the plan with *users*; return the result as JSON has it. Raises Hopeless.

        For one time only: what the arms have counted stays counted.
        """
        self.users = users
        nice = _set_priority(self.plan.nice)
        for arm in self.arms:
            arm.learn(self.plan.patience_s)
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
                    "requests": arm.requests,
                    "used": [_plain(reading) for reading in arm.used],
                }
                for arm in self.arms
            ],
        }

    def finish(self) -> None:
        """Send no further request; what is in flight is waited for and counts."""
        self._finishing = True

    def progress(self) -> str:
        """Where the run is, in a line."""
        done = sum(arm.tally.done for arm in self.arms)
        errors = sum(arm.tally.errors for arm in self.arms)
        return f"{self.stage}, {done:,} answers" + (f", {errors:,} errors" if errors else "")

    # The users

    def rest(self, user: User) -> None:
        """Called by a user that has nothing to do."""
        self._resting.append(user)
        if len(self._resting) >= self.users:
            self._all_rest.set()

    def _everybody(self, job: Job) -> None:
        """Give *job* to every user and wait until all have done it: the barrier between slices."""
        self._all_rest.clear()
        while self._resting:
            self._resting.pop().take(job)
        self._all_rest.wait()

    def _wait_for_all(self) -> None:
        """Wait until nothing is in flight. A request takes patience_s at most, so it is bounded."""
        self._all_rest.clear()
        if len(self._resting) < self.users:
            self._all_rest.wait()

    # One request

    def _request(self, user: User, arm: Arm, due: float | None = None) -> None:
        """Send one, judge its answer, count it and tell Locust. *due*: when it was intended."""
        connection = user.connections[arm.number]
        tally = arm.tally
        tally.sent += 1
        status, body = 0, b""
        exception: NoAnswer | WrongAnswer | None = None
        try:
            status, body = connection.get()
        except NoAnswer as error:
            # Its traceback would hold this frame, and this frame holds it: garbage that only the
            # collector could find, which is switched off.
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

    def _one_after_the_other(self, arm: Arm, until: float = math.inf) -> Job:
        """The job to send requests without a pause while there are tickets and time."""
        hopeless = HOPELESS_A_USER * self.users

        def job(user: User) -> None:
            while arm.tickets > 0 and time.perf_counter() < until and not self._finishing:
                arm.tickets -= 1
                arm.tally.intended += 1
                self._request(user, arm)
                if arm.tally.unanswered >= hopeless:
                    arm.tickets = 0

        return job

    def _loop(self, arm: Arm, tickets: float, until: float = math.inf) -> None:
        """Let all users send *tickets* requests in all. Raises Hopeless if the arm hangs."""
        arm.tickets = tickets
        self._everybody(self._one_after_the_other(arm, until))
        if arm.tally.unanswered >= HOPELESS_A_USER * self.users:
            raise Hopeless(
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
                self._measure(arm, partial(self._loop, arm, plan.slice))
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
        moments = arrivals(plan.rate, seconds, plan.seed)
        self._begin_measuring()
        self._measure(arm, lambda: self._let_arrive(arm, moments, seconds))
        return {}

    def _let_arrive(self, arm: Arm, moments: Sequence[float], seconds: float) -> None:
        """Send requests at *moments* of the next *seconds*, then wait for the last answers."""
        tally = arm.tally
        begin = time.perf_counter() + LEAD_S
        for moment in moments:
            due = begin + moment
            # Also when it is late it yields: those whose turn it was have to get on first.
            self._timer.sleep(due - time.perf_counter())
            if self._finishing:
                break
            tally.intended += 1
            if self._resting:
                self._resting.pop().take(partial(self._request, arm=arm, due=due))
            else:
                tally.dropped += 1
        else:
            self._timer.sleep(begin + seconds - time.perf_counter())
        self._wait_for_all()

    # What is measured

    def _begin_measuring(self) -> None:
        """Forget the warm-up, and keep Python's garbage collector out of what follows."""
        for arm in self.arms:
            arm.earlier += arm.tally.sent
            arm.tally = Tally()
            arm.warm_up = False
        self.environment.stats.reset_all()
        gc.collect()
        gc.freeze()
        gc.disable()  # requests leave no cycles behind, and a full collection takes tens of ms
        self.stage = MEASURING
        self.say(self.stage)

    def _measure(self, arm: Arm, work: Callable[[], None]) -> None:
        """Do *work* between two readings of the arm's counters, while nothing else is asked."""
        tally = arm.tally
        before = counters.read(arm.target.pids)
        sent, began, cpu = tally.sent, time.perf_counter(), time.process_time()
        work()
        tally.seconds += time.perf_counter() - began
        tally.cpu_s += time.process_time() - cpu
        gevent.sleep(SETTLE_S)
        arm.used.append(counters.used(before, counters.read(arm.target.pids)))
        arm.requests.append(tally.sent - sent)


def _set_priority(nice: int) -> int:
    """Ask for *nice*; return what is in force.

    The kernel may weigh sessions before it weighs processes (autogroup): the session's value is set
    as well.
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
