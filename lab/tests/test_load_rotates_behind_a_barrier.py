"""In a rotation only one arm gets requests at a time, in an order that the seed determines. It
measures a steady state: neither the beginning of a turn nor the time between two of them counts."""

import time
from pathlib import Path
from statistics import median

import pytest

from lab.measure import load
from lab.measure.load_plan import WARM_UP_SLICES
from lab.tests.slow_server import BODY, Answer, Server, ignore, serving

ARMS = ("plain", "twin", "canary")
USERS, ROUNDS, SLICE = 4, 8, 22  # a slice that is not a multiple of the users
FIRST = 6  # of a turn, not measured
TURN = FIRST + SLICE
# A request at the beginning of the first measured turn.
WRONG = len(ARMS) * (1 + WARM_UP_SLICES * 24) + 2


def _rotate(server: Server, folder: Path, seed: int) -> dict[str, load.Rotation]:
    return load.rotate(
        [server.target(name) for name in ARMS],
        users=USERS,
        rounds=ROUNDS,
        slice=SLICE,
        seed=seed,
        folder=folder,
        progress=ignore,
    )


def test_a_rotation_keeps_its_barrier_and_its_order(tmp_path: Path) -> None:
    with serving(Server(delay_s=0.001)) as server:
        found = _rotate(server, tmp_path, seed=1)

    assert all(len(paths) == 1 for paths in server.together), "two arms were asked together"
    # After the first answers and the warm-up, the log consists of whole slices.
    first = len(ARMS) * (1 + WARM_UP_SLICES * SLICE)
    measured = server.log[first:]
    assert len(measured) == len(ARMS) * ROUNDS * TURN
    slices = [set(measured[at : at + TURN]) for at in range(0, len(measured), TURN)]
    assert all(len(paths) == 1 for paths in slices)
    visited = [path.removeprefix("/") for (path,) in slices]
    orders = [visited[at : at + len(ARMS)] for at in range(0, len(visited), len(ARMS))]
    assert all(sorted(order) == sorted(ARMS) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    for name, result in found.items():
        assert result.places == [order.index(name) for order in orders]

    with serving(Server()) as server:
        again, other = _rotate(server, tmp_path, seed=1), _rotate(server, tmp_path, seed=2)
    places = [{name: arm.places for name, arm in one.items()} for one in (found, again, other)]
    assert places[0] == places[1] != places[2]


def test_a_rotation_counts_every_round_of_every_arm(tmp_path: Path) -> None:
    with serving(Server()) as server:
        found = load.rotate(
            [*(server.target(name) for name in ARMS), server.target("elsewhere", pids={})],
            users=USERS,
            rounds=ROUNDS,
            slice=SLICE,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert list(found) == [*ARMS, "elsewhere"]
    nowhere = found.pop("elsewhere")
    assert (nowhere.sent, nowhere.rounds, nowhere.idle_share) == (ROUNDS * SLICE, {}, 0)
    for result in found.values():
        assert result.sent == result.done == result.response.count == ROUNDS * SLICE
        assert (result.users, result.errors, result.wrong) == (USERS, 0, 0)
        assert set(result.rounds) == {"cpu_us", "cpu_us_app", "wakeups", "preemptions", "rps"}
        assert {len(figures) for figures in result.rounds.values()} == {ROUNDS}
        assert all(figure > 0 for figure in result.rounds["cpu_us"])
        total_us = sum(result.rounds["cpu_us_app"]) * SLICE
        assert total_us * 1000 == pytest.approx(result.used.cpu_ns["app"])
        total = sum(result.rounds["wakeups"]) * SLICE
        assert total == pytest.approx(result.used.voluntary["app"])
        # All arms are this process, which also works during the others' slices.
        assert 0.1 < result.idle_share < 1.1


def test_the_beginning_of_a_turn_is_not_measured(tmp_path: Path) -> None:
    """The first FIRST answers of each turn take 100 ms, and one of them is wrong."""
    turn, rounds = {"path": "", "left": 0}, 3

    def answer(path: str, number: int) -> Answer:
        if path != turn["path"]:
            turn.update(path=path, left=FIRST)
        turn["left"] -= 1
        if turn["left"] >= 0:
            time.sleep(0.1)
        return 200, b"wrong" if number == WRONG else BODY

    with serving(Server(answer)) as server:
        found = load.rotate(
            [server.target(name) for name in ARMS],
            users=1,
            rounds=rounds,
            slice=24,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    for result in found.values():
        assert result.sent == result.service.count == rounds * 24
        assert result.service.percentile(90) < 90
        # With the beginning a turn of 24 answers would take 600 ms at least.
        assert median(result.rounds["rps"]) > 24 / 0.6
        assert result.seconds == pytest.approx(
            sum(24 / rate for rate in result.rounds["rps"]), rel=0.01
        ), "the time between slices is in neither"
        assert result.earlier == 1 + WARM_UP_SLICES * 24 + rounds * FIRST
    assert sum(result.wrong for result in found.values()) == 1, "its faults count nevertheless"


def test_two_arms_with_one_name_are_refused(tmp_path: Path) -> None:
    target = load.Target("arm", "http://127.0.0.1:9", "/")
    with pytest.raises(load.LoadError, match="a unique name"):
        load.rotate(
            [target, target],
            users=1,
            rounds=1,
            slice=1,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
