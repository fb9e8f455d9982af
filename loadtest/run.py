"""The command line: ``python -m loadtest [--profile P] [--host URL]``.

With a profile it runs Locust headless, prints a table and writes a folder under
``results/loadtest/<profile>/``. Without one it starts Locust's web page. Exit codes: 0 every
threshold kept, 1 one broken, 2 usage, 3 could not run, 130 interrupted. Locust runs in a process of
its own, because it patches the interpreter that it runs in.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from loadtest import child, latest, profiles, target

LOCUSTFILE = Path(__file__).with_name("locustfile.py").resolve()

EXIT_BROKEN, EXIT_USAGE, EXIT_COULD_NOT_RUN, EXIT_INTERRUPTED = 1, 2, 3, 130
# Users finish their current task and log out; after this time Locust kills them.
STOP_TIMEOUT_SECONDS = 10
BUSY_GENERATOR_PERCENT = 85
MUCH_STOLEN = 0.05


class CouldNotRun(Exception):
    """The run failed before it had a result. The text says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        profile = profiles.read(arguments.profile, os.environ) if arguments.profile else None
        host = target.resolve(arguments.host, os.environ)
        if arguments.check:
            return 0
        target.check_answers(host)
        if profile is None:
            return serve_page(host, arguments.web_host, arguments.web_port)
        return run_profile(profile, host, Path(arguments.results))
    except profiles.ProfileError as error:
        return _complain(str(error), EXIT_USAGE)
    except target.TargetError as error:
        return _complain(str(error), EXIT_USAGE if error.usage else EXIT_COULD_NOT_RUN)
    except CouldNotRun as error:
        return _complain(str(error), EXIT_COULD_NOT_RUN)


def run_profile(profile: profiles.Profile, host: str, results: Path) -> int:
    """Run *profile* against *host*, report, and return the exit code. Raises CouldNotRun."""
    try:
        folder = latest.new_folder(results / profile.name)
    except OSError as error:
        raise CouldNotRun(
            f"cannot write results to {results / profile.name} ({error.strerror}): "
            "give another --results"
        ) from error
    bound = f"{profile.seconds:,.0f} s"
    if profile.requests:
        bound = f"{profile.requests:,} requests or {bound}"
    print(f"{profile.name}: {profile.users} users against {host} for {bound}", flush=True)
    arguments = [
        f"--host={host}",
        "--headless",
        "--only-summary",
        f"--stop-timeout={STOP_TIMEOUT_SECONDS}",
        f"--csv={folder / 'locust'}",
        f"--json-file={folder / 'locust'}",
        f"--html={folder / 'report.html'}",
        f"--logfile={folder / 'locust.log'}",
    ]
    code, stopped = _supervise(arguments, LOADTEST_PROFILE=profile.name, LOADTEST_OUT=str(folder))
    if sys.stdout.isatty():
        print()
    latest.point_to(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if stopped:
            return EXIT_INTERRUPTED
        raise CouldNotRun(
            f"Locust ended with {code} and left no summary: "
            f"see the output above and {folder / 'locust.log'}"
        ) from None
    print(table(summary))
    print(f"report  {folder / 'report.html'}")
    return code


def serve_page(host: str, web_host: str, port: int) -> int:
    """Run Locust's web page until Ctrl-C; return the exit code. Raises CouldNotRun."""
    address = f"http://{'127.0.0.1' if web_host == '0.0.0.0' else web_host}:{port}"  # noqa: S104
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((web_host, port))
        except OSError as error:
            raise CouldNotRun(
                f"cannot listen on {web_host}:{port} ({error.strerror}): "
                "give another port with --web-port"
            ) from error
    print(f"Locust's page: {address}  (loads {host}; Ctrl-C stops it)", flush=True)
    arguments = [
        f"--host={host}",
        f"--stop-timeout={STOP_TIMEOUT_SECONDS}",
        f"--web-host={web_host}",
        f"--web-port={port}",
        "--loglevel=WARNING",
    ]
    code, stopped = _supervise(arguments)
    return 0 if stopped else code


def table(summary: dict[str, Any]) -> str:
    """The run as text: requests, failures, thresholds, notes and the verdict."""
    total = {
        "request": "all",
        "failures": summary["errors"] + summary["refused"],
        "max_ms": max((row["max_ms"] for row in summary["rows"]), default=None),
        **{key: summary[key] for key in ("requests", "rps", "p50_ms", "p95_ms", "p99_ms")},
    }
    width = max([30, *(len(row["request"]) for row in summary["rows"])])
    lines = [
        "",
        f"{'request':<{width}} {'number':>9} {'failed':>7} {'per s':>7}"
        f" {'p50':>7} {'p95':>7} {'p99':>7} {'max ms':>8}",
    ]
    for row in [*summary["rows"], total]:
        lines.append(
            f"{row['request']:<{width}} {row['requests']:>9,} {row['failures']:>7,}"
            f" {row['rps']:>7,.1f} {_ms(row['p50_ms']):>7} {_ms(row['p95_ms']):>7}"
            f" {_ms(row['p99_ms']):>7} {_ms(row['max_ms']):>8}"
        )
    if summary["failures"]:
        lines.append("")
        for failure in summary["failures"]:
            lines.append(f"{failure['count']:>9,} x {failure['request']}: {failure['failure']}")
    lines.append("")
    for rule in summary["thresholds"]:
        state = "kept" if rule["kept"] else "BROKEN"
        lines.append(f"{state:<8}{rule['name']:<18}{rule['found']:>12}   {rule['limit']}")
    lines += ["", *_notes(summary), _verdict(summary)]
    return "\n".join(lines)


def _notes(summary: dict[str, Any]) -> list[str]:
    notes = []
    cpu = summary["generator"]["cpu_percent_of_a_core"]
    if cpu is not None and cpu > BUSY_GENERATOR_PERCENT:
        notes.append(
            f"note    Locust used {cpu:.0f} % of its core, so part of the latency is its own"
        )
    stolen = summary["generator"]["stolen_share"]
    if stolen is not None and stolen > MUCH_STOLEN:
        notes.append(f"note    the host gave {stolen:.0%} of this machine's CPU time to others")
    return notes


def _verdict(summary: dict[str, Any]) -> str:
    broken = [rule["name"] for rule in summary["thresholds"] if not rule["kept"]]
    if summary["interrupted"]:
        state = f"interrupted after {summary['seconds']:.0f} s"
        return f"{summary['profile']}: {state}" + f"; broken: {', '.join(broken)}" * bool(broken)
    if broken:
        return f"{summary['profile']}: BROKEN: {', '.join(broken)}"
    return f"{summary['profile']}: every threshold kept"


def _supervise(arguments: list[str], **environment: str) -> tuple[int, bool]:
    """Run Locust with *arguments*; return its exit code and whether we received a signal.

    The first SIGINT or SIGTERM is passed on as SIGINT, the second kills Locust.
    """
    locust = child.start(LOCUSTFILE, arguments, environment)
    stopped = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            locust.kill()
        else:
            locust.send_signal(signal.SIGINT)
            print("\nstopping; interrupt again to kill it", file=sys.stderr, flush=True)
        stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return locust.wait(), stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(profiles.PROFILES)
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="Load the running stack: headless with --profile, else on Locust's web page.",
    )
    parser.add_argument("--profile", help=f"one of {names}")
    parser.add_argument("--host", help="address to load (default: HOST=, else the running stack)")
    parser.add_argument("--results", default="results/loadtest", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="check the options and exit")
    parser.add_argument("--web-host", default="127.0.0.1", help="Locust's page; %(default)s")
    parser.add_argument("--web-port", default=8089, type=int, help="Locust's page; %(default)s")
    return parser


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _complain(message: str, code: int) -> int:
    print(f"loadtest: {message}", file=sys.stderr)
    return code
