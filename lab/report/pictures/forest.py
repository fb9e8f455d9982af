"""The headline: ratios with their intervals, the equivalence band, and both controls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from lab.report import tables, words
from lab.report.data import HEADLINES, Comparison, Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK, PAPER, SHADE

WIDTH = 400
_LEFT, _RIGHT = 8, 144  # beside the axis: nothing, and the numbers
_LINE, _GRAPH, _GAP = 16, 22, 8


def draw(run: Run) -> list[style.Picture]:
    """The primary comparison; then its metric under the other loads, the other metrics under its
    load, and what people look at first under all of them. The table holds the rest."""
    found: list[style.Picture] = []
    main = run.primary[0] if run.primary else None
    for metric, load, rows in run.panels():
        near = main is not None and (metric == main.metric or load == main.load)
        if (near or metric in HEADLINES) and any(row.drawn for row in rows):
            found.append(_picture(run, metric, load, rows, len(found)))
    return found


def _picture(run: Run, metric: str, load: str, rows: list[Comparison], index: int) -> style.Picture:
    title = f"{words.short(metric)}, {load}"
    primary = any(row.primary for row in rows)
    controls = [row for row in rows if row.role != "arm"]
    caption = (
        f"Each mark is the ratio of an arm to its baseline ({run.baseline} unless the row names"
        f" another), the line through it the 95 % interval over blocks. The shaded band is"
        f" ±{100 * run.margin:.0f} %: an interval inside it is called equivalent, one that leaves"
        f" out 1 a difference, and a hollow mark is not decided."
    )
    if controls:
        caption += (
            " The controls at the bottom show the noise floor: the twin is the baseline once more"
            " and must sit at 1, the canary has a known cost and must be found."
        )
    name = "forest" if primary else f"forest-{index}-{style.slug(metric)}"
    return style.Picture(
        name=name,
        title=title if not primary else f"Primary figure: {title}",
        caption=caption,
        alt=f"Ratios of {title}: " + "; ".join(_say(row) for row in rows),
        figure=partial(_figure, run, metric, rows),
        width=WIDTH,
        section="" if primary else "ratios",
    )


def _say(row: Comparison) -> str:
    return f"{row.arm} {words.ratio(row.ratio)} {words.interval(row)} {row.verdict}"


def _label(run: Run, row: Comparison) -> str:
    against = "" if row.baseline == run.baseline else f" ÷ {row.baseline}"
    return f"{tables.arm_of(row)}{against}"


def _figure(run: Run, metric: str, rows: Sequence[Comparison]) -> Figure:
    with style.settings():
        arms = [row for row in rows if row.role == "arm"]
        controls = [row for row in rows if row.role != "arm"]
        names = {id(row): style.wrapped(_label(run, row), WIDTH - _LEFT - 118) for row in rows}
        heights = {id(row): _LINE * len(names[id(row)]) + _GRAPH + _GAP for row in rows}
        top = 6
        separator = 30 if arms and controls else 0
        body = sum(heights.values()) + separator
        label = style.wrapped(_axis_label(run, metric, rows), WIDTH - 2 * _LEFT, 12)
        total = top + body + 34 + 16 * len(label)

        figure = style.new(WIDTH, total)
        axes = figure.add_axes(
            (
                _LEFT / WIDTH,
                1 - (top + body) / total,
                (WIDTH - _LEFT - _RIGHT) / WIDTH,
                body / total,
            )
        )
        axes.set_ylim(body, 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _scale(axes, run, rows)
        for number, line in enumerate(label):
            y = 1 - (top + body + 36 + 16 * number) / total
            figure.text(_LEFT / WIDTH, y, line, va="center")

        y = 0.0
        for row in arms:
            _row(axes, row, names[id(row)], y)
            y += heights[id(row)]
        if separator:
            across = blended_transform_factory(figure.transFigure, axes.transData)
            axes.plot(
                [_LEFT / WIDTH, 1 - _LEFT / WIDTH],
                [y + 5, y + 5],
                transform=across,
                color=INK,
                lw=0.8,
                alpha=0.5,
                clip_on=False,
            )
            axes.text(
                _LEFT / WIDTH, y + 17, "Controls", transform=across, va="center", style="italic"
            )
            y += separator
        for row in controls:
            _row(axes, row, names[id(row)], y)
            y += heights[id(row)]
        return figure


def _axis_label(run: Run, metric: str, rows: Sequence[Comparison]) -> str:
    known = rows[0].kind
    wish = ""
    if known is not None and known.kind != "tally":
        wish = "◀ less is better · " if known.better == "lower" else "more is better ▶ · "
    return f"{wish}ratio of {words.short(metric)} to {run.baseline or 'the baseline'}, log scale"


def _scale(axes: Axes, run: Run, rows: Sequence[Comparison]) -> None:
    """A logarithmic axis that holds every interval and the whole band."""
    numbers = [*run.band]
    for row in rows:
        numbers += row.drawn or ()
    low, high = min(numbers), max(numbers)
    room = (high / low) ** 0.06
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    style.log_ticks(axes, "x", low / room, high * room)
    axes.grid(axis="x")
    axes.axvspan(*run.band, color=SHADE, lw=0, zorder=0)
    axes.axvline(1, color=INK, lw=1, zorder=1)


def _row(axes: Axes, row: Comparison, name: Sequence[str], y: float) -> None:
    figure = axes.get_figure()
    assert figure is not None  # noqa: S101 - an axes that was just added to one
    across = blended_transform_factory(figure.transFigure, axes.transData)
    for number, line in enumerate(name):
        axes.text(
            _LEFT / WIDTH,
            y + 10 + _LINE * number,
            line,
            transform=across,
            va="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.75},
            zorder=3,
        )
    right = 1 - 4 / WIDTH
    colour, marker = style.VERDICTS.get(row.verdict, (INK, "o"))
    axes.text(
        right,
        y + 10,
        f"{words.SIGNS.get(row.verdict, '')} {row.verdict}".strip(),
        transform=across,
        va="center",
        ha="right",
        weight="bold" if row.verdict in ("faster", "slower") else "normal",
    )
    middle = y + _LINE * len(name) + _GRAPH / 2 + 2
    axes.text(
        right,
        middle,
        f"{words.ratio(row.ratio)} {words.interval(row)}" if row.drawn else "no interval",
        transform=across,
        va="center",
        ha="right",
        size=11,
    )
    if row.drawn is None:
        return
    ratio, low, high = row.drawn
    hollow = row.verdict in ("inconclusive", "void")
    axes.plot([low, high], [middle, middle], color=colour, lw=2.2, zorder=4)
    for end in (low, high):
        axes.plot([end, end], [middle - 4, middle + 4], color=colour, lw=2.2, zorder=4)
    axes.plot(
        [ratio],
        [middle],
        marker,
        ms=8,
        color=PAPER if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.6,
        zorder=5,
    )
