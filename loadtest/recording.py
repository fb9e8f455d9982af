"""Listeners to Locust's events: a progress line, finer latencies, and summary.json.

Runs inside Locust's process. thresholds.py judges the summary, and run.py prints it.
"""

# mypy: allow-untyped-calls
# (Locust is marked as typed but leaves many functions without annotations.)
from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import locust.runners
import locust.stats
from locust import events
from locust.exception import StopTest

from loadtest import profiles, shapes
from loadtest.identity import ledger
from loadtest.target import TargetError, refuse_foreign
from loadtest.thresholds import judge

log = logging.getLogger(__name__)

EXIT_OK, EXIT_BROKEN, EXIT_INTERRUPTED = 0, 1, 130
SECONDS_BETWEEN_LINES = 5  # of progress, when the output is not a terminal
# The users of Locust's page, where no profile is chosen, are those of this profile.
PAGE_PROFILE = "steady"


def bucket(milliseconds: float) -> float:
    """Round to three significant digits, but not finer than 0.1 ms.

    Locust rounds to 1 ms, which hides that a response of 3 ms became 15 % slower.
    """
    if milliseconds < 100:
        return round(milliseconds, 1)
    digits = len(str(int(milliseconds))) - 3
    return round(milliseconds, -digits)


locust.stats.bucket_response_time = bucket  # type: ignore[assignment]  # annotated as int
# Locust reads its own CPU usage every 10 s, which misses that it caused a short spike itself.
locust.runners.CPU_MONITOR_INTERVAL = 1.0


class Recorder:
    """Counts what Locust's statistics do not tell apart."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, **_: Any) -> None:
        self.started = datetime.now(UTC)
        self.clock = time.monotonic()
        self.answered: Counter[float] = Counter()  # latency in ms of successful requests
        self.requests = self.failures = self.refused = 0
        self.peak_users = 0
        self.generator_cpu: list[float] = []
        self.cpu_at_start = _cpu_times()
        ledger.clear()

    def on_request(
        self, name: str, response_time: float, exception: Exception | None, **_: Any
    ) -> None:
        self.requests += 1
        if exception is None:
            self.answered[bucket(response_time)] += 1
        elif name.startswith("429 "):
            self.refused += 1
        else:
            self.failures += 1

    def on_usage(self, cpu_usage: float, **_: Any) -> None:
        self.generator_cpu.append(cpu_usage)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.clock


def begin(environment: Any, **_: Any) -> None:
    """Listener of ``init``: record every run; in a headless run, apply LOADTEST_PROFILE."""
    recorder = Recorder()
    events.test_start.add_listener(recorder.reset)
    events.request.add_listener(recorder.on_request)
    events.usage_monitor.add_listener(recorder.on_usage)
    headless = environment.parsed_options.headless
    name = os.environ.get("LOADTEST_PROFILE", "smoke") if headless else PAGE_PROFILE
    # A class without `profiles` is not one of ours and takes part in all.
    environment.user_classes[:] = [
        user for user in environment.user_classes if name in getattr(user, "profiles", (name,))
    ]
    if not headless:
        return
    shape = shapes.SHAPES[name](name)
    shape.runner = environment.runner
    environment.shape_class = shape
    # Python's KeyboardInterrupt would be raised in whichever user is running.
    gevent.signal_handler(signal.SIGINT, shape.stop)
    progress = gevent.spawn(_show_progress, recorder, environment.runner, shape)

    def finish(**_: Any) -> None:
        progress.kill()
        _finish(recorder, environment, shape)

    events.quitting.add_listener(finish)


def refuse_foreign_host(environment: Any, **_: Any) -> None:
    """Listener of ``test_start``: Locust's page and ``--host`` can name any address."""
    try:
        refuse_foreign(str(environment.host).rstrip("/"), os.environ)
    except TargetError as error:
        raise StopTest(str(error)) from error


def percentile(latencies: Mapping[float, int], share: float) -> float | None:
    """The latency in ms that *share* of the requests did not exceed; None without requests."""
    total = sum(latencies.values())
    seen = 0
    for latency in sorted(latencies):
        seen += latencies[latency]
        if seen >= share * total:
            return latency
    return None


def progress_line(
    recorder: Recorder,
    profile: profiles.Profile,
    rate: float,
    recent: Mapping[float, int],
    user_count: int,
) -> str:
    """The state of the run in one line."""
    p95 = percentile(recent, 0.95)
    parts = [f"{profile.name}  {_minutes(recorder.seconds)}/{_minutes(profile.seconds)}"]
    if profile.requests:
        parts.append(f"{recorder.requests:,}/{profile.requests:,} requests")
    parts += [
        f"{user_count} users",
        f"{rate:,.0f} req/s",
        "p95 -" if p95 is None else f"p95 {p95:,.1f} ms",
        f"{recorder.failures:,} failed",
        f"{recorder.refused:,} refused",
        f"{len(ledger.leaks):,} identity leaks",
    ]
    return "  ".join(parts)


def summary(
    recorder: Recorder, environment: Any, profile: profiles.Profile, *, interrupted: bool
) -> dict[str, Any]:
    """The result of the run as JSON. Latencies are in ms, shares from 0 to 1."""
    stats = environment.runner.stats
    seconds = recorder.seconds
    exceptions = [
        {"request": "exception in a user's code", "failure": entry["msg"], "count": entry["count"]}
        for entry in environment.runner.exceptions.values()
    ]
    return {
        "profile": profile.name,
        "host": environment.host,
        "started": recorder.started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "interrupted": interrupted,
        "users": recorder.peak_users,
        "requests": recorder.requests,
        "errors": recorder.failures + sum(entry["count"] for entry in exceptions),
        "refused": recorder.refused,
        "leaks": len(ledger.leaks),
        "identity_checks": ledger.checks,
        "rps": round(recorder.requests / seconds, 1) if seconds else 0.0,
        **_percentiles(recorder.answered),
        "rows": [_row(entry) for entry in _sorted(stats.entries.values())],
        "failures": exceptions
        + [
            {
                "request": f"{error.method} {error.name}",
                "failure": _failure_name(error.error),
                "count": error.occurrences,
            }
            for error in sorted(stats.errors.values(), key=lambda error: -error.occurrences)
        ],
        "generator": {
            "cpu_percent_of_a_core": _mean(recorder.generator_cpu),
            "cpu_percent_highest": max(recorder.generator_cpu, default=None),
            "stolen_share": _stolen_share(recorder.cpu_at_start, _cpu_times()),
        },
    }


def _finish(recorder: Recorder, environment: Any, shape: shapes.ProfileShape) -> None:
    """Listener of ``quitting``: write the summary and set Locust's exit code."""
    profile = shape.profile
    found = summary(recorder, environment, profile, interrupted=not shape.completed)
    rules = judge(found, profile.limits, profile.requests)
    found["thresholds"] = [vars(rule) for rule in rules]
    if found["interrupted"]:
        environment.process_exit_code = EXIT_INTERRUPTED
    else:
        kept = all(rule.kept for rule in rules)
        environment.process_exit_code = EXIT_OK if kept else EXIT_BROKEN
    folder = os.environ.get("LOADTEST_OUT")
    if folder is None:  # locust was started directly, not by run.py
        return
    if ledger.leaks:
        lines = "".join(f"{json.dumps(leak)}\n" for leak in ledger.leaks)
        Path(folder, "identity-leaks.jsonl").write_text(lines, encoding="utf-8")
    Path(folder, "summary.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _show_progress(recorder: Recorder, runner: Any, shape: shapes.ProfileShape) -> None:
    parent = os.getppid()
    rewrite = sys.stdout.isatty()
    requests, answered, shown = 0, Counter[float](), 0.0
    while True:
        gevent.sleep(1)
        if os.getppid() != parent:
            log.error("the process that started this run has ended: stopping")
            shape.stop()
            return
        recorder.peak_users = max(recorder.peak_users, runner.user_count)
        interval = recorder.seconds - shown
        if interval < (1 if rewrite else SECONDS_BETWEEN_LINES):
            continue
        line = progress_line(
            recorder,
            shape.profile,
            (recorder.requests - requests) / interval,
            recorder.answered - answered,
            runner.user_count,
        )
        print(f"\r\x1b[K{line}" if rewrite else line, end="" if rewrite else "\n", flush=True)
        requests, answered, shown = (
            recorder.requests,
            recorder.answered.copy(),
            recorder.seconds,
        )


def _percentiles(latencies: Mapping[float, int]) -> dict[str, float | None]:
    return {
        "p50_ms": percentile(latencies, 0.50),
        "p95_ms": percentile(latencies, 0.95),
        "p99_ms": percentile(latencies, 0.99),
    }


def _row(entry: Any) -> dict[str, Any]:
    return {
        "request": f"{entry.method} {entry.name}",
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "rps": round(entry.total_rps, 1),
        **_percentiles(entry.response_times),
        "max_ms": bucket(entry.max_response_time),  # rounded like the others, so never below p99
    }


def _sorted(entries: Iterable[Any]) -> list[Any]:
    return sorted(entries, key=lambda entry: (entry.name, entry.method))


def _failure_name(error: Any) -> str:
    # Most are CatchResponseErrors, whose argument is the text given to response.failure().
    return str(error.args[0]) if getattr(error, "args", None) else str(error)


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 1) if values else None


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _cpu_times() -> list[int]:
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return []
    return [int(ticks) for ticks in first.split()[1:9]]


def _stolen_share(before: list[int], after: list[int]) -> float | None:
    """The share of this machine's CPU time that its host gave to others (steal, the 8th field)."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return round(spent[7] / sum(spent), 3) if spent and sum(spent) else None
