"""The course of the run: which trial ran when, how much CPU the host stole, what was voided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from lab.report.data import RunData
from lab.report.pictures import style
from lab.report.pictures.style import INK
from lab.trial import Trial

WIDTH = 760
_LANE, _STOLEN = 26, 90
# Colour and hatch of a load, in the order of the file.
_LOADS = (
    (style.BLUE, ""),
    (style.GREEN, "///"),
    (style.PURPLE, "++"),
    ("#E69F00", "xxxx"),
    ("#56B4E9", "----"),
)


def draw(run: RunData) -> list[style.Picture]:
    trials = sorted(run.trials, key=lambda trial: trial.began)
    voided = sum(bool(trial.voids) for trial in trials)
    most = max((trial.evidence.stolen or 0 for trial in trials), default=0)
    return [
        style.Picture(
            name="strip",
            title="The course of the run",
            caption=(
                "One lane per arm, one bar per trial; bars above one another ran in rotation. A"
                " cross is a voided trial. Top: the share of CPU time that the host stole."
            ),
            alt=f"{len(trials)} trials, {voided} of them voided. At most {most:.0%} of the CPU time"
            " was stolen.",
            figure=partial(_figure, run, trials),
            wide=True,
        )
    ]


def _figure(run: RunData, trials: Sequence[Trial]) -> Figure:
    arms = run.ordered({trial.arm for trial in trials})
    body = _LANE * len(arms)
    figure = style.new(WIDTH, body + _STOLEN + 90, layout="constrained")
    above, axes = figure.subplots(2, 1, sharex=True, height_ratios=(_STOLEN, body))
    start = min(map(_seconds, trials))
    end = max(_seconds(trial) - start + trial.seconds for trial in trials) / 60
    middles = {trial.began: (_seconds(trial) - start + trial.seconds / 2) / 60 for trial in trials}
    _stolen(above, trials, middles)
    for index, load in enumerate(run.loads):
        colour, hatch = _LOADS[index % len(_LOADS)]
        bars = [
            _bar(middles[trial.began], max(trial.seconds / 60, end / 600), arms.index(trial.arm))
            for trial in trials
            if trial.load == load
        ]
        # One path for all bars of a load keeps the file small.
        path = Path.make_compound_path(*bars)
        axes.add_patch(
            PathPatch(path, facecolor=colour, edgecolor=INK, lw=0.4, hatch=hatch, label=load)
        )
    voided = [trial for trial in trials if trial.voids]
    if voided:
        axes.plot(
            [middles[trial.began] for trial in voided],
            [arms.index(trial.arm) for trial in voided],
            "x", color=INK, ms=9, mew=2, label="voided",
        )  # fmt: skip
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_yticks(range(len(arms)), [style.wrapped(arm, 30) for arm in arms])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("minutes since the first trial")
    axes.grid(axis="x")
    style.legend(figure, columns=4)
    return figure


def _stolen(axes: Axes, trials: Sequence[Trial], middles: dict[str, float]) -> None:
    """One line with gaps: small, however many trials there are."""
    known = [trial for trial in trials if trial.evidence.stolen is not None]
    axes.plot(
        [middles[trial.began] for trial in known for _ in range(3)],
        [end for trial in known for end in (0, 100 * (trial.evidence.stolen or 0), math.nan)],
        color=style.VERMILION,
        lw=1.6,
    )
    axes.set_ylim(0, max(5.0, axes.get_ylim()[1]))
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel("stolen CPU, %")
    axes.grid(axis="y")


def _seconds(trial: Trial) -> float:
    return datetime.fromisoformat(trial.began).timestamp()


def _bar(middle: float, width: float, lane: float) -> Path:
    left, right, low, high = middle - width / 2, middle + width / 2, lane - 0.3, lane + 0.3
    return Path([(left, low), (right, low), (right, high), (left, high), (left, low)], closed=True)
