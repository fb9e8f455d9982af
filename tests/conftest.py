"""Which tests can run here, and a plain word about those that cannot.

A machine without a container engine, Chromium or tracepoints still gets a useful `make test`: what
needs them is left out, and the summary says what and why. `TEST_ALL=yes` (as .ci/run sets it) turns
a missing one into a failure, so that no run there is green by leaving things out.
"""

import os
import shutil
import subprocess
from collections import Counter
from functools import cache

import pytest

from lab.measure import eagain

TEST_ALL = os.environ.get("TEST_ALL") == "yes"
_left_out: Counter[str] = Counter()


@cache
def missing_engine() -> str | None:
    """Why container tests cannot run here; None when they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for command in (["docker", "compose", "version"], ["docker", "info"]):
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=20, check=False
            )
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` does not answer"
        if answer.returncode != 0:
            lines = (answer.stderr or answer.stdout).strip().splitlines()
            return f"`{' '.join(command)}` says: {lines[-1] if lines else 'nothing'}"
    return None


@cache
def missing_browser() -> str | None:
    """Why browser tests cannot run here; None when they can."""
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return None
    return "Chromium is not installed (Debian: apt-get install chromium)"


@cache
def missing_tracepoints() -> str | None:
    """Why nobody can count a system call's failures here; None when one can."""
    return eagain.missing()


NEEDS = {
    "containers": missing_engine,
    "browser": missing_browser,
    "tracepoints": missing_tracepoints,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left = [], []
    for item in items:
        reason = next(
            (
                f"{marker}: {why}"
                for marker, missing in NEEDS.items()
                if item.get_closest_marker(marker) and (why := missing())
            ),
            None,
        )
        if reason is None:
            kept.append(item)
        else:
            left.append(item)
            _left_out[reason] += 1
    if left and TEST_ALL:
        reasons = "; ".join(_left_out)
        raise pytest.UsageError(f"TEST_ALL=yes, but {len(left)} tests cannot run here: {reasons}")
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, count in _left_out.items():
        terminalreporter.write_line(f"left out: {count} tests that need {reason}", yellow=True)
