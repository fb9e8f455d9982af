"""What a client feels: percentiles of service and response time, from the merged histograms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from lab.measure.histogram import Histogram
from lab.report.data import Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK

_DOTS = (0, (1, 2))
_LINES = {"response": (style.VERMILLION, "-"), "service": (style.BLUE, (0, (5, 2)))}
# Where the curves are read off. x is 1/(1 - p), so equal steps are equally rarer requests.
PERCENTS = (20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99)
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
    """A picture for each load whose arrivals have a schedule, so that response and service differ.

    Without one of those: of the primary load, if its trials kept histograms.
    """
    found: list[style.Picture] = []
    kinds = {str(load.get("name")): load.get("kind") for load in run.plan.get("loads") or ()}
    scheduled = [load for load in run.loads if kinds.get(load) in ("open", "reload")]
    for load in scheduled or [one.load for one in run.primary[:1]]:
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
                figure=partial(_figure, run, arms),
                width=style.PANELS_WIDTH,
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
    percents = [percent for percent in PERCENTS if percent <= last] or [20, 50]
    values = curve.percentiles(percents)
    return [100 / (100 - percent) for percent in percents], [
        max(values[percent], 1e-3) for percent in percents
    ]


def _figure(run: Run, arms: Mapping[str, Curves]) -> Figure:
    with style.settings():
        figure, panels = style.panels(
            [style.panel_lines(arm) for arm in arms],
            x="percentile of the requests, % (log scale of 1/(1 - p))",
            y="latency, ms (log scale)",
            top=24,
        )
        baseline = arms.get(run.baseline, {}).get("response")
        lowest, highest, furthest = 1e9, 0.0, 2.0
        for axes, (arm, curves) in zip(panels, arms.items(), strict=True):
            for name, (colour, dash) in _LINES.items():
                if name in curves:
                    x, y = _points(curves[name])
                    axes.plot(x, y, color=colour, lw=2, ls=dash)
                    lowest, highest = min(lowest, *y), max(highest, *y)
                    furthest = max(furthest, x[-1])
            if arm != run.baseline and baseline is not None:
                axes.plot(*_points(baseline), color=INK, lw=1.3, ls=_DOTS)
        shown = [percent for percent in TICKS if 100 / (100 - percent) <= furthest * 1.15]
        low, high = lowest * 0.85, highest * 1.2
        for axes in panels:
            axes.set_xscale("log")
            axes.set_xlim(1.2, furthest * 1.15)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticks(
                [100 / (100 - percent) for percent in shown], [TICKS[percent] for percent in shown]
            )
            axes.set_yscale("log")
            axes.set_ylim(low, high)
            style.log_ticks(axes, "y", low, high)
        handles = [
            Line2D([], [], color=colour, lw=2, ls=dash, label=name)
            for name, (colour, dash) in _LINES.items()
        ]
        if baseline is not None:
            handles.append(Line2D([], [], color=INK, lw=1.3, ls=_DOTS, label="baseline's response"))
        figure.legend(handles=handles, ncols=3, loc="upper left", handlelength=3, borderaxespad=0.2)
        return figure
