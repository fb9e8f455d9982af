"""What a test needs of the machine: which tests can run here, and which of them must run alone.

A machine without a container engine or Chromium still gets a useful `make test`. The tests that
need them are left out, and the summary lists how many and why. With `TEST_ALL=yes` (.ci/run sets
it) they fail instead, so that a run is never green because something was missing.

The rest is for pytest-xdist. A file is run by one worker, so that the servers of a module start
once. Tests in containers share one stack and browser tests share another, so each of these groups
is run by one worker too. What takes long starts early, and what waits most of its time is one more
group, so that it leaves the cores to the others. A test marked `quiet` measures time: no other test
runs beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest
from _pytest.nodeid import coerce_node_id

from tests.servers.postgresql import programs

TEST_ALL = os.environ.get("TEST_ALL") == "yes"
LEFT_OUT = pytest.StashKey[dict[str, int]]()
GROUPS = ("containers", "browser", "quiet", "waits")
# By marker. The longest group starts first, and what runs alone comes last.
ORDER = ("containers", "waits", "long", "browser", None, "quiet")


@cache
def missing_engine() -> str | None:
    """Return why container tests cannot run here; None if they can."""
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
            return f"`{' '.join(command)}`: {lines[-1] if lines else 'no output'}"
    return None


def chromium_program() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@cache
def missing_browser() -> str | None:
    """Return why browser tests cannot run here; None if they can."""
    if chromium_program() is None:
        return "Chromium is not installed (Debian: apt-get install chromium)"
    return None


def missing_postgresql() -> str | None:
    """Return why a test cannot start a PostgreSQL server here; None if it can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return None


def missing_acme() -> str | None:
    """Return why no certificate can be obtained here; None if one can."""
    lacking = [name for name in ("certbot", "pebble") if shutil.which(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} (Debian: apt-get install certbot pebble)"
    return None


def missing_uv() -> str | None:
    """Return why no pins can be resolved here; None if they can."""
    places = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
    return None if shutil.which("uv", path=places) else "uv (make pins installs it)"


@cache
def missing_http2() -> str | None:
    """Return why there is no client for HTTP/2 here; None if there is."""
    if shutil.which("h2load") is None or shutil.which("curl") is None:
        return "h2load and curl (Debian: apt-get install nghttp2-client curl)"
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False)
    return None if "HTTP2" in version.stdout else "a curl with HTTP/2"


# By marker. The conftest.py of another folder may add to it.
MISSING: dict[str, Callable[[], str | None]] = {
    "containers": missing_engine,
    "browser": missing_browser,
    "postgresql": missing_postgresql,
    "acme": missing_acme,
    "http2": missing_http2,
    "uv": missing_uv,
}


def _reason(item: pytest.Item) -> str | None:
    for marker, missing in MISSING.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            return f"{marker}: {reason}"
    return None


def _marker(item: pytest.Item, names: Iterable[str | None]) -> str | None:
    """Return the first of *names* that *item* is marked with, or None."""
    return next((name for name in names if name and item.get_closest_marker(name)), None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = config.stash.setdefault(LEFT_OUT, {})
    if not TEST_ALL:
        left = {item: reason for item in items if (reason := _reason(item))}
        for reason in left.values():
            left_out[reason] = left_out.get(reason, 0) + 1
        if left:
            config.hook.pytest_deselected(items=list(left))
            items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: ORDER.index(_marker(item, ORDER)))
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = left_out
        for item in items:
            if group := _marker(item, GROUPS):
                # What pytest.mark.xdist_group does by `_nodeid`, which pytest 9.2 does not have.
                item._id = coerce_node_id(f"{item.nodeid}@{group}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if TEST_ALL and (reason := _reason(item)):
        pytest.fail(f"TEST_ALL=yes, but this test cannot run here. {reason}", pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not hasattr(item.config, "workerinput"):
        return (yield)
    # The workers of a run, and of two runs in one checkout, all lock the same file.
    with (item.config.rootpath / "pyproject.toml").open() as file:
        quiet = item.get_closest_marker("quiet")
        fcntl.flock(file, fcntl.LOCK_EX if quiet else fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # All workers collect the same tests, and report the same numbers.
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadGroupScheduling

    class GroupsAndFiles(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group: str = super()._split_scope(nodeid)
            return nodeid.partition("::")[0] if group == nodeid else group

    return GroupsAndFiles(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, count in terminalreporter.config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"left out: {count} tests that need {reason}", yellow=True)
