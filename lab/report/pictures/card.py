"""One picture of the result, to save and to show: question, headline, certainty."""

from __future__ import annotations

import io

import matplotlib as mpl

from lab.report import words
from lab.report.data import RunData
from lab.report.pictures import style

WIDTH, HEIGHT = 1200, 630  # as link previews show it
_MARGIN = 0.05


def png(run: RunData) -> bytes:
    """A PNG file of 1200 times 630 pixels."""
    verdict = run.verdict
    figure = style.new(WIDTH, HEIGHT, facecolor="white")
    colour = style.GREEN if run.trustworthy else style.VERMILION
    certainty = verdict["certainty"] if run.trustworthy else f"Do not use it: {verdict['why']}."
    revision = str(run.plan.conditions.get("revision") or "")[:12]
    foot = [run.experiment, f"{verdict['blocks']} blocks", words.moment(run.plan.started), revision]
    stamp = "The controls passed." if run.trustworthy else "UNTRUSTWORTHY"
    y = 1 - 1.6 * _MARGIN
    for text, size, weight, characters, gap in (
        (verdict["question"], 26, "normal", 70, 0.06),
        (verdict["headline"], 42, "bold", 42, 0.06),
        (_short(certainty), 24, "normal", 78, 0.04),
    ):
        lines = style.wrapped(text, characters)
        figure.text(_MARGIN, y, lines, size=size, weight=weight, va="top", linespacing=1.25)
        y -= (lines.count("\n") + 1) * size * 1.35 / HEIGHT + gap
    figure.text(_MARGIN, 0.13, stamp, size=24, weight="bold", color=colour)
    figure.text(_MARGIN, 0.06, " · ".join(filter(None, foot)), size=18)
    buffer = io.BytesIO()
    with mpl.rc_context({"text.parse_math": False}):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _short(text: str) -> str:
    return text if len(text) < 200 else f"{text[:200].rsplit(' ', 1)[0]} …"
