"""The generator's counts and times are those that nginx wrote about the same requests."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from lab.measure import load
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import SHAPE, arms
from lab.tests.slow_server import ignore

WAITS = "/workload/io?ms=20"
REQUESTS = 120


def test_a_request_takes_as_long_as_nginx_says(tmp_path: Path) -> None:
    with arms([ArmSpec("ours", SHAPE)]) as started:
        arm = started["ours"]
        target = load.Target("ours", arm.address, WAITS, arm.cookie)
        found = load.closed(
            target,
            users=2,
            seconds=None,
            requests=REQUESTS,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
        log = arm._instance.runtime.log("nginx")
    lines = [json.loads(line) for line in log.splitlines() if WAITS.partition("?")[0] in line]
    assert len(lines) == found.done + found.earlier == REQUESTS + 1
    # nginx counts whole milliseconds, from a clock that it reads once per round of events.
    nginx_ms = 1000 * fmean(line["seconds"] for line in lines[found.earlier :])
    assert nginx_ms >= 20
    assert found.service.mean_ms == pytest.approx(nginx_ms, abs=3 + 0.1 * nginx_ms)
