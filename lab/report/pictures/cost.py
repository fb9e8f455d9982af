"""What a request costs in CPU time, and in which service."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from lab.report import words
from lab.report.data import Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK

WIDTH = 400
_LEFT, _RIGHT = 8, 70
# In the order of a request's way. The hatch says what the colour says.
SERVICES = (
    ("nginx", style.BLUE, ""),
    ("app", style.VERMILLION, "//"),
    ("redis", style.GREEN, "\\\\"),
)


def draw(run: Run) -> list[style.Picture]:
    """A picture for each load under which CPU time was taken by service."""
    found: list[style.Picture] = []
    for load in run.loads:
        medians = {service: run.medians(load, f"cpu_us_{service}") for service, _, _ in SERVICES}
        arms = run.ordered(set.intersection(*(set(one) for one in medians.values())))
        if not arms:
            continue
        costs = {arm: {service: medians[service][arm] for service in medians} for arm in arms}
        found.append(
            style.Picture(
                name="cost" if not found else f"cost-{len(found)}",
                title=f"CPU time a request, by service: {load}",
                caption=(
                    "Median over the blocks of the CPU time that a request took in each service;"
                    " at the right the sum. The app's part holds its server, all workers and"
                    " threads."
                ),
                alt=f"CPU time a request in µs under {load}: "
                + "; ".join(
                    f"{arm}: "
                    + ", ".join(f"{service} {words.number(us)}" for service, us in parts.items())
                    for arm, parts in costs.items()
                ),
                figure=partial(_figure, costs),
                width=WIDTH,
                section="" if not found else "cost",
            )
        )
    return found


def _figure(costs: Mapping[str, Mapping[str, float]]) -> Figure:
    with style.settings():
        names = {arm: style.wrapped(arm, WIDTH - 2 * _LEFT) for arm in costs}
        top = 34
        body = sum(16 * len(lines) + 26 for lines in names.values())
        total = top + body + 48
        figure = style.new(WIDTH, total)
        axes = figure.add_axes(
            (
                _LEFT / WIDTH,
                48 / total,
                (WIDTH - _LEFT - _RIGHT) / WIDTH,
                body / total,
            )
        )
        across = blended_transform_factory(figure.transFigure, axes.transData)
        y = 0.0
        for arm, parts in costs.items():
            for line in names[arm]:
                axes.text(_LEFT / WIDTH, y + 9, line, transform=across, va="center")
                y += 16
            left = 0.0
            for service, colour, hatch in SERVICES:
                axes.barh(
                    y + 9,
                    parts[service],
                    14,
                    left,
                    facecolor=colour,
                    edgecolor=INK,
                    hatch=hatch,
                    lw=0.7,
                )
                left += parts[service]
            axes.text(
                1 - 4 / WIDTH,
                y + 9,
                words.with_unit(left, "µs"),
                transform=across,
                va="center",
                ha="right",
            )
            y += 26
        axes.set_ylim(body, 0)
        axes.set_xlim(0, max(sum(parts.values()) for parts in costs.values()) * 1.02)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("CPU time a request, µs")
        figure.legend(
            handles=[
                Patch(facecolor=colour, edgecolor=INK, hatch=hatch, lw=0.7, label=service)
                for service, colour, hatch in SERVICES
            ],
            ncols=3,
            loc="upper left",
            bbox_to_anchor=(0, 1 - 4 / total),
            borderaxespad=0.3,
            handlelength=2.4,
        )
        return figure
