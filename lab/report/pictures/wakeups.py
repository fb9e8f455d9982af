"""Wake-ups per request against the number of processes: the effect of thunder-lock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from statistics import median

from matplotlib.figure import Figure

from lab.judge.numbers import number
from lab.report.data import RunData
from lab.report.pictures import style

METRIC = "wakeups"
PROCESSES = "STACK_PROCESSES"
_MOST_LINES = 6  # more cannot be distinguished

Series = dict[str, dict[int, list[float]]]  # line → processes → one figure per trial


def series(run: RunData, load: str) -> Series:
    """One line for each set of settings that two arms share but for the number of processes."""
    figures = run.good(load, METRIC)
    arms = [arm for arm in run.plan.arms if arm["role"] == "arm"]
    shared = set.intersection(*(set(arm["settings"].items()) for arm in arms)) if arms else set()
    lines: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for arm in arms:
        settings = dict(arm["settings"])
        processes = str(settings.pop(PROCESSES, ""))
        if not processes.isdigit() or arm["name"] not in figures:
            continue
        parts = [] if arm["server"] == "uwsgi" else [arm["server"]]
        parts += [
            f"{key.removeprefix('STACK_').lower().replace('_', ' ')} {value}"
            for key, value in sorted(settings.items())
            if (key, value) not in shared
        ]
        lines[", ".join(parts) or "as shipped"][int(processes)] = figures[arm["name"]]
    return {label: points for label, points in lines.items() if len(points) > 1}


def draw(run: RunData) -> list[style.Picture]:
    """Where wake-ups are the primary metric."""
    if run.verdict["primary"]["metric"] != METRIC:
        return []
    loads = {load: series(run, load) for load in run.loads}
    loads = {load: lines for load, lines in loads.items() if 0 < len(lines) <= _MOST_LINES}
    if not loads:
        return []
    medians = "; ".join(
        f"{load}, {label}: "
        + ", ".join(
            f"{processes} processes {number(median(values))}"
            for processes, values in sorted(points.items())
        )
        for load, lines in loads.items()
        for label, points in lines.items()
    )
    return [
        style.Picture(
            name="wakeups",
            title="Wake-ups per request against the number of processes",
            caption=(
                "Voluntary context switches of all the app's threads per request. Lines join the"
                " medians, small marks are single trials. One is the minimum; what grows with the"
                " processes is wasted."
            ),
            alt=f"Median wake-ups per request. {medians}.",
            figure=partial(_figure, loads),
            wide=True,
        )
    ]


def _figure(loads: Mapping[str, Series]) -> Figure:
    columns = min(2, len(loads))
    rows = -(-len(loads) // columns)
    figure = style.new(330 * columns, 250 * rows, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    labels = list(dict.fromkeys(label for lines in loads.values() for label in lines))
    for axes in grid.flat[len(loads) :]:
        axes.set_visible(False)
    for axes, (load, lines) in zip(grid.flat, loads.items(), strict=False):
        for label, points in lines.items():
            place = labels.index(label)
            colour = style.PALETTE[place % len(style.PALETTE)]
            marker = style.MARKERS[place]
            counts = sorted(points)
            for count in counts:
                single = points[count]
                axes.plot([count] * len(single), single, marker, color=colour, ms=3, alpha=0.5)
            axes.plot(
                counts, [median(points[count]) for count in counts], marker=marker, ms=7, lw=2,
                color=colour, ls=style.DASHES[place % len(style.DASHES)], label=label,
            )  # fmt: skip
        ticks = sorted({count for points in lines.values() for count in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        style.log_ticks(axes.yaxis, low, high)
        axes.set_title(style.wrapped(load, 40), loc="left")
        axes.set_xlabel("processes")
        axes.grid()
    for axes in grid[:, 0]:
        axes.set_ylabel("wake-ups per request")
    style.legend(figure)
    return figure
