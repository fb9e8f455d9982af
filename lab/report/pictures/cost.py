"""The CPU time of a request, by service."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure

from lab.judge.numbers import number, with_unit
from lab.report.data import RunData
from lab.report.pictures import style
from lab.report.pictures.style import INK

WIDTH = 330
_NAME, _BAR = 16, 28
# In the order in which a request passes them.
SERVICES = (
    ("nginx", style.BLUE, ""),
    ("app", style.VERMILION, "//"),
    ("redis", style.GREEN, "\\\\"),
)

Costs = Mapping[str, Mapping[str, float]]  # arm → service → µs


def draw(run: RunData) -> list[style.Picture]:
    """The primary load; folded: the other loads."""
    main = run.primary[0].load if run.primary else ""
    found: list[style.Picture] = []
    for load in sorted(run.loads, key=lambda load: load != main):
        medians = {service: run.medians(load, f"cpu_us_{service}") for service, _, _ in SERVICES}
        arms = run.ordered(set.intersection(*map(set, medians.values())))
        if not arms:
            continue
        costs = {arm: {service: medians[service][arm] for service in medians} for arm in arms}
        found.append(
            style.Picture(
                name=f"cost-{len(found)}" if found else "cost",
                title=f"CPU time per request by service: {load}",
                caption="Medians over blocks; their sum at the right. The app's part is its server"
                " with all workers and threads.",
                alt=f"CPU time per request in µs under {load}: "
                + "; ".join(
                    f"{arm}: "
                    + ", ".join(f"{service} {number(us)}" for service, us in parts.items())
                    for arm, parts in costs.items()
                ),
                figure=partial(_figure, costs),
                section="cost" if found else "",
            )
        )
    return found


def _figure(costs: Costs) -> Figure:
    names = {arm: style.wrapped(arm, 48) for arm in costs}
    body = sum(_NAME * (name.count("\n") + 1) + _BAR for name in names.values())
    figure = style.new(WIDTH, body)
    axes = figure.add_axes((0, 0, 1, 1))
    y = 0
    for arm, parts in costs.items():
        axes.text(0, y + 3, names[arm], transform=axes.get_yaxis_transform(), va="top")
        middle = y + _NAME * (names[arm].count("\n") + 1) + 11
        left = 0.0
        for service, colour, hatch in SERVICES:
            axes.barh(
                middle, parts[service], 14, left, facecolor=colour, edgecolor=INK, hatch=hatch,
                lw=0.7, label=service if not y else None,
            )  # fmt: skip
            left += parts[service]
        axes.text(1.03, middle, with_unit(left, "µs"), transform=axes.get_yaxis_transform(),
                  va="center")  # fmt: skip
        y = middle + _BAR - 11
    axes.set_ylim(body, 0)
    axes.set_xlim(0, max(sum(parts.values()) for parts in costs.values()) * 1.02)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("CPU time per request, µs")
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return figure
