"""What a client feels: percentiles of service and response time, from the merged histograms."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from loadtest.lab.histogram import Histogram
from loadtest.lab.report.data import Run
from loadtest.lab.report.pictures import style
from loadtest.lab.report.pictures.svg import INK, write

WIDTH = 660
_COLUMNS = 3
_PANEL = 165
# Where the curves are read off. x is 1/(1 - p), so equal steps are equally rarer requests.
PERCENTS = (0, 20, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99)
TICKS = {50.0: "50", 90.0: "90", 99.0: "99", 99.9: "99.9", 99.99: "99.99"}
# A percentile that fewer requests than this lie beyond is one request's story.
BEYOND = 10

Curves = Mapping[str, Histogram]  # "response" and "service"


def merged(run: Run, load: str) -> dict[str, dict[str, Histogram]]:
    """arm → "response", "service" → the histograms of all its quiet trials under *load*, added."""
    found: dict[str, dict[str, Histogram]] = {}
    for trial in run.trials:
        if trial.load != load or trial.voids or not trial.histograms:
            continue
        of_arm = found.setdefault(trial.arm, {})
        for name, text in trial.histograms.items():
            of_arm.setdefault(name, Histogram()).add(Histogram.decode(text))
    kept = {
        arm: curves
        for arm, curves in found.items()
        if any(curve.count > BEYOND for curve in curves.values())
    }
    return {arm: kept[arm] for arm in run.ordered(kept)}


def draw(run: Run) -> list[style.Picture]:
    """A picture for each load whose trials kept histograms."""
    found: list[style.Picture] = []
    for load in run.loads:
        arms = merged(run, load)
        if not arms:
            continue
        found.append(
            style.Picture(
                name="latency" if not found else f"latency-{len(found)}",
                title=f"Latency by percentile: {load}",
                caption=(
                    "Further right are rarer requests: of the ones at 99.9, one in a thousand took"
                    " that long or longer. Response (solid) counts from the moment at which the"
                    " request was due, service (dashed) from the moment at which it was sent; where"
                    " they part, requests waited for their turn. The thin dotted line is the"
                    f" response of {run.baseline}, the same in each panel. Curves end where ten"
                    " requests are left."
                ),
                alt=f"Percentiles of latency under {load}: "
                + "; ".join(f"{arm}: {_say(curves)}" for arm, curves in arms.items()),
                raw=write(_figure(run, arms)),
                width=WIDTH,
                section="" if not found else "latency",
            )
        )
    return found


def _say(curves: Curves) -> str:
    return ", ".join(
        f"{name} median {curve.percentile(50):.2f} ms, 99 % within {curve.percentile(99):.2f} ms"
        for name, curve in curves.items()
    )


def _points(curve: Histogram) -> tuple[list[float], list[float]]:
    """x = 1/(1 - p) and milliseconds, up to the last percentile that enough requests lie beyond."""
    last = 100 * (1 - BEYOND / curve.count)
    percents = [percent for percent in PERCENTS if percent <= last] or [0, 50]
    values = curve.percentiles(percents)
    return [100 / (100 - percent) for percent in percents], [
        max(values[percent], 1e-3) for percent in percents
    ]


def _figure(run: Run, arms: Mapping[str, Curves]) -> Figure:
    with style.settings():
        columns = min(_COLUMNS, len(arms))
        lines = -(-len(arms) // columns)
        titles = [style.wrapped(arm, (WIDTH - 60) / _COLUMNS - 16, 11) for arm in arms]
        deepest = max(map(len, titles))
        width = WIDTH if columns == _COLUMNS else 60 + columns * (WIDTH - 60) / _COLUMNS
        height = 60 + lines * (_PANEL + 14 * deepest)
        figure = style.new(width, height)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        lowest, highest, furthest = 1e9, 0.0, 2.0
        for index, axes in enumerate(grid.flat):
            if index >= len(arms):
                axes.set_visible(False)
                continue
            arm = list(arms)[index]
            if arm != run.baseline and "response" in arms.get(run.baseline, {}):
                x, y = _points(arms[run.baseline]["response"])
                axes.plot(x, y, color=INK, lw=1, ls=(0, (1, 2)))
            for name, colour, dash in (
                ("response", style.VERMILLION, "-"),
                ("service", style.BLUE, (0, (5, 2))),
            ):
                if name in arms[arm]:
                    x, y = _points(arms[arm][name])
                    axes.plot(x, y, color=colour, lw=2, ls=dash)
                    lowest, highest = min(lowest, *y), max(highest, *y)
                    furthest = max(furthest, x[-1])
            axes.set_title("\n".join(titles[index]), size=11, loc="left")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.grid()
            axes.tick_params(labelbottom=True)
        axes = grid[0, 0]
        axes.set_xlim(1, furthest * 1.15)
        shown = [percent for percent in TICKS if 100 / (100 - percent) <= furthest * 1.15]
        axes.set_xticks(
            [100 / (100 - percent) for percent in shown], [TICKS[percent] for percent in shown]
        )
        axes.set_ylim(lowest * 0.85, highest * 1.2)
        style.log_ticks(axes, "y", lowest * 0.85, highest * 1.2)
        figure.supxlabel("percentile of the requests, % (log scale of 1/(1 - p))", size=12)
        figure.supylabel("latency, ms (log scale)", size=12)
        figure.legend(
            handles=[
                Line2D([], [], color=style.VERMILLION, lw=2, label="response"),
                Line2D([], [], color=style.BLUE, lw=2, ls=(0, (5, 2)), label="service"),
                Line2D([], [], color=INK, lw=1, ls=(0, (1, 2)), label="baseline's response"),
            ],
            ncols=3,
            loc="outside upper left",
            handlelength=3,
        )
        return figure
