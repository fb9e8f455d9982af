"""A trial's figures follow the definitions of trial.METRICS."""

import os
from pathlib import Path
from typing import Any

import pytest

from lab.measure import counters, load, running_arm, testbed
from lab.measure.histogram import Histogram
from lab.measure.load import LoadError, LoadResult
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Load
from lab.plan.schedule import SoloRun
from lab.trial import METRICS, Trial, TrialFailed

SPEC = ArmSpec("ours")
CLOSED = Load("full", "closed", path="/workload/io?ms=20", users=2, seconds=2.0)
OPEN = Load("open", "open", rate=100.0)

EARLIER, SENT = 50, 200


class FakeArm:
    """Serves EARLIER + SENT requests between two looks: four Redis commands each, one worker does
    three times what the other does."""

    spec, address, cookie, start_s = SPEC, "http://127.0.0.1:1", "session=x", 1.5
    options, slots = {"STACK_THREADS": "2"}, 8
    wrong_options: list[str] = []  # noqa: RUF012 - a fake

    def __init__(self) -> None:
        self.looks = 0
        self.stopped = False

    def pids(self) -> dict[str, list[int]]:
        return {"nginx": [], "app": [os.getpid()], "redis": []}

    def served(self) -> int:
        self.looks += 1
        return 7 + (self.looks - 1) * (EARLIER + SENT)

    def redis_commands(self) -> int:
        return 11 + (self.looks - 1) * 4 * (EARLIER + SENT)

    def worker_requests(self) -> dict[int, int]:
        done = (self.looks - 1) * (EARLIER + SENT)
        return {1: 5 + done * 3 // 4, 2: 9 + done // 4}

    def stop(self) -> None:
        self.stopped = True


def result(**changes: Any) -> LoadResult:
    fields: dict[str, Any] = {
        "seconds": 2.0,
        "users": 2,
        "earlier": EARLIER,
        "intended": SENT + 3,
        "sent": SENT,
        "done": SENT - 1,
        "dropped": 3,
        "errors": 2,
        "wrong": 1,
        "faults": ["2 x 502 Bad Gateway"],
        "response": Histogram([0.02] * (SENT - 2)),
        "service": Histogram([0.01] * (SENT - 2)),
        "lag": Histogram([0.01] * (SENT - 2)),
        "longest_wait_ms": 30.0,
        "generator_cpu": 0.4,
        "nice": -10,
        "used": counters.Reading(
            clock=2.0,
            cpu_ns={"nginx": 10_000_000, "app": 80_000_000, "redis": 6_000_000},
            voluntary={"nginx": 999, "app": 500, "redis": 999},
            involuntary={"nginx": 999, "app": 20, "redis": 999},
        ),
    }
    return LoadResult(**{**fields, **changes})


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> FakeArm:
    fake = FakeArm()
    monkeypatch.setattr(running_arm, "start", lambda *_, **__: fake)
    monkeypatch.setattr(load, "closed", lambda *_, **__: result())
    monkeypatch.setattr(load, "open_loop", lambda *_, **__: result())
    return fake


def visit(folder: Path, under: Load) -> Trial:
    bench = testbed.Testbed("local", folder / "locust")
    (trial,) = bench.run_alone(SoloRun(SPEC, (under,)), {under.name: 1}, lambda _: None)
    return trial


def test_costs_are_per_sent_request(arm: FakeArm, tmp_path: Path) -> None:
    figures = visit(tmp_path, CLOSED).figures
    assert figures["cpu_us_nginx"] == 10_000 / SENT
    assert figures["cpu_us"] == 96_000 / SENT, "all three services, each once"
    assert figures["wakeups"] == 500 / SENT, "the app's alone"
    assert figures["preemptions"] == 20 / SENT
    assert figures["redis_commands"] == 4.0
    assert figures["balance"] == pytest.approx(0.5, abs=0.01), (
        "3 to 1: half of the mean to each side"
    )
    assert figures["rps"] == (SENT - 2) / 2.0, "answers with status 200"
    assert figures["failed"] == 3
    assert figures["start_s"] == 1.5
    assert figures["start_pss_mb"] > 1
    assert figures["p50_ms"] == pytest.approx(20, rel=0.01)
    assert figures["service_p50_ms"] == pytest.approx(10, rel=0.01)
    assert figures.keys() <= METRICS.keys()
    assert arm.stopped


def test_the_evidence_for_the_gates_is_complete(arm: FakeArm, tmp_path: Path) -> None:
    closed = visit(tmp_path, CLOSED).evidence
    assert closed.served == SENT, "without the warm-up"
    assert (closed.slots, closed.holds_s) == (8, 0.02)
    assert (closed.users, closed.intended) == (2, None)
    assert closed.mean_response_s == pytest.approx(0.02, rel=0.01)
    assert closed.faults == ["2 x 502 Bad Gateway"]
    assert closed.generator_nice == -10
    assert arm.stopped
    scheduled = visit(tmp_path, OPEN).evidence
    assert (scheduled.intended, scheduled.dropped) == (SENT + 3, 3)
    assert (scheduled.users, scheduled.mean_response_s) == (None, None), "Little is for users"
    assert scheduled.lag_p50_ms == pytest.approx(10, rel=0.01)


def test_an_arm_whose_load_fails_is_stopped(
    arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> LoadResult:
        raise LoadError("ours hangs")

    monkeypatch.setattr(load, "closed", fails)
    with pytest.raises(TrialFailed, match="ours hangs"):
        visit(tmp_path, CLOSED)
    assert arm.stopped
