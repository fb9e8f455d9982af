"""Every picture of a report. What a run has no data for is left out, not drawn empty."""

from __future__ import annotations

from lab.report.data import Run
from lab.report.pictures import cost, forest, latency, shapes, slopes, strip, wakeups
from lab.report.pictures.style import Picture


def draw(run: Run) -> list[Picture]:
    """In the order in which they are read: the answer, then its reasons, then the run itself."""
    return [
        picture
        for draw_some in (
            forest.draw,
            slopes.draw,
            wakeups.draw,
            shapes.draw,
            cost.draw,
            latency.draw,
            strip.draw,
        )
        for picture in draw_some(run)
    ]
