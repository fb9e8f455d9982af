"""Ratios with their intervals, the margin of equivalence, and both controls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.judge.comparison import Comparison
from lab.judge.numbers import interval, ratio
from lab.report import tables, words
from lab.report.data import HEADLINES, RunData
from lab.report.pictures import style
from lab.report.pictures.style import INK, SHADE
from lab.trial import METRICS

WIDTH = 250  # of the axis; verdicts and numbers stand to its right
_NAME, _MARK = 16, 28  # height of a line of the arm's name, and of its mark

# Colour and marker of a verdict. Hollow: the question is open.
_STYLES = {
    "faster": (style.GREEN, "o"),
    "slower": (style.VERMILION, "s"),
    "equivalent": (style.BLUE, "D"),
    "inconclusive": (INK, "o"),
    "overloaded": (INK, "P"),
    "void": (INK, "X"),
}
_HOLLOW = ("inconclusive", "overloaded", "void")


def draw(run: RunData) -> list[style.Picture]:
    """The primary comparisons; folded: their metric under other loads, and the headline metrics."""
    panels: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for one in run.comparisons:
        panels[one.metric, one.load].append(one)
    wanted = {*HEADLINES, *(one.metric for one in run.primary)}
    return [
        _picture(run, rows, index)
        for index, ((metric, _), rows) in enumerate(panels.items())
        if metric in wanted and any(row.estimate for row in rows)
    ]


def _picture(run: RunData, rows: list[Comparison], index: int) -> style.Picture:
    first = rows[0]
    title = words.heading(first.metric, first.load)
    return style.Picture(
        name="forest" if first.primary else f"forest-{index}-{style.slug(first.metric)}",
        title=title,
        caption=(
            f"Marks are ratios to {run.baseline}, unless the row names another arm; lines are"
            f" 95 % intervals over blocks. The band is ±{run.verdict['margin']:.0%}: an interval"
            " inside it is equivalent. A hollow mark is not settled."
        ),
        alt=f"Ratios of {title}: "
        + "; ".join(
            f"{row.arm} {ratio(row.ratio)} {interval(row.low, row.high)} {words.verdict(row)}"
            for row in rows
        ),
        figure=partial(_figure, run, rows),
        section="" if first.primary else "ratios",
    )


def _figure(run: RunData, rows: Sequence[Comparison]) -> Figure:
    arms = [row for row in rows if row.role == "arm"]
    controls = [row for row in rows if row.role != "arm"]
    names = {row.arm: style.wrapped(_name(run, row), 36) for row in rows}
    body = sum(_NAME * (name.count("\n") + 1) + _MARK for name in names.values())
    body += 26 if controls else 0
    axes = style.new(WIDTH, body).add_axes((0, 0, 1, 1))
    axes.set_ylim(body, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _scale(axes, run, rows)
    y = 0
    for row in [*arms, *controls]:
        if controls and row is controls[0]:
            across = axes.get_yaxis_transform()
            axes.plot([0, 1.6], [y + 4, y + 4], transform=across, color=INK, lw=0.6, clip_on=False)
            axes.text(0, y + 16, "Controls", transform=across, va="center", style="italic")
            y += 26
        _row(axes, row, names[row.arm], y, trustworthy=run.trustworthy)
        y += _NAME * (names[row.arm].count("\n") + 1) + _MARK
    metric = METRICS[rows[0].metric]
    better = "◀ less is better" if metric.better == "lower" else "more is better ▶"
    label = f"{better} · ratio of {metric.label}, log scale"
    axes.set_xlabel(style.wrapped(label, 60), loc="left")
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - for mypy: the axes was added to one
    return figure


def _name(run: RunData, row: Comparison) -> str:
    against = "" if row.baseline == run.baseline else f" ÷ {row.baseline}"
    return f"{tables.arm_of(row)}{against}"


def _scale(axes: Axes, run: RunData, rows: Sequence[Comparison]) -> None:
    """A logarithmic axis that shows every interval and the whole band."""
    band = run.verdict["band"]
    found = [row.estimate for row in rows if row.estimate]
    low = min(*band, *(one.low for one in found))
    high = max(*band, *(one.high for one in found))
    room = (high / low) ** 0.06
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    style.log_ticks(axes.xaxis, low / room, high * room)
    axes.grid(axis="x")
    axes.axvspan(*band, color=SHADE, lw=0, zorder=0)
    axes.axvline(1, color=INK, lw=1, zorder=1)


def _row(axes: Axes, row: Comparison, name: str, y: float, *, trustworthy: bool) -> None:
    across = axes.get_yaxis_transform()
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.75}
    axes.text(0, y + 3, name, transform=across, va="top", zorder=3, bbox=paper)
    settled = row.verdict in ("faster", "slower")
    axes.text(
        1.04, y + 3, words.verdict(row, trustworthy), transform=across, va="top",
        weight="bold" if settled and trustworthy else "normal",
    )  # fmt: skip
    middle = y + _NAME * (name.count("\n") + 1) + 11
    found = row.estimate
    numbers = f"{ratio(row.ratio)} {interval(row.low, row.high)}" if found else "no interval"
    axes.text(1.04, middle, numbers, transform=across, va="center", size=11)
    if found is None:
        return
    ink, marker = _STYLES[row.verdict]
    ink = ink if trustworthy else INK
    hollow = row.verdict in _HOLLOW or not trustworthy
    axes.errorbar(
        found.ratio, middle, xerr=[[found.ratio - found.low], [found.high - found.ratio]],
        fmt=marker, ms=8, color=ink, mfc="white" if hollow else ink, mew=1.6,
        elinewidth=2.2, capsize=4, capthick=2.2, zorder=4,
    )  # fmt: skip
