"""Throughput against users, with the curve of the universal scalability law through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab.judge.scalability import throughput
from lab.report import words
from lab.report.data import Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK


def draw(run: Run) -> list[style.Picture]:
    """A picture for each path that has a ladder of users and an arm with a fit."""
    fitted: dict[str, list[Mapping[str, Any]]] = {}
    for row in run.scalability:
        if row.get("lambda") and row.get("rps"):
            fitted.setdefault(str(row.get("path", "")), []).append(row)
    return [
        style.Picture(
            name="scalability" if not index else f"scalability-{index}",
            title=f"Throughput against users, and the law through it: {path}",
            caption=(
                "Marks are geometric means over the blocks, the line is the universal scalability"
                " law fitted to them: sigma (σ) is the share of the work that queues for something,"  # noqa: RUF001
                " kappa (κ) what users cost each other, both with 95 % intervals. A vertical line"
                " marks the peak, where the intervals show that there is one."
                + "".join(f" {row['arm']}: {row['why']}." for row in rows if row.get("why"))
            ),
            alt="; ".join(f"{row['arm']}: {_say(row)}" for row in rows),
            figure=partial(_figure, rows),
            width=style.PANELS_WIDTH,
        )
        for index, (path, rows) in enumerate(fitted.items())
    ]


def _say(row: Mapping[str, Any]) -> str:
    peak = row.get("peak_users")
    return f"sigma {_three(row['sigma'])}, kappa {_three(row['kappa'])}, " + (
        f"peak at {words.number(float(peak))} users" if peak else "no peak shown"
    )


def _three(values: Sequence[float]) -> str:
    value, low, high = (f"{number:.2g}" for number in values)
    return f"{value} [{low}, {high}]"


def _figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    with style.settings():
        figure, panels = style.panels(
            [
                [
                    *style.panel_lines(str(row["arm"])),
                    f"σ {_three(row['sigma'])}",  # noqa: RUF001 - the law's own letters
                    f"κ {_three(row['kappa'])}",
                ]
                for row in rows
            ],
            x="users at the same time",
            y="requests a second",
        )
        most = 1.08 * max(float(rate) for row in rows for rate in row["rps"])
        for axes, row in zip(panels, rows, strict=True):
            users = [float(number) for number in row["users"]]
            curve = np.linspace(min(users), max(users), 40)
            law = throughput(curve, row["lambda"][0], row["sigma"][0], row["kappa"][0])
            axes.plot(curve, law, color=style.BLUE, lw=2)
            axes.plot(users, row["rps"], "o", color=style.VERMILLION, ms=6)
            if row.get("peak_users"):
                axes.axvline(float(row["peak_users"]), color=INK, lw=1, ls=(0, (3, 2)))
            axes.set_ylim(0, most)
            axes.set_xlim(0, max(users) * 1.05)
        return figure
