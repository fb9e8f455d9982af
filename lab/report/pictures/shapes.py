"""Processes by threads as a heat map: which shape of a server costs least, or serves most."""

# ruff: noqa: RUF001 - everybody writes shapes with that sign

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import matplotlib as mpl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lab.report import words
from lab.report.data import OPEN, Comparison, Run
from lab.report.pictures import style
from lab.report.pictures.svg import INK

WIDTH = 660
PROCESSES, THREADS = "STACK_PROCESSES", "STACK_THREADS"
_CHOSEN = ("rps", "cpu_us", "p99_ms", "pss_mb")

Cells = dict[tuple[int, int], Comparison | None]  # (processes, threads) → None for the baseline


def shape(run: Run, arm: str) -> tuple[int, int] | None:
    """The processes and threads that the arm was asked for."""
    settings = run.settings(arm)
    numbers = [settings.get(key, "") for key in (PROCESSES, THREADS)]
    if not all(number.isdigit() for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def cells(run: Run, metric: str, load: str) -> Cells:
    """The shapes that were compared with the baseline; {} unless both numbers differ among them."""
    found: Cells = {}
    for row in run.comparisons:
        place = shape(run, row.arm)
        if row.role == "arm" and (row.metric, row.load) == (metric, load) and place is not None:
            found[place] = row
    baseline = shape(run, run.baseline)
    if found and baseline is not None:
        found.setdefault(baseline, None)
    if any(len({place[axis] for place in found}) < 2 for axis in (0, 1)):
        return {}
    return found


def draw(run: Run) -> list[style.Picture]:
    """The primary metric, and of the others those that a choice of shape rests on; a panel a
    load."""
    by_metric: dict[str, dict[str, Cells]] = {}
    for metric, load, _ in run.panels():
        chosen = metric in _CHOSEN or any(one.metric == metric for one in run.primary)
        if chosen and (found := cells(run, metric, load)):
            by_metric.setdefault(metric, {})[load] = found
    pictures: list[style.Picture] = []
    for metric, panels in by_metric.items():
        if not any(row and row.drawn for found in panels.values() for row in found.values()):
            continue
        pictures.append(
            style.Picture(
                name="shapes" if not pictures else f"shapes-{len(pictures)}",
                title=f"Processes × threads: {words.short(metric)}, ratio to {run.baseline}",
                caption=(
                    f"Each cell is a shape, its number the ratio to {run.baseline} (framed)."
                    " Purple is less than the baseline, orange more. Hatched cells are not"
                    " decided; shapes without a cell were not measured."
                ),
                alt=f"Ratio of {words.short(metric)} to {run.baseline}: "
                + "; ".join(
                    f"{load}, {place[0]} processes × {place[1]} threads "
                    + (f"{words.ratio(row.ratio)} {row.verdict}" if row else "baseline")
                    for load, found in panels.items()
                    for place, row in sorted(found.items())
                ),
                figure=partial(_figure, panels),
                width=WIDTH,
                section="" if not pictures else "shapes",
            )
        )
    return pictures


def _figure(panels: Mapping[str, Cells]) -> Figure:
    with style.settings():
        columns = min(2, len(panels))
        lines = -(-len(panels) // columns)
        width = WIDTH if columns == 2 else 440
        figure = style.new(width, 20 + lines * 290, layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False)
        ratios = [
            row.ratio
            for found in panels.values()
            for row in found.values()
            if row is not None and row.ratio
        ]
        # The same distance to both sides, so that the middle of the colours is a ratio of 1.
        span = max(1.1, math.exp(max(abs(math.log(ratio)) for ratio in ratios)))
        norm = LogNorm(1 / span, span)
        colours = mpl.colormaps["PuOr_r"]
        for index, axes in enumerate(grid.flat):
            if index >= len(panels):
                axes.set_visible(False)
                continue
            load, found = list(panels.items())[index]
            processes = sorted({place[0] for place in found})
            threads = sorted({place[1] for place in found})
            for (of_processes, of_threads), row in found.items():
                x, y = processes.index(of_processes), threads.index(of_threads)
                ratio = 1.0 if row is None else row.ratio
                undecided = row is not None and (row.verdict in OPEN or ratio is None)
                face = "#f7f7f7" if ratio is None else mpl.colors.to_hex(colours(norm(ratio)))
                dark = sum(mpl.colors.to_rgb(face)) < 1.4
                axes.add_patch(
                    Rectangle(
                        (x - 0.46, y - 0.46),
                        0.92,
                        0.92,
                        facecolor=face,
                        edgecolor="#8a8a8a" if undecided else INK if row is None else face,
                        hatch="///" if undecided else None,
                        lw=2.4 if row is None else 0.8,
                    )
                )
                axes.text(
                    x,
                    y,
                    "1" if row is None else words.ratio(ratio),
                    ha="center",
                    va="center",
                    size=12,
                    color="#ffffff" if dark else "#000000",
                    bbox={"facecolor": face, "edgecolor": "none", "pad": 1.5},
                )
            axes.set_xlim(-0.55, len(processes) - 0.45)
            axes.set_ylim(-0.55, len(threads) - 0.45)
            axes.set_xticks(range(len(processes)), [str(number) for number in processes])
            axes.set_yticks(range(len(threads)), [str(number) for number in threads])
            axes.set_xlabel("processes")
            axes.set_ylabel("threads in each")
            axes.set_title("\n".join(style.wrapped(load, 250)), loc="left")
        return figure
