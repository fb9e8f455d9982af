"""Each block's pair: what the baseline cost and what the arm cost, from the same fresh start."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from loadtest.lab.report import words
from loadtest.lab.report.data import Comparison, Run
from loadtest.lab.report.pictures import style
from loadtest.lab.report.pictures.svg import INK, write

WIDTH = 660
_COLUMNS = 3
_PANEL = 170
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
            raw=write(_figure(metric, rows)),
            width=WIDTH,
        )
    ]


def _figure(metric: str, rows: Sequence[Comparison]) -> Figure:
    with style.settings():
        columns = min(_COLUMNS, len(rows))
        room = (WIDTH - 60) / _COLUMNS - 16
        titles = [
            style.wrapped(row.arm, room, 11) + style.wrapped(f"÷ {row.baseline}", room, 10)
            for row in rows
        ]
        deepest = max(map(len, titles))
        lines = -(-len(rows) // columns)
        figure = style.new(
            WIDTH if columns == _COLUMNS else 60 + columns * (WIDTH - 60) / _COLUMNS,
            lines * (_PANEL + 14 * deepest) + 10,
        )
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        numbers = [value for row in rows for pair in row.values for value in pair]
        low, high = min(numbers), max(numbers)
        gap = max(high / low, 1.1) ** 0.06
        for index, axes in enumerate(grid.flat):
            if index >= len(rows):
                axes.set_visible(False)
                continue
            row = rows[index]
            colour, marker = style.VERDICTS.get(row.verdict, (INK, "o"))
            for pair in row.values:
                axes.plot([0, 1], pair, "-", color=colour, lw=1.1, alpha=0.8)
                axes.plot([0, 1], pair, marker, color=colour, ms=4, ls="none")
            axes.plot([-_ENDS, -0.06], [row.medians[0]] * 2, color=INK, lw=2.6)
            axes.plot([1.06, 1 + _ENDS], [row.medians[1]] * 2, color=INK, lw=2.6)
            axes.set_xlim(-_ENDS - 0.05, 1 + _ENDS + 0.05)
            axes.set_xticks([0, 1], ["baseline", "arm"])
            axes.set_title("\n".join(titles[index]), size=11, loc="left")
            axes.set_yscale("log")
            axes.set_ylim(low / gap, high * gap)
            style.log_ticks(axes, "y", low / gap, high * gap)
            axes.grid(axis="y")
            axes.text(
                0.5,
                0.98,
                f"{words.ratio(row.ratio)} {row.verdict}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                size=10,
            )
        figure.supylabel(f"{words.axis(metric)} (log scale)", size=12)
        return figure
