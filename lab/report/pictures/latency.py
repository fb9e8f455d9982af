"""Percentiles of response and service time, from the histograms of all trials."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from lab.measure.histogram import Histogram
from lab.report.data import RunData
from lab.report.pictures import style
from lab.report.pictures.style import INK

_LINES = {"response": (style.VERMILION, "-"), "service": (style.BLUE, (0, (5, 2)))}
# Where the curves are sampled. The x axis is 1/(1 - p): equal steps are equally rarer requests.
PERCENTS = (20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99)
TICKS = (50, 90, 99, 99.9, 99.99)
# A percentile beyond which there are fewer requests is not drawn.
BEYOND = 10

Curves = dict[str, Histogram]  # "response" and "service"


def merged(run: RunData, load: str) -> dict[str, Curves]:
    """arm → the histograms of all its trials under *load* that have no void, added."""
    found: dict[str, Curves] = {}
    for trial in run.trials:
        if trial.load == load and trial.histograms and not trial.voids:
            of_arm = found.setdefault(trial.arm, {})
            for name, text in trial.histograms.items():
                of_arm.setdefault(name, Histogram()).add(Histogram.decode(text))
    kept = {
        arm: curves
        for arm, curves in found.items()
        if any(curve.count > BEYOND for curve in curves.values())
    }
    return {arm: kept[arm] for arm in run.ordered(kept)}


def draw(run: RunData) -> list[style.Picture]:
    """One picture for each load with a schedule: open and reload loads ask for latencies."""
    found: list[style.Picture] = []
    kinds = {load["name"]: load["kind"] for load in run.plan.loads}
    for load in run.loads:
        arms = merged(run, load) if kinds[load] in ("open", "reload") else {}
        if not arms:
            continue
        found.append(
            style.Picture(
                name=f"latency-{len(found)}" if found else "latency",
                title=f"Latency by percentile: {load}",
                caption=(
                    "Response time (solid) counts from the scheduled send time, service time"
                    " (dashed) from the actual one: where they part, requests queued. Dotted: the"
                    f" response time of {run.baseline}. Curves end where ten requests are left."
                ),
                alt=f"Percentiles of latency under {load}: "
                + "; ".join(f"{arm}: {_text(curves)}" for arm, curves in arms.items()),
                figure=partial(_figure, run, arms),
                wide=True,
                section="latency" if found else "",
            )
        )
    return found


def _text(curves: Curves) -> str:
    return ", ".join(
        f"{name} median {curve.percentile(50):.2f} ms, p99 {curve.percentile(99):.2f} ms"
        for name, curve in curves.items()
    )


def _points(curve: Histogram) -> tuple[list[float], list[float]]:
    """x = 1/(1 - p) and milliseconds."""
    last = 100 * (1 - BEYOND / curve.count)
    percents = [percent for percent in PERCENTS if percent <= last] or [20, 50]
    values = curve.percentiles(percents)
    return [_place(percent) for percent in percents], [max(values[p], 1e-3) for p in percents]


def _place(percent: float) -> float:
    return 100 / (100 - percent)


def _figure(run: RunData, arms: Mapping[str, Curves]) -> Figure:
    columns = min(3, len(arms))
    rows = -(-len(arms) // columns)
    figure = style.new(225 * columns, 175 * rows + 20, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    baseline = arms.get(run.baseline, {}).get("response")
    for axes in grid.flat[len(arms) :]:
        axes.set_visible(False)
    for axes, (arm, curves) in zip(grid.flat, arms.items(), strict=False):
        for name, (colour, dash) in _LINES.items():
            if name in curves:
                axes.plot(*_points(curves[name]), color=colour, lw=2, ls=dash, label=name)
        if arm != run.baseline and baseline is not None:
            axes.plot(*_points(baseline), color=INK, lw=1.3, ls=(0, (1, 2)), label="baseline")
        axes.set_title(style.wrapped(arm, 28), size=11, loc="left")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid()
    first = grid[0, 0]
    shown = [percent for percent in TICKS if _place(percent) <= first.get_xlim()[1]]
    first.xaxis.set_minor_locator(NullLocator())
    first.set_xticks([_place(percent) for percent in shown], [f"{p:g}" for p in shown])
    style.log_ticks(first.yaxis, *first.get_ylim())
    figure.supxlabel("percentile of the requests (log scale of 1/(1 - p))", size=12)
    for axes in grid[:, 0]:
        axes.set_ylabel("latency, ms")
    style.legend(figure, columns=3)
    return figure
