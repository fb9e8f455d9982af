"""Runs arms of the lab for a test module."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab.measure.running_arm import RunningArm, start_all
from lab.plan.arms import ArmSpec

SHAPE = {"STACK_PROCESSES": "2", "STACK_THREADS": "2"}
MIRROR = {**SHAPE, "STACK_APP": "mirror:with_mirror()"}
PROTECTED = "/workload/protected"
# Settings that a server needs in addition to SHAPE.
NEEDS = {"uwsgi-reuse-port": {"STACK_THUNDER_LOCK": "off", "STACK_SOCKET": "tcp"}}


@contextmanager
def arms(specs: list[ArmSpec]) -> Iterator[dict[str, RunningArm]]:
    """Start *specs* side by side and yield them by name. Their apps may be in foreign_app/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "foreign_app"))
        running = start_all(specs, path=PROTECTED)
    try:
        yield {arm.spec.name: arm for arm in running}
    finally:
        for arm in running:
            arm.stop()


def ask(
    arm: RunningArm,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send one request on a connection of its own."""
    where = urlsplit(arm.address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()
