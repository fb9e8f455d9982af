"""The schedule of a run: blocks, random orders, repeated trials, and the expected time.

Nothing is started here. The remaining work follows from the trials that exist, so interrupted runs
and void trials need no bookkeeping.

Orders and arrivals depend on the run's seed and the block, so the same seed gives the same run.
Arrivals are the same in every attempt; a rotation's rounds have a new order in each attempt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.trial import LEAD, Trial

# Where fresh starts differ by 1 % in CPU time, a rotation over ten blocks finds 3 % and calls a
# twin equivalent, each 95 times in 100 (lab/tests/test_statistics_hold_by_simulation.py). Half the
# width of an interval would take forty blocks.
DEFAULT_BLOCKS = 10
# The exact sign-flip test over n blocks has p ≥ 2 / 2^n: 5 blocks never reach 0.05.
FEWEST_BLOCKS = QUICK_BLOCKS = 6
REHEARSED_BLOCKS = 2
MOST_BLOCKS = 200

# Attempts at a trial. A machine that spoils three in a row will spoil the next ones.
ATTEMPTS = 3

# Durations on two cores of 2.5 GHz, for the first estimate. Finished blocks correct it.
START_S = 2.2  # start and stop of one arm alone
START_ALL_S = 1.5  # of each arm when several start side by side
GENERATOR_S = 1.6  # of Locust
REQUEST_S = 0.0016  # a request in a rotation with one client; more clients use both cores
CLOSED_RPS = 1800.0  # requests/s of a closed load with several users (lab/results/lazy-apps.md)
RELOAD_S = 8.0
WARM_S = 0.5
WARM_SLICES = 2  # of each arm, before a rotation's first round


@dataclass(frozen=True)
class SoloRun:
    """One arm that is started alone, once for all of *loads*."""

    arm: ArmSpec
    loads: tuple[Load, ...]


def shortened(experiment: Experiment) -> Experiment:
    """The experiment with its primary load alone, and a third of its rounds, seconds or requests.

    Claims and budgets about other loads are left out.
    """
    primary = experiment.primary_load
    loads = tuple(
        replace(
            load,
            rounds=max(2, round(load.rounds / 3)),
            seconds=max(0.5, load.seconds / 3),
            requests=load.requests and max(100, load.requests // 3),
        )
        for load in experiment.loads
        if load.name == primary
    )
    return replace(
        experiment,
        loads=loads,
        claims={
            name: claim for name, claim in experiment.claims.items() if claim.load in ("", primary)
        },
        budgets=tuple(budget for budget in experiment.budgets if budget.load == primary),
    )


def rehearsed(experiment: Experiment) -> Experiment:
    """The experiment with its shortest loads: it starts everything and decides nothing."""
    loads = tuple(
        replace(
            load,
            rounds=2,
            slice=min(load.slice, 20),
            seconds=min(load.seconds, 0.5),
            requests=load.requests and min(load.requests, 200),
        )
        for load in experiment.loads
    )
    return replace(experiment, loads=loads)


def seed_for(seed: int, *what: object) -> int:
    """The seed for a part of the run. It is the same for all arms, so that they get the same
    arrivals."""
    return random.Random(f"{seed} {what}").getrandbits(31)  # noqa: S311 - an order, not a secret


def rotations(experiment: Experiment, block: int, trials: Iterable[Trial]) -> list[Load]:
    """The rotations that remain in *block*, in random order.

    Arms are compared round by round, so a rotation is repeated as a whole.
    """
    of_block = [trial for trial in trials if trial.block == block]
    lacking = [
        load
        for load in experiment.loads
        if not load.alone
        and attempts(of_block, load) < ATTEMPTS
        and not _whole(experiment, load, of_block)
    ]
    return sorted(lacking, key=lambda load: seed_for(experiment.seed, block, load.name))


def solo_runs(experiment: Experiment, block: int, trials: Iterable[Trial]) -> list[SoloRun]:
    """The arms that must still run alone in *block*, in random order, each with its missing loads.

    Reloads come last, because they end the fresh start.
    """
    trials = list(trials)
    of_block = [trial for trial in trials if trial.block == block]
    always_void = _always_void(experiment, [trial for trial in trials if trial.block < block])
    result = []
    for arm in experiment.arms:
        lacking = [
            load
            for load in experiment.loads
            if load.alone
            and arm in experiment.arms_under(load)
            and _lacks(
                experiment,
                load,
                [trial for trial in of_block if trial.arm == arm.name],
                most=1 if (arm.name, load.name) in always_void else ATTEMPTS,
            )
        ]
        if lacking:
            seed = (experiment.seed, block, arm.name)
            lacking.sort(key=lambda load: (load.kind == "reload", seed_for(*seed, load.name)))
            result.append(SoloRun(arm, tuple(lacking)))
    return sorted(result, key=lambda solo: seed_for(experiment.seed, block, solo.arm.name))


def attempts(trials: Iterable[Trial], load: Load) -> int:
    """The attempts at *load* in *trials*, which are those of one block, of all arms or of one."""
    return max((trial.attempt for trial in trials if trial.load == load.name), default=0)


def _whole(experiment: Experiment, load: Load, trials: Sequence[Trial]) -> bool:
    """Whether the newest attempt at a rotation is good for every arm."""
    newest = attempts(trials, load)
    good = {
        trial.arm
        for trial in trials
        if (trial.load, trial.attempt) == (load.name, newest)
        and trial.good_for(experiment.primary_metric)
    }
    return good >= {arm.name for arm in experiment.arms_under(load)}


def _lacks(experiment: Experiment, load: Load, trials: Sequence[Trial], most: int) -> bool:
    """Whether the arm with *trials* in this block still needs *load*."""
    tried = [trial for trial in trials if trial.load == load.name]
    good = any(trial.good_for(experiment.primary_metric) for trial in tried)
    return not good and len(tried) < most


def _always_void(experiment: Experiment, trials: Iterable[Trial]) -> set[tuple[str, str]]:
    """(arm, load) whose attempts were all void in an earlier block, such as a rate that the arm
    cannot serve. They get one attempt per block from then on, except under the primary load."""
    tries: dict[tuple[int, str, str], list[bool]] = {}
    for trial in trials:
        if trial.load != experiment.primary_load:
            good = trial.good_for(experiment.primary_metric)
            tries.setdefault((trial.block, trial.arm, trial.load), []).append(good)
    return {
        (arm, load)
        for (_, arm, load), good in tries.items()
        if len(good) >= ATTEMPTS and not any(good)
    }


def seconds_left(experiment: Experiment, blocks: int, trials: Iterable[Trial]) -> float:
    """The expected remaining time, without further void trials."""
    by_block: dict[int, list[Trial]] = {block: [] for block in range(1, blocks + 1)}
    for trial in trials:
        by_block.setdefault(trial.block, []).append(trial)
    return sum(
        seconds_of_rotations(experiment, rotations(experiment, block, of_block))
        + sum(map(seconds_of_solo_run, solo_runs(experiment, block, of_block)))
        for block, of_block in by_block.items()
    )


def seconds_of_rotations(experiment: Experiment, loads: Sequence[Load]) -> float:
    """The expected time to start all arms once and to rotate over them for *loads*."""
    everyone = {arm.name for load in loads for arm in experiment.arms_under(load)}
    return START_ALL_S * len(everyone) + sum(
        GENERATOR_S
        + (load.rounds * (1 + LEAD) + WARM_SLICES)
        * load.slice
        * (REQUEST_S / min(load.users, 2) + _waits_s(load) / load.users)
        * len(experiment.arms_under(load))
        for load in loads
    )


def _waits_s(load: Load) -> float:
    """What a request waits in the views of /workload that wait."""
    found = re.search(r"[?&](?:ms|io)=(\d+)", load.path)
    return int(found[1]) / 1000 if found else 0.0


def seconds_of_solo_run(solo: SoloRun) -> float:
    """The expected time to start one arm alone and to apply its loads."""
    return START_S + sum(map(seconds_of, solo.loads))


def seconds_of(load: Load) -> float:
    """The expected time of a load on one arm alone, without the arm's start."""
    if load.kind == "reload":
        return GENERATOR_S + RELOAD_S
    return GENERATOR_S + WARM_S + (load.requests / CLOSED_RPS if load.requests else load.seconds)
