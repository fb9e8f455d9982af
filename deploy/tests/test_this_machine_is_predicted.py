"""`make plan CHECK=1` loads a stack of its own, and says whether its prediction came true.

How near it comes is a question for a quiet machine, so the run here is short and may disagree. The
comparison is tested with loads that are simulated instead of measured.
"""

from __future__ import annotations

import json
import os

import pytest

from deploy.plan import check, command, one_machine
from deploy.plan.check import Turn, Used

COSTS = {"nginx": 0.0002, "app": 0.0008, "redis": 0.0001, "generator": 0.0002}
PLACES = {"generator": 1, "nginx": 2, "app": 2, "redis": 1, "threads": 4}
RATE = 700.0


def test_it_predicts_measures_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ROUNDS", "MOST_ROUNDS"):
        monkeypatch.setattr(check, name, 2)
    # CPU time is counted in ticks of 10 ms, and in a second of one client Redis may use none.
    monkeypatch.setattr(check, "LIGHT_SECONDS", 5.0)
    code = command.plan({"CHECK": "1", "JSON": "1"})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in found["rows"]] == ["saturation", "p50", "p99"]
    assert all(row["predicted"] > 0 and row["measured"] > 0 for row in found["rows"])
    assert found["agree"] == all(row["agrees"] for row in found["rows"])
    assert found["rounds"] == 2
    assert code == (3 if found["quiet_rounds"] < 2 else 0 if found["agree"] else 1)
    assert list(found["cpu_us"]) == ["one client", "half load", "full load"]
    for costs in found["cpu_us"].values():
        assert set(costs) == {"nginx", "app", "redis", "generator"}
        assert costs["app"] > costs["redis"] > 0


def turn(times: list[float], rate: float, *, slower: float = 1.0) -> Turn:
    """Return what a machine would show that answers *slower* than its CPU time explains."""
    cpu = {part: it * len(times) for part, it in COSTS.items()}
    services = {part: it for part, it in cpu.items() if part != "generator"}
    used = Used(services, cpu["generator"], sum(cpu.values()))
    return Turn([it * slower for it in times], len(times) / rate, used)


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_a_machine_that_is_as_simulated_agrees(slower: float) -> None:
    machine, steps = one_machine.Machine(2, PLACES), one_machine.route(COSTS)
    alone, rate_alone = one_machine.answers(machine, steps, clients=1, requests=2000, seed=8)
    random, _ = one_machine.answers(machine, steps, rate=RATE, seed=8)
    closed, rate_full = one_machine.answers(machine, steps, clients=8, requests=4000, seed=8)
    one = turn([it + 0.0003 for it in alone], rate_alone)
    measured = [it + 0.0003 for it in random]
    rounds = [
        (one, turn(measured, RATE), turn(closed, rate_full)),
        (one, turn(measured, RATE, slower=slower), turn(closed, rate_full / slower)),
    ]
    rows = check.compare(rounds, rate=RATE, cores=2, places=PLACES, seed=1)
    ratios = [row.measured / row.predicted for row in rows]
    assert ratios == pytest.approx([1 / slower, slower, slower], rel=0.15)
    assert [row.agrees for row in rows] == [slower == 1] * 3


def test_a_round_with_busy_neighbours_is_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_round(others: float) -> list[Turn]:
        used = Used({"nginx": 0.3, "app": 0.5, "redis": 0.1}, 0.1, 1.0 + others)
        return [Turn([0.001], 1.0, used)] * 3

    for others, quiet in ((0.0, True), (0.1, True), (0.5, False)):
        assert check.is_quiet(one_round(others), cores=2) is quiet
    # With precedence they have what is left.
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_RR)
    assert check.is_quiet(one_round(0.5), cores=2)
