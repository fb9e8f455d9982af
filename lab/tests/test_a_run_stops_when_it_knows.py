"""BLOCKS=auto: intervals that hold at every look, by simulation, and the end of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.compare import Runner
from lab.judge import estimate, looks
from lab.plan.experiment_file import parse
from lab.tests.fake_bench import FakeBench, NoGates, new_run
from stack.progress import Progress

RUNS, START = 400, 0.01
MARGIN = 0.05
LOOKS = range(looks.FIRST_LOOK, looks.MOST_BLOCKS + 1)


def logs(seed: int, effect: float, tails: float) -> NDArray[np.float64]:
    """Log ratios by run and block. One start in twenty is *tails* times as noisy."""
    random = np.random.default_rng(seed)
    shape = (RUNS, looks.MOST_BLOCKS)
    noise = random.normal(0, START * np.sqrt(2), shape)
    return effect + noise * np.where(random.random(shape) < 0.05, tails, 1.0)


def held(values: NDArray[np.float64], factor: float) -> float:
    """The share of runs in which the interval contains 1 at every look."""
    holds = [
        all(
            one.low <= 1 <= one.high
            for one in (estimate.over_blocks(list(run[:n]), factor) for n in LOOKS)
        )
        for run in values
    ]
    return float(np.mean(holds))


@pytest.mark.parametrize("tails", [1.0, 3.0])
def test_the_interval_holds_the_truth_at_every_look_95_times_in_100(tails: float) -> None:
    values = logs(1, 0.0, tails)
    assert held(values, looks.looks()) >= 0.93
    assert held(values, 1.0) < 0.88  # the plain one does not


@pytest.mark.parametrize(("effect", "word"), [(0.03, "differs"), (0.0, "equivalent")])
def test_it_settles_what_ten_blocks_settle(effect: float, word: str) -> None:
    ended = []
    for run in logs(2, effect, 1.0)[:200]:
        for n in LOOKS:
            found = estimate.over_blocks(list(run[:n]), looks.looks())
            p = looks.looks() * estimate.student_p(list(run[:n]))
            exact = looks.looks() * estimate.sign_flip_p(list(run[:n])) if p < 0.05 else 1.0
            differs = estimate.differs(found, exact, p)
            if differs if word == "differs" else estimate.equivalent(found, MARGIN):
                ended.append(n)
                break
    assert len(ended) >= 0.95 * 200
    assert np.median(ended) <= 12


def test_the_first_look_can_find_a_difference() -> None:
    assert looks.looks() * 2 / 2**looks.FIRST_LOOK <= estimate.ALPHA


def test_the_run_ends_after_the_block_that_settles_it(tmp_path: Path) -> None:
    run = new_run(tmp_path, blocks=looks.MOST_BLOCKS, auto=True)
    asked = []

    def knows(_: object, trials: object) -> bool:
        asked.append(max(trial.block for trial in run.trials))
        return len(asked) == 2

    experiment = parse(run.plan.toml, "locks.toml")
    Runner(experiment, run, FakeBench(), NoGates(), Progress(), knows=knows).run()
    assert asked == [looks.FIRST_LOOK, looks.FIRST_LOOK + 1]
    assert max(trial.block for trial in run.trials) == looks.FIRST_LOOK + 1
    assert run.plan.finished is not None
