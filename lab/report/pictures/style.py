"""What all pictures share: colours, ticks, and how a figure becomes an SVG file.

The colours are Okabe and Ito's, which remain distinct with any kind of colour blindness. No picture
depends on them alone: a marker, a dash or a hatch repeats the information.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

INK = "#23272b"
SHADE = "#e3e6ea"
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (7, 2, 2, 2)))

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched and copied
    "svg.hashsalt": "lab report",  # the same figure gives the same file
    "text.parse_math": False,  # an arm's name may contain a dollar sign
    "font.size": 12,
    "axes.titlesize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.alpha": 0.3,
    "hatch.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Picture:
    """A picture of a report; *figure* draws it."""

    name: str  # the name of its file: letters, digits and hyphens
    title: str
    caption: str  # how to read it
    alt: str  # what it shows
    figure: Callable[[], Figure]
    section: str = ""  # the page folds the pictures of a section
    wide: bool = False  # a phone scrolls it instead of scaling it

    @cached_property
    def svg(self) -> str:
        """The file: text with a white background, cropped to its content."""
        buffer = io.StringIO()
        with mpl.rc_context(_SETTINGS):
            self.figure().savefig(
                buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
            )
        # A hundredth of a pixel is finer than any screen. Numbers in text are left alone.
        return re.sub(
            r'="[^"]*"',
            lambda value: re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", value[0]),
            buffer.getvalue(),
        )


def new(width: float, height: float, **options: Any) -> Figure:
    """A figure of *width* times *height* CSS pixels; its decorations may reach beyond."""
    return Figure(figsize=(width / 72, height / 72), dpi=72, **options)


def wrapped(text: str, characters: int) -> str:
    return textwrap.fill(text, characters)


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis from *low* to *high* with a few round numbers."""
    if high / low < 10:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 3) if high / low < 300 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def legend(figure: Figure, columns: int = 1) -> None:
    """One legend for all axes of *figure*, above them."""
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(
        list(found.values()), list(found), ncols=columns, loc="outside upper left", handlelength=3.5
    )


def slug(text: str) -> str:
    """Letters, digits and hyphens; different texts may give the same."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
