"""The generator's counts and times are those that nginx wrote about the same requests."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from lab.measure import load
from lab.measure.running_arm import RunningArm
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import SHAPE, arms
from lab.tests.slow_server import ignore

WAITS = "/workload/io?ms=20"
REQUESTS = 120
ROUNDS = 3


def test_a_request_takes_as_long_as_nginx_says(tmp_path: Path) -> None:
    """In one of three rounds: a busy machine delays either, an error of ours is in every one."""
    with arms([ArmSpec("ours", SHAPE)]) as started:
        rounds = (medians_ms(started["ours"], tmp_path / str(number)) for number in range(ROUNDS))
        # nginx counts whole milliseconds, from a clock that it reads once per round of events.
        agreed = (ours == pytest.approx(nginx, abs=3 + 0.1 * nginx) for ours, nginx in rounds)
        assert any(agreed)


def medians_ms(arm: RunningArm, folder: Path) -> tuple[float, float]:
    """The median of the generator and that of nginx, of the same requests."""
    folder.mkdir()
    earlier = len(logged(arm))
    found = load.closed(
        load.Target("ours", arm.address, WAITS, arm.cookie),
        users=2,
        seconds=None,
        requests=REQUESTS,
        warm_s=0,
        seed=1,
        folder=folder,
        progress=ignore,
    )
    lines = logged(arm)[earlier:]
    assert len(lines) == found.done + found.earlier == REQUESTS + 1
    nginx_ms = 1000 * median(line["seconds"] for line in lines[found.earlier :])
    assert nginx_ms >= 20
    return found.service.percentile(50), nginx_ms


def logged(arm: RunningArm) -> list[dict[str, Any]]:
    log = arm._instance.runtime.log("nginx")
    return [json.loads(line) for line in log.splitlines() if WAITS.partition("?")[0] in line]
