"""The simulation of one machine agrees with theory where there is one, and shares cores evenly."""

from __future__ import annotations

import pytest

from deploy.plan import one_machine, queueing
from deploy.plan.one_machine import Machine, Step

COSTS = {"generator": 0.0001, "nginx": 0.0002, "app": 0.0008, "redis": 0.0001}
PLACES = {"generator": 1, "nginx": 2, "app": 2, "redis": 1, "threads": 4}


def mean(times: list[float]) -> float:
    return sum(times) / len(times)


def test_one_place_is_a_line_with_one_server() -> None:
    times, rate = one_machine.answers(
        Machine(2, {"part": 1}), [Step("part", 0.01)], rate=50, requests=30_000, seed=2
    )
    assert mean(times) == pytest.approx(0.01 + queueing.mean_wait(1, 50, 0.01, 0), rel=0.05)
    assert rate == pytest.approx(50, rel=0.03)


def test_shared_cores_answer_as_processor_sharing() -> None:
    # One core shared evenly: the mean is service / (1 - load), for all service times.
    times, _ = one_machine.answers(
        Machine(1, {"part": 10_000}), [Step("part", 0.01)], rate=60, requests=30_000, seed=2
    )
    assert mean(times) == pytest.approx(0.01 / 0.4, rel=0.06)


@pytest.mark.parametrize(
    ("cores", "app", "limit"),
    [
        (1, 2, 1 / 0.0012),  # the cores
        (2, 2, 2 / 0.0012),
        (8, 2, 2 / 0.0008),  # the workers' Python
        (16, 16, 1 / 0.0001),  # generator and Redis
    ],
)
def test_what_is_full_first_bounds_the_rate(cores: int, app: int, limit: float) -> None:
    places = {**PLACES, "app": app, "threads": 2 * app, "nginx": 8}
    machine = Machine(cores, places)
    _, rate = one_machine.answers(machine, one_machine.route(COSTS), clients=64, requests=5000)
    assert rate == pytest.approx(limit, rel=0.05)


def test_threads_are_held_while_redis_works() -> None:
    costs = {**COSTS, "redis": 0.01}
    for threads in (1, 2):
        machine = Machine(8, {**PLACES, "redis": 8, "threads": threads})
        _, rate = one_machine.answers(machine, one_machine.route(costs), clients=16, requests=2000)
        assert rate == pytest.approx(threads / 0.0108, rel=0.03)


def test_one_client_waits_for_nothing() -> None:
    times, rate = one_machine.answers(
        Machine(2, PLACES), one_machine.route(COSTS), clients=1, requests=100
    )
    assert times == pytest.approx([0.0012] * 90)
    assert rate == pytest.approx(1 / 0.0012)


def test_others_take_their_part_of_the_cores() -> None:
    alone, rate = one_machine.answers(Machine(2, PLACES), one_machine.route(COSTS), rate=800)
    beside, slow = one_machine.answers(Machine(2, PLACES, 0.5), one_machine.route(COSTS), rate=800)
    assert mean(beside) > 1.2 * mean(alone)
    assert slow == pytest.approx(rate, rel=0.02)


def test_a_seed_repeats_it() -> None:
    def run(seed: int) -> list[float]:
        machine = Machine(2, PLACES, 0.2)
        times, _ = one_machine.answers(
            machine, one_machine.route(COSTS), rate=500, requests=500, seed=seed
        )
        return times

    assert run(1) == run(1) != run(2)
