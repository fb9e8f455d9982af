"""What is measured when: blocks, shuffled orders, what must be done again, and how long it takes.

Nothing here starts anything. What is still to do is worked out from the trials that are there, so a
run that was cut off and a trial that was void need no bookkeeping of their own.

Orders and arrivals are drawn from the run's seed and the block, so the same seed gives the same
run. Arrivals are the same at every attempt; a rotation's rounds are shuffled anew for each attempt,
and for what a run that was cut off has still to do.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.plan.experiment import ArmSpec, Experiment, Load
from lab.trial import Trial

DEFAULT_BLOCKS = 10
# The exact sign-flip test over n blocks cannot get below p = 2 / 2^n: 5 blocks never reach 0.05.
FEWEST_BLOCKS = QUICK_BLOCKS = 6
MOST_BLOCKS = 200

# A trial and two more. A machine that spoils three in a row is not one to go on asking.
ATTEMPTS = 3

# What a piece of work takes on two cores of 2.5 GHz. Only the first estimate rests on them: once a
# block has been run, its own time counts.
START_S = 2.2  # one arm alone, up and down again
START_ALL_S = 1.5  # an arm beside others that start meanwhile
GENERATOR_S = 1.6  # Locust, from its start to its end
REQUEST_S = 0.0016  # a user without think time, in a rotation
CLOSED_RPS = 900.0  # requests/s of a closed load
RELOAD_S = 8.0
WARM_S = 0.5


@dataclass(frozen=True)
class Visit:
    """One arm, started once for *loads*."""

    arm: ArmSpec
    loads: tuple[Load, ...]


def shortened(experiment: Experiment) -> Experiment:
    """The experiment with a third of every load's rounds, seconds or requests."""
    loads = tuple(
        replace(
            load,
            rounds=max(2, round(load.rounds / 3)),
            seconds=max(0.5, load.seconds / 3),
            requests=load.requests and max(100, load.requests // 3),
        )
        for load in experiment.loads
    )
    return replace(experiment, loads=loads)


def seed_for(seed: int, *what: object) -> int:
    """A seed of its own for a part of the run: the same for all arms, so that they are sent the
    same arrivals."""
    return random.Random(f"{seed} {what}").getrandbits(31)  # noqa: S311 - an order, not a secret


def rotations(experiment: Experiment, block: int, trials: Iterable[Trial]) -> list[Load]:
    """The loads for which all arms are still to be up side by side, in shuffled order.

    Arms are compared round against round, so a rotation counts as a whole or not at all.
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


def visits(experiment: Experiment, block: int, trials: Iterable[Trial]) -> list[Visit]:
    """The arms that are still to be started alone, in shuffled order, each with what it lacks.

    Reloads come last: after them the arm is no longer freshly started.
    """
    trials = list(trials)
    of_block = [trial for trial in trials if trial.block == block]
    hopeless = _hopeless(experiment, [trial for trial in trials if trial.block < block])
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
                most=1 if (arm.name, load.name) in hopeless else ATTEMPTS,
            )
        ]
        if lacking:
            seed = (experiment.seed, block, arm.name)
            lacking.sort(key=lambda load: (load.kind == "reload", seed_for(*seed, load.name)))
            result.append(Visit(arm, tuple(lacking)))
    return sorted(result, key=lambda visit: seed_for(experiment.seed, block, visit.arm.name))


def attempts(trials: Iterable[Trial], load: Load) -> int:
    """How often *load* was tried in *trials*, which are one block's, of all arms or of one."""
    return max((trial.attempt for trial in trials if trial.load == load.name), default=0)


def _whole(experiment: Experiment, load: Load, trials: Sequence[Trial]) -> bool:
    """Whether the newest attempt at a rotation can be used for every arm."""
    newest = attempts(trials, load)
    good = {
        trial.arm
        for trial in trials
        if (trial.load, trial.attempt) == (load.name, newest)
        and trial.good_for(experiment.primary_metric)
    }
    return good >= {arm.name for arm in experiment.arms_under(load)}


def _lacks(experiment: Experiment, load: Load, trials: Sequence[Trial], most: int) -> bool:
    """Whether an arm, whose *trials* of the block these are, is to be put under *load*."""
    tried = [trial for trial in trials if trial.load == load.name]
    good = any(trial.good_for(experiment.primary_metric) for trial in tried)
    return not good and len(tried) < most


def _hopeless(experiment: Experiment, trials: Iterable[Trial]) -> set[tuple[str, str]]:
    """Arms with loads that were void at every attempt of an earlier block, such as a rate that an
    arm cannot serve. They get one attempt a block from then on; under the primary load, all."""
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
    """What the run is still expected to take, if nothing more is void."""
    by_block: dict[int, list[Trial]] = {block: [] for block in range(1, blocks + 1)}
    for trial in trials:
        by_block.setdefault(trial.block, []).append(trial)
    return sum(
        seconds_of_rotations(experiment, rotations(experiment, block, of_block))
        + sum(map(seconds_of_visit, visits(experiment, block, of_block)))
        for block, of_block in by_block.items()
    )


def seconds_of_rotations(experiment: Experiment, loads: Sequence[Load]) -> float:
    """What it is expected to take to start all arms once and to rotate over them for *loads*."""
    everyone = {arm.name for load in loads for arm in experiment.arms_under(load)}
    return START_ALL_S * len(everyone) + sum(
        GENERATOR_S + load.rounds * load.slice * REQUEST_S * len(experiment.arms_under(load))
        for load in loads
    )


def seconds_of_visit(visit: Visit) -> float:
    """What it is expected to take to start one arm and to put it under its loads."""
    return START_S + sum(map(seconds_of, visit.loads))


def seconds_of(load: Load) -> float:
    """What a load of one arm alone is expected to take, the arm's start aside."""
    if load.kind == "reload":
        return GENERATOR_S + RELOAD_S
    return GENERATOR_S + WARM_S + (load.requests / CLOSED_RPS if load.requests else load.seconds)
