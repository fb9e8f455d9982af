"""Colours, markers and figures that all pictures share.

Colours are Okabe and Ito's, which people with any kind of colour blindness tell apart; the four in
PALETTE keep a contrast of 3 : 1 on white and on near-black. No picture depends on them: a marker, a
dash or a hatch always says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lab.report import words
from lab.report.pictures import svg
from lab.report.pictures.svg import INK, SETTINGS

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P")
_FONT = FontProperties(family="DejaVu Sans")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    (0, (6, 2)),
    (0, (2, 2)),
    (0, (7, 2, 2, 2)),
)

# Small multiples: how many in a row, and how wide all of them are together.
PANELS, PANELS_WIDTH = 3, 660

# Colour and marker of a verdict.
VERDICTS = {
    "faster": (GREEN, "o"),
    "slower": (VERMILLION, "s"),
    "equivalent": (BLUE, "D"),
    "inconclusive": (INK, "o"),
    "void": (INK, "X"),
}


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when it is asked for, once."""

    name: str  # its file's name and the prefix of its ids: letters, digits and hyphens
    title: str
    caption: str  # how to read it
    alt: str  # what it shows, for those who cannot see it
    figure: Callable[[], Figure]
    width: int  # pixels
    section: str = ""  # pictures of a section other than the first ones are folded away

    @cached_property
    def raw(self) -> str:
        """What matplotlib writes."""
        return svg.write(self.figure())

    def inline(self) -> str:
        """For a page, which gives it a heading and colours."""
        return svg.inline(self.raw, self.name, self.alt)

    def alone(self) -> str:
        """As a file of its own."""
        return svg.alone(self.raw, self.name, self.alt, wrapped(self.title, self.width - 24, 15))


def settings() -> AbstractContextManager[None]:
    return mpl.rc_context(SETTINGS)


def new(width: float, height: float, *, layout: Literal["constrained"] | None = None) -> Figure:
    """A figure of so many CSS pixels."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, layout=layout)


def panels(
    titles: Sequence[Sequence[str]], *, x: str, y: str, panel: float = 130, top: float = 0
) -> tuple[Figure, list[Axes]]:
    """Small multiples, three in a row: an axes for each of *titles*, which are lines of text.

    The places are computed and not found by a layout engine: that takes ten times as long as the
    drawing. *panel* is an axes' height and *top* the room above all of them, in pixels. All share
    one scale, which the caller sets with share(); so only the left ones have numbers.
    """
    columns = min(PANELS, len(titles))
    rows = -(-len(titles) // columns)
    left, gap, below, bottom = 62.0, 18.0, 34.0, 26.0
    width = (PANELS_WIDTH - left - 8 - (PANELS - 1) * gap) / PANELS
    above = 15.0 * max(map(len, titles)) + 6
    whole = (
        left + columns * (width + gap) - gap + 8,
        top + rows * (above + panel + below) + bottom,
    )
    figure = new(*whole)
    found = []
    for index, title in enumerate(titles):
        row, column = divmod(index, columns)
        axes = figure.add_axes(
            (
                (left + column * (width + gap)) / whole[0],
                1 - (top + (row + 1) * (above + panel) + row * below) / whole[1],
                width / whole[0],
                panel / whole[1],
            )
        )
        axes.set_title("\n".join(title), size=11, loc="left", pad=4)
        axes.tick_params(labelleft=column == 0)
        axes.grid()
        found.append(axes)
    figure.text(0.5, 8 / whole[1], x, ha="center", va="bottom")
    figure.text(6 / whole[0], 0.5, y, va="center", rotation="vertical")
    return figure, found


def panel_lines(text: str) -> list[str]:
    """A panel's title in lines that do not reach the next panel."""
    return wrapped(text, (PANELS_WIDTH - 62) / PANELS - 24, 11)


def slug(text: str) -> str:
    """Letters, digits and hyphens; different texts may collide, so callers number them."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
    return "-".join(part for part in kept.lower().split("-") if part) or "x"


@cache
def text_width(text: str, size: float = 12) -> float:
    """Pixels that *text* takes in the font of the layout, which is wider than most."""
    if not text.strip():
        return 0.0
    return float(TextPath((0, 0), text, size=size, prop=_FONT, usetex=False).get_extents().x1)


def wrapped(text: str, width: float, size: float = 12) -> list[str]:
    """*text* in lines of at most *width* pixels. Longer words are broken, never cut off."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if text_width(candidate, size) <= width:
            lines[-1] = candidate
            continue
        rest = word
        if lines[-1]:
            lines.append("")
        while rest and text_width(rest, size) > width:
            fits = next(
                (
                    end
                    for end in range(len(rest) - 1, 1, -1)
                    if text_width(rest[:end], size) <= width
                ),
                1,
            )
            lines[-1] = rest[:fits]
            lines.append("")
            rest = rest[fits:]
        lines[-1] = rest
    return [line for line in lines if line] or [""]


def log_ticks(axes: Axes, which: str, low: float, high: float, *, wanted: int = 6) -> None:
    """Label a logarithmic axis with round numbers between *low* and *high*, written out."""
    ticks = nice(low, high, wanted)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))


def plain(value: float, _position: int | None = None) -> str:
    """0.05, 1, 1.05, 200: as short as it is exact."""
    return f"{value:.6g}" if abs(value) >= 1e-4 or value == 0 else words.number(value)


def nice(low: float, high: float, wanted: int) -> list[float]:
    """At most *wanted* round numbers between two positive ones, evenly spread on a log axis."""
    for steps in _STEPS:
        found = steps(low, high)
        if 2 <= len(found) <= wanted:
            return found
    found = _STEPS[-1](low, high)
    return found[:: max(1, -(-len(found) // wanted))] or [low, high]


def _every(step: float) -> Callable[[float, float], list[float]]:
    def ticks(low: float, high: float) -> list[float]:
        if (high - low) / step > 100:
            return []
        first = int(low / step) - 1
        found = [round(index * step, 6) for index in range(first, first + 104)]
        return [tick for tick in found if low <= tick <= high and tick > 0]

    return ticks


def _decades(parts: tuple[float, ...]) -> Callable[[float, float], list[float]]:
    def ticks(low: float, high: float) -> list[float]:
        found = [part * 10.0**power for power in range(-9, 10) for part in parts]
        return [float(f"{tick:.6g}") for tick in found if low <= tick <= high]

    return ticks


# From fine to coarse: even steps for narrow ranges, then 1-2-5, then decades.
_STEPS = (
    *(_every(step) for step in (0.01, 0.02, 0.05, 0.1, 0.2)),
    _decades((1, 1.5, 2, 3, 5, 7)),
    _decades((1, 2, 5)),
    _decades((1, 3)),
    _decades((1,)),
)
