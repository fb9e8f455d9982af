"""Invented trials whose true ratios are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.trial import Trial, Void

BASE, TWIN, CANARY = "base", "base, twin", "base, canary"
COST = 500.0  # µs a request: what the baseline costs in a block without noise

Values = Sequence[float] | NDArray[np.float64]


def experiment(
    arms: Iterable[str] = ("new",),
    *,
    metric: str = "cpu_us",
    kind: Literal["rotation", "open", "closed"] = "open",
    margin: float = 0.05,
    expect: Mapping[str, str] | None = None,
    loads: Sequence[Load] = (),
    answer: tuple[str, str] | None = None,
) -> Experiment:
    """*arms* against BASE, its twin and its canary; the primary load is called "main"."""
    return Experiment(
        name="made-up",
        question="Is it better?",
        primary_metric=metric,
        primary_load="main",
        baseline=BASE,
        canaries=("burn_40",),
        margin=margin,
        loads=(Load("main", kind), *loads),
        arms=(
            ArmSpec(BASE),
            *(ArmSpec(name, against=BASE) for name in arms),
            ArmSpec(TWIN, against=BASE, role="twin"),
            ArmSpec(CANARY, against=BASE, role="canary"),
        ),
        expect=expect or {},
        answer=answer,
    )


def figures(
    logs: Mapping[str, Values], metric: str = "cpu_us", load: str = "main", requests: int = 1000
) -> list[Trial]:
    """A trial for each arm and block; *logs*: arm → log of its figure ÷ COST, an entry a block."""
    return [
        Trial(
            block=block,
            arm=arm,
            load=load,
            attempt=1,
            began="2026-11-21T00:00:00Z",
            seconds=1.0,
            requests=requests,
            figures={metric: float(COST * np.exp(log))},
        )
        for arm, values in logs.items()
        for block, log in enumerate(values, start=1)
    ]


def rounds(logs: Mapping[str, NDArray[np.float64]], metric: str = "cpu_us") -> list[Trial]:
    """Trials of rotations; *logs* are arrays of blocks times rounds."""
    made = figures({arm: values.mean(axis=1) for arm, values in logs.items()}, metric)
    for trial in made:
        trial.rounds[metric] = list(COST * np.exp(logs[trial.arm][trial.block - 1]))
    return made


def void(trial: Trial, spoils: Literal["everything", "time"] = "everything") -> Trial:
    trial.voids.append(Void("made up", "for a test", spoils))
    return trial


def fine(blocks: int = 10, **others: Values) -> dict[str, Values]:
    """Logs of an equivalent twin, a canary that is 10 % worse, and *others*."""
    wiggle = np.resize([0.01, -0.01, 0.004, -0.006], blocks)
    return {
        BASE: np.zeros(blocks),
        TWIN: wiggle,
        CANARY: 0.1 - wiggle,
        **others,
    }
