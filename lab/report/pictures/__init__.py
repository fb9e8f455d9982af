"""The pictures of a report. A picture without data is left out."""

from __future__ import annotations

from lab.report.data import RunData
from lab.report.pictures import cost, flame, forest, latency, strip, wakeups
from lab.report.pictures.style import Picture


def draw(run: RunData) -> list[Picture]:
    """In reading order: the answer, its reasons, the course of the run."""
    return [
        picture
        for room in (forest, wakeups, cost, latency, strip, flame)
        for picture in room.draw(run)
    ]
