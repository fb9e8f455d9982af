"""A run on several processes or machines: the master counts, and its workers have the users.

Locust gives each worker its users and adds up the statistics. This module adds what belongs to our
users: names and identity checks, the last statistics of a run, and the workers that are lost.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
import sys
from time import monotonic
from typing import Any

import gevent
from locust import runners

from loadtest import identity
from loadtest.identity import ledger

EXIT_COULD_NOT_RUN = 3
# Users finish their task and log out (STOP_TIMEOUT_SECONDS), and the worker reports.
FINISH_SECONDS = 30.0
# Seconds of silence after which a worker is lost. Locust's 3 also lose one that is only busy.
runners.HEARTBEAT_LIVENESS = 10


def follow(environment: Any) -> None:
    """Give the accounts of this worker names of their own, and report its identity checks."""
    identity.number_accounts_from(environment.runner.worker_index * 1_000_000 + 1)
    environment.events.report_to_master.add_listener(_report)


def _report(data: dict[str, Any], **_: Any) -> None:
    data["identity"] = {"checks": ledger.checks, "leaks": ledger.leaks}
    ledger.checks, ledger.leaks = 0, []


class Workers:
    """The workers of a master. *fewest* is how many of them there were all the time."""

    def __init__(self, environment: Any, expected: int) -> None:
        self.expected = self.fewest = expected
        self._runner = environment.runner
        self._finishing = False
        environment.events.worker_report.add_listener(_add_report)

    def wait(self, seconds: float) -> None:
        """Return when all are connected; end the process if they are not after *seconds*."""
        print(f"waiting for {self.expected} workers", flush=True)
        deadline = monotonic() + seconds
        while self.waiting:
            if monotonic() > deadline:
                self.give_up(
                    f"{self.connected} connected within {seconds:g} s:"
                    " look at their output, or give fewer WORKERS",
                    EXIT_COULD_NOT_RUN,
                )
            gevent.sleep(0.1)

    @property
    def waiting(self) -> bool:
        """Whether workers are missing and nothing has begun."""
        return bool(self._runner.state == "ready" and self._runner.worker_count < self.expected)

    @property
    def connected(self) -> str:
        return f"{self._runner.worker_count} of {self.expected} workers"

    def give_up(self, why: str, code: int) -> None:
        """End the workers and this process. Locust would wait on without end."""
        try:
            self._runner.send_message("quit")
            gevent.sleep(0.5)
            print(f"loadtest: {why}", file=sys.stderr, flush=True)
        finally:  # also if nobody reads the message any more
            os._exit(code)

    def watch(self, seconds: float) -> None:
        """Wait for the workers of Locust's page, and say so when one is lost."""
        self.wait(seconds)
        print(f"{self.connected} are connected", flush=True)
        while True:
            self.look()
            gevent.sleep(1)

    def look(self) -> None:
        """Say so if a worker was lost."""
        runner = self._runner
        # A worker that finishes leaves the list; one that is missing stays in it.
        left = self.expected - len(runner.clients) if self._finishing else runner.worker_count
        if left < self.fewest:
            print(
                f"loadtest: {self.fewest - left} of {self.expected} workers lost, with their users"
                " and last statistics",
                file=sys.stderr,
                flush=True,
            )
            self.fewest = left

    def finish(self) -> None:
        """End the users and wait for the last statistics, which Locust does for half a second."""
        self.look()
        self._finishing = True
        self._runner.stop(send_stop_to_client=False)
        self._runner.send_message("quit")
        deadline = monotonic() + FINISH_SECONDS
        while self._runner.worker_count and monotonic() < deadline:
            gevent.sleep(0.1)


def _add_report(data: dict[str, Any], **_: Any) -> None:
    ledger.checks += data["identity"]["checks"]
    ledger.leaks += data["identity"]["leaks"]
