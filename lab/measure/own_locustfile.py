"""Puts the load of somebody's own Locust file on an arm that runs alone.

Its users log in, wait and check answers as the file says; the lab counts what Locust reports.
Response times are in whole milliseconds there, so figures of CPU time say more than latencies.
"""

from __future__ import annotations

import json
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

from lab.measure import child, counters
from lab.measure.histogram import Histogram
from lab.measure.load import LoadError, LoadResult, Progress, Target
from lab.measure.load_plan import LOG_FILE, MEASURING

# After the run time: for the tasks in progress, and for Locust's own start and end.
STOP_S, SPARE_S = 10, 30.0
_FAULTS, _LINES_OF_LOG = 5, 8


def run(
    target: Target, file: str, *, users: int, seconds: float, folder: Path, progress: Progress
) -> LoadResult:
    """Run *file* with *users* for *seconds*. Raises LoadError."""
    result, log = (folder / "own-result").resolve(), folder / LOG_FILE
    outcome = result.with_suffix(".json")
    outcome.unlink(missing_ok=True)
    options = [
        *("--headless", "--only-summary", "--loglevel=WARNING", "--exit-code-on-error=0"),
        *(f"--host={target.address}", f"--users={users}", f"--spawn-rate={users}"),
        *(f"--run-time={seconds:g}s", f"--stop-timeout={STOP_S}", f"--json-file={result}"),
    ]
    progress(MEASURING)
    before, used_before = counters.read(target.pids), resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = child.start(
            Path(file).resolve(), options, {}, stdout=subprocess.DEVNULL, stderr=output
        )
        try:
            process.wait(seconds + STOP_S + SPARE_S)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{file} did not end after {seconds:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    took = time.perf_counter() - begun
    used = counters.used(before, counters.read(target.pids))
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = cpu.ru_utime + cpu.ru_stime - used_before.ru_utime - used_before.ru_stime
    found = outcome if outcome.exists() else result
    if not found.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_OF_LOG:]
        raise LoadError("\n".join([f"Locust could not run {file}:", *lines]))
    entries: list[dict[str, Any]] = json.loads(found.read_text(encoding="utf-8"))
    if not sum(entry["num_requests"] for entry in entries):
        raise LoadError(f"{file} sent no request to {target.address} in {seconds:g} s")
    return _result(entries, users, took, cpu_s / took, used)


def _result(
    entries: list[dict[str, Any]],
    users: int,
    took: float,
    generator_cpu: float,
    used: counters.Reading,
) -> LoadResult:
    done = sum(entry["num_requests"] for entry in entries)
    errors = sum(entry["num_failures"] for entry in entries)
    times: list[float] = []
    for entry in entries:
        for milliseconds, count in entry["response_times"].items():
            times += [float(milliseconds) / 1000] * count
    begun = min(entry["start_time"] for entry in entries)
    ended = max(entry["last_request_timestamp"] or begun for entry in entries)
    faults = [f"{e['num_failures']} x {e['method']} {e['name']}" for e in entries]
    return LoadResult(
        seconds=max(ended - begun, 0.001) if ended > begun else took,
        users=users,
        earlier=0,
        intended=done,
        sent=done,
        done=done,
        dropped=0,
        errors=errors,
        wrong=0,
        faults=[text for text in faults if not text.startswith("0 x")][:_FAULTS],
        response=Histogram(times),
        service=Histogram(times),
        lag=Histogram(),
        longest_wait_ms=1000 * max(times, default=0.0),
        generator_cpu=generator_cpu,
        used=used,
        nice=0,
        answers={},
    )
