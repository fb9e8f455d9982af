"""The run as it went: which arm when, what the host stole meanwhile, and what was voided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke

from lab.report.data import Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK, PAPER
from lab.trial import Trial

WIDTH = 900
_LANE = 20
_STOLEN = 110
# Colour and hatch of a load, in the order of the file; a run with more loads repeats them.
_LOADS = (
    (style.BLUE, ""),
    (style.GREEN, "///"),
    (style.PURPLE, "++"),
    ("#E69F00", "xxxx"),
    ("#56B4E9", "----"),
)


def draw(run: Run) -> list[style.Picture]:
    trials = sorted(run.trials, key=lambda trial: trial.began)
    if not trials:
        return []
    voided = [trial for trial in trials if trial.voids]
    stolen = [trial.evidence.stolen for trial in trials if trial.evidence.stolen is not None]
    most = f" At most {max(stolen):.0%} of the CPU time was stolen." if stolen else ""
    return [
        style.Picture(
            name="strip",
            title="The run in its order",
            caption=(
                "A lane for each arm, a bar for each trial, from left to right as time went by;"
                " bars that stand above one another were measured in turns. A cross is a trial that"
                " a gate voided. Above: the share of the machine's CPU time that its host gave to"
                " somebody else during the trial."
            ),
            alt=f"{len(trials)} trials, {len(voided)} of them voided.{most}",
            figure=partial(_figure, run, trials),
            width=WIDTH,
        )
    ]


def _figure(run: Run, trials: Sequence[Trial]) -> Figure:
    with style.settings():
        arms = run.ordered({trial.arm for trial in trials})
        names = {arm: style.wrapped(arm, 200, 11) for arm in arms}
        lanes = {arm: max(_LANE, 14 * len(names[arm]) + 4) for arm in arms}
        body = sum(lanes.values())
        stolen = [trial for trial in trials if trial.evidence.stolen is not None]
        figure = style.new(WIDTH, body + 110 + (_STOLEN if stolen else 0), layout="constrained")
        start = _seconds(trials[0])
        if stolen:
            above, axes = figure.subplots(
                2, 1, sharex=True, height_ratios=(_STOLEN - 20, body), squeeze=True
            )
            # One line with gaps, so that a picture of a thousand trials stays small.
            places = [(_seconds(trial) - start + trial.seconds / 2) / 60 for trial in stolen]
            shares = [100 * (trial.evidence.stolen or 0) for trial in stolen]
            above.plot(
                [place for place in places for _ in range(3)],
                [end for share in shares for end in (0, share, math.nan)],
                color=style.VERMILLION,
                lw=1.6,
            )
            above.set_ylim(0, max(5.0, 1.1 * max(shares)))
            above.locator_params(axis="y", nbins=4)
            above.set_ylabel("stolen CPU, %")
            above.grid(axis="y")
        else:
            axes = figure.subplots()

        end = max(_seconds(trial) - start + trial.seconds for trial in trials) / 60
        thinnest = end / 600  # a bar that cannot be seen would be a trial left out
        middles, y = {}, 0.0
        for arm in arms:
            middles[arm] = y + lanes[arm] / 2
            y += lanes[arm]
        styles = {load: _LOADS[index % len(_LOADS)] for index, load in enumerate(run.loads)}
        for load, (colour, hatch) in styles.items():
            bars = [
                _bar(
                    (_seconds(trial) - start) / 60,
                    max(trial.seconds / 60, thinnest),
                    middles[trial.arm],
                )
                for trial in trials
                if trial.load == load
            ]
            # One path for all of a load, for the same reason.
            axes.add_patch(
                PathPatch(
                    Path.make_compound_path(*bars),
                    facecolor=colour,
                    edgecolor=INK,
                    lw=0.4,
                    hatch=hatch,
                )
            )
        voided = [trial for trial in trials if trial.voids]
        axes.plot(
            [(_seconds(trial) - start + trial.seconds / 2) / 60 for trial in voided],
            [middles[trial.arm] for trial in voided],
            "x",
            color=INK,
            ms=10,
            mew=2.4,
            path_effects=[Stroke(linewidth=5, foreground=PAPER), Normal()],
            zorder=5,
        )
        axes.set_ylim(body, 0)
        axes.set_xlim(-end * 0.005, end * 1.005 or 1)
        axes.set_yticks(list(middles.values()), ["\n".join(names[arm]) for arm in arms])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("time since the first trial, minutes")
        axes.grid(axis="x")
        handles: list[Patch | Line2D] = [
            Patch(facecolor=colour, edgecolor=INK, hatch=hatch, lw=0.6, label=load)
            for load, (colour, hatch) in styles.items()
        ]
        if voided:
            handles.append(
                Line2D([], [], marker="x", ls="none", color=INK, ms=9, mew=2, label="voided")
            )
        figure.legend(
            handles=handles, loc="outside upper left", ncols=min(5, len(handles)), handlelength=2.2
        )
        return figure


def _seconds(trial: Trial) -> float:
    return datetime.fromisoformat(trial.began).timestamp()


def _bar(left: float, width: float, middle: float) -> Path:
    low, high = middle - 7, middle + 7
    corners = [(left, low), (left + width, low), (left + width, high), (left, high), (left, low)]
    return Path(corners, closed=True)
