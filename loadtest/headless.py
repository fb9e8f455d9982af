"""Listeners to Locust's events: the profile's shape, its progress and its verdict.

Locust prints its own tables and writes report.html and the CSV files. This module adds the
verdict, the exit code and `summary.json`.
"""

# mypy: allow-untyped-calls
# (Locust is marked as typed but leaves many functions without annotations.)
from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
from locust import LoadTestShape, events
from locust.exception import StopTest
from locust.stats import calculate_response_time_percentile

from loadtest import profiles
from loadtest.identity import ledger
from loadtest.latest import point_to
from loadtest.target import TargetError, refuse_foreign
from loadtest.workers import Workers, follow

EXIT_OK, EXIT_BROKEN, EXIT_INTERRUPTED = 0, 1, 130
SECONDS_BETWEEN_LINES = 5  # of progress
# A signal to the whole process group arrives twice: make's program passes it on as well.
SECONDS_OF_ONE_SIGNAL = 1.0


class ProfileShape(LoadTestShape):
    """The number of users at each moment; ends the run at the limit of time or of requests.

    All profiles are closed loops: a user waits for the response and then for its think time. The
    requests per second follow from the number of users, not from what the server can do.
    """

    runner: Any

    def __init__(self, profile: profiles.Profile, runner: Any, workers: Workers | None) -> None:
        super().__init__()
        self.profile = profile
        self.runner = runner
        self.workers = workers
        self.completed = False
        self.stopped_at: float | None = None

    def tick(self) -> tuple[int, float] | None:
        users = self._users()
        if self.workers:
            self.workers.look() if users else self.workers.finish()
        return users

    def _users(self) -> tuple[int, float] | None:
        if self.stopped_at is not None:
            return None
        profile, elapsed = self.profile, self.get_run_time()
        enough = profile.requests and self.runner.stats.num_requests >= profile.requests
        if elapsed >= profile.seconds or enough:
            self.completed = True
            return None
        share = profile.shape(elapsed / profile.seconds)
        return max(1, round(share * profile.users)), profile.rate

    def stop(self) -> None:
        """Handler of signals: end the run at the next tick, or the process the second time."""
        if self.stopped_at is not None:
            if monotonic() - self.stopped_at > SECONDS_OF_ONE_SIGNAL:
                os._exit(EXIT_INTERRUPTED)
            return
        if self.workers and self.workers.waiting:
            connected = self.workers.connected
            self.workers.give_up(f"interrupted while {connected} were connected", EXIT_INTERRUPTED)
        self.stopped_at = monotonic()
        print("\nstopping; interrupt again to kill it", file=sys.stderr, flush=True)


def begin(environment: Any, **_: Any) -> None:
    """Listener of ``init``: choose the users; in a headless run, apply LOADTEST_PROFILE."""
    options = environment.parsed_options
    headless = options.headless
    if options.worker:
        follow(environment)
        return
    name = os.environ.get("LOADTEST_PROFILE", "smoke") if headless else profiles.OF_THE_PAGE
    # A class without `profiles` is not one of ours and takes part in all.
    environment.user_classes[:] = [
        user for user in environment.user_classes if name in getattr(user, "profiles", (name,))
    ]
    workers = Workers(environment, options.expect_workers) if options.master else None
    wait = float(os.environ.get("LOADTEST_WAIT", "60"))
    if not headless:
        if workers:
            watch = gevent.spawn(workers.watch, wait)
            events.quitting.add_listener(lambda **_: watch.kill())
        # The page preselects all classes that it lists.
        users = {user.__name__: user for user in environment.user_classes}
        environment.available_user_classes = users
        for user_name, user in users.items():
            summary = (user.__doc__ or "").strip().split("\n")[0]
            print(f"  {user_name:<8}{summary}", flush=True)
        # Python raises KeyboardInterrupt in whatever runs, and there gevent may drop it.
        gevent.signal_handler(signal.SIGINT, gevent.getcurrent().throw, KeyboardInterrupt)
        return
    if workers:
        gevent.spawn(workers.wait, wait)
    shape = ProfileShape(profiles.read(name, os.environ), environment.runner, workers)
    environment.shape_class = shape
    # Python's KeyboardInterrupt would be raised in whichever user is running, and Locust's own
    # handler of SIGTERM writes no report.
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, shape.stop)
    progress = gevent.spawn(_show_progress, shape)

    def judge(**_: Any) -> None:
        progress.kill()
        _judge(shape, environment)

    events.quitting.add_listener(judge)


def refuse_foreign_host(environment: Any, **_: Any) -> None:
    """Listener of ``test_start``: Locust's page and ``--host`` can name any address."""
    try:
        refuse_foreign(str(environment.host).rstrip("/"), os.environ)
    except TargetError as error:
        raise StopTest(str(error)) from error


def totals(runner: Any) -> dict[str, float]:
    """The figures of the run that the thresholds are about."""
    rows = runner.stats.entries.values()
    refused = sum(row.num_requests for row in rows if row.name.startswith("429 "))
    latencies: Counter[int] = Counter()
    for row in rows:
        if not row.name.startswith("429 "):
            latencies.update(row.response_times)
    exceptions = sum(entry["count"] for entry in runner.exceptions.values())
    return {
        "requests": runner.stats.num_requests,
        "errors": runner.stats.num_failures - refused + exceptions,
        "refused": refused,
        "p95_ms": calculate_response_time_percentile(latencies, latencies.total(), 0.95),
        "leaks": len(ledger.leaks),
        "identity_checks": ledger.checks,
    }


def _judge(shape: ProfileShape, environment: Any) -> None:
    """Listener of ``quitting``: set the exit code, write the results, and print the verdict."""
    profile, workers = shape.profile, shape.workers
    # Locust ends a run whose last worker is lost.
    interrupted = not shape.completed and (workers is None or shape.stopped_at is not None)
    found = totals(environment.runner)
    if workers:
        workers.look()
    counted = (workers.fewest, workers.expected) if workers else None
    rules = profiles.judge(found, profile, interrupted=interrupted, workers=counted)
    broken = ", ".join(rule.name for rule in rules if not rule.kept)
    verdict = f"BROKEN: {broken}" if broken else "every threshold kept"
    environment.process_exit_code = EXIT_BROKEN if broken else EXIT_OK
    if interrupted:
        verdict = f"interrupted after {shape.get_run_time():.0f} s" + f"; {verdict}" * bool(broken)
        environment.process_exit_code = EXIT_INTERRUPTED
    lines = [
        f"{'kept' if rule.kept else 'BROKEN':<8}{rule.name:<18}{rule.found:>12}   {rule.limit}"
        for rule in rules
    ]
    if out := os.environ.get("LOADTEST_OUT"):  # not set if locust was started directly
        folder = Path(out)
        if ledger.leaks:
            leaks = "".join(f"{json.dumps(leak)}\n" for leak in ledger.leaks)
            (folder / "identity-leaks.jsonl").write_text(leaks, encoding="utf-8")
        summary = {
            "profile": profile.name,
            "host": environment.host,
            "interrupted": interrupted,
            **found,
            "thresholds": [rule._asdict() for rule in rules],
            "rows": [row.serialize() for row in environment.runner.stats.entries.values()],
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        point_to(folder)
        lines.append(f"report  {folder / 'report.html'}")
    lines.append(f"{profile.name}: {verdict}")

    def leave(**_: Any) -> None:
        # Python gives SIGINT its default effect while it ends, and a late second one would take the
        # place of the exit code. All results are written.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Behind Locust's own tables.
        print("\n".join(lines), flush=True)

    events.quit.add_listener(leave)


def _show_progress(shape: ProfileShape) -> None:
    profile, runner = shape.profile, shape.runner
    while True:
        gevent.sleep(SECONDS_BETWEEN_LINES)
        if shape.workers and shape.workers.waiting:
            continue
        found, total = totals(runner), runner.stats.total
        p95 = total.get_current_response_time_percentile(0.95) or found["p95_ms"]
        enough = f"/{profile.requests:,}" if profile.requests else ""
        print(
            f"{profile.name}  {shape.get_run_time():.0f}/{profile.seconds:.0f} s",
            f"{found['requests']:,}{enough} requests",
            f"{runner.user_count} users",
            f"{total.current_rps:,.0f} req/s",
            f"p95 {p95:,.0f} ms",
            f"{found['errors']:,} errors",
            f"{found['refused']:,} refused",
            f"{found['leaks']:,} identity leaks",
            sep="  ",
            flush=True,
        )
