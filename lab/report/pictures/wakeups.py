"""How many threads wake for one request, against the number of processes: thunder-lock's sign."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure

from lab.report import words
from lab.report.data import Run
from lab.report.pictures import style

WIDTH = 660
METRIC = "wakeups"
PROCESSES = "STACK_PROCESSES"
# More lines than that cannot be told apart: a run with so many settings is another picture.
_MOST_LINES = 6

Series = dict[str, dict[int, list[float]]]  # line → processes → a figure a trial


def series(run: Run, load: str) -> Series:
    """The arms that name a number of processes, as a line for each set of their other settings.

    Only arms of role "arm" and only lines of two points and more: the rest is nothing to follow.
    """
    figures = run.good(load, METRIC)
    settings_of = [run.settings(str(arm.get("name"))) for arm in run.arms if is_arm(arm)]
    shared = set.intersection(*(set(one.items()) for one in settings_of)) if settings_of else set()
    lines: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for arm in run.arms:
        name = str(arm.get("name"))
        settings = run.settings(name)
        processes = settings.pop(PROCESSES, "")
        if not is_arm(arm) or not processes.isdigit() or name not in figures:
            continue
        others = ", ".join(
            f"{key.removeprefix('STACK_').lower().replace('_', ' ')} {value}"
            for key, value in sorted(settings.items())
            if (key, value) not in shared
        )
        server = str(arm.get("server") or "uwsgi")
        label = ", ".join(part for part in ("" if server == "uwsgi" else server, others) if part)
        lines[label or "all else as shipped"][int(processes)] = figures[name]
    return {label: points for label, points in lines.items() if len(points) > 1}


def is_arm(arm: Mapping[str, object]) -> bool:
    """Whether it is none of the controls."""
    return arm.get("role", "arm") == "arm"


def draw(run: Run) -> list[style.Picture]:
    loads = {load: lines for load in run.loads if (lines := series(run, load))}
    loads = {load: lines for load, lines in loads.items() if len(lines) <= _MOST_LINES}
    if not loads:
        return []
    told = "; ".join(
        f"{load}, {label}: "
        + ", ".join(
            f"{processes} processes {words.number(sorted(values)[len(values) // 2])}"
            for processes, values in sorted(points.items())
        )
        for load, lines in loads.items()
        for label, points in lines.items()
    )
    return [
        style.Picture(
            name="wakeups",
            title="Wake-ups a request against the number of processes",
            caption=(
                "Voluntary context switches of all the app's threads, for one request: the line"
                " joins the medians, small marks are single trials. One is the least that a"
                " request can do with; what grows with the processes is work for nothing."
            ),
            alt=f"Median wake-ups a request. {told}.",
            figure=partial(_figure, loads),
            width=WIDTH,
        )
    ]


def _figure(loads: Mapping[str, Series]) -> Figure:
    with style.settings():
        labels = list(dict.fromkeys(label for lines in loads.values() for label in lines))
        columns = min(2, len(loads))
        rows = -(-len(loads) // columns)
        figure = style.new(
            WIDTH if columns == 2 else 440, 40 + 20 * len(labels) + 230 * rows, layout="constrained"
        )
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        every = [
            value
            for lines in loads.values()
            for points in lines.values()
            for values in points.values()
            for value in values
        ]
        low, high = max(min(every), 1e-3) / 1.3, max(every) * 1.3
        handles = {}
        for index, axes in enumerate(grid.flat):
            if index >= len(loads):
                axes.set_visible(False)
                continue
            load, lines = list(loads.items())[index]
            for label, points in lines.items():
                place = labels.index(label)
                colour = style.PALETTE[place % len(style.PALETTE)]
                marker = style.MARKERS[place]
                counts = sorted(points)
                medians = [sorted(points[count])[len(points[count]) // 2] for count in counts]
                for count in counts:
                    values = points[count]
                    axes.plot([count] * len(values), values, marker, color=colour, ms=3, alpha=0.5)
                (handles[label],) = axes.plot(
                    counts,
                    medians,
                    marker=marker,
                    ms=7,
                    lw=2,
                    color=colour,
                    ls=style.DASHES[place % len(style.DASHES)],
                    label=label,
                )
            ticks = sorted({count for points in lines.values() for count in points})
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.25)
            axes.set_yscale("log")
            axes.set_ylim(low, high)
            style.log_ticks(axes, "y", low, high)
            axes.set_title("\n".join(style.wrapped(load, 250)), loc="left")
            axes.set_xlabel("processes")
            axes.grid()
        figure.supylabel("wake-ups a request (log scale)", size=12)
        figure.legend(
            handles=list(handles.values()), loc="outside upper left", ncols=1, handlelength=3.5
        )
        return figure
