"""Each block's pair: what the baseline cost and what the arm cost, from the same fresh start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from lab.report import words
from lab.report.data import Comparison, Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK

_ENDS = 0.22  # beyond the two positions: room for the marks


def draw(run: Run) -> list[style.Picture]:
    """Nothing where the verdict has no pairs with figures above zero."""
    rows = [row for row in run.primary if row.values and min(map(min, row.values)) > 0]
    if not rows:
        return []
    metric, load = rows[0].metric, rows[0].load
    rising = "; ".join(
        f"{row.arm}: higher than {row.baseline} in "
        f"{sum(arm > baseline for baseline, arm in row.values)} of {len(row.values)} blocks"
        for row in rows
    )
    return [
        style.Picture(
            name="slopes",
            title=f"Block by block: {words.short(metric)}, {load}",
            caption=(
                "One line a block, from the baseline (left) to the arm (right), both started anew"
                " in that block. Lines that run alike are a difference that starts do not change;"
                " lines that cross are noise. The thick dashes are the medians."
            ),
            alt=f"Pairs of {words.short(metric)} by block. {rising}.",
            figure=partial(_figure, metric, rows),
            width=style.PANELS_WIDTH,
        )
    ]


def _figure(metric: str, rows: Sequence[Comparison]) -> Figure:
    with style.settings():
        figure, panels = style.panels(
            [style.panel_lines(row.arm) + style.panel_lines(f"÷ {row.baseline}") for row in rows],
            x="left: the baseline, right: the arm",
            y=f"{words.axis(metric)} (log scale)",
        )
        numbers = [value for row in rows for pair in row.values for value in pair]
        low, high = min(numbers), max(numbers)
        room = max(high / low, 1.1) ** 0.08
        for axes, row in zip(panels, rows, strict=True):
            colour, marker = style.VERDICTS.get(row.verdict, (INK, "o"))
            # One line with gaps instead of a line a block: the file stays small.
            x = [place for _ in row.values for place in (0, 1, 1)]
            y = [value for pair in row.values for value in (*pair, math.nan)]
            axes.plot(x, y, "-", color=colour, lw=1.1, alpha=0.85)
            axes.plot(x, y, marker, color=colour, ms=4)
            for middle, ends in zip(row.medians, ((-_ENDS, -0.06), (1.06, 1 + _ENDS)), strict=True):
                if middle is not None:
                    axes.plot(ends, [middle, middle], color=INK, lw=2.6)
            axes.set_xlim(-_ENDS - 0.05, 1 + _ENDS + 0.05)
            axes.set_xticks([0, 1], ["baseline", "arm"])
            axes.set_yscale("log")
            axes.set_ylim(low / room, high * room)
            style.log_ticks(axes, "y", low / room, high * room)
            axes.text(
                0.5,
                0.98,
                f"{words.ratio(row.ratio)} {row.verdict}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                size=10.5,
            )
        return figure
