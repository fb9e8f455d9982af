"""Renders a judged run: one HTML page without a network, Markdown for a pull request, pictures.

    data.py        the run, read from its folder
    words.py       verdicts and labels as text
    tables.py      the tables of both pages
    pictures/      one module per picture, drawn by matplotlib as SVG
    page.py        report.html, from template.html and style.css
    markdown.py    report.md, and the pages that are committed under lab/results
    audit.py       the raw data of the committed pages, and the ledger of all runs
    stale.py       which published pages are older than what they measured
    redact.py      text without the directories of a machine

A report adds nothing to the verdict and can be rendered again from the files.
"""

from __future__ import annotations

from pathlib import Path

from lab.report import markdown, page
from lab.report.data import ReportError, RunData
from lab.report.pictures import card, draw
from lab.runs import REPORT

__all__ = ["ReportError", "write"]


def write(folder: Path) -> Path:
    """Write report.html, report.md, card.png and pictures/*.svg into *folder*; return the page.

    *folder* holds plan.json, trials.jsonl and verdict.json. Raises ReportError if one is missing
    or damaged.
    """
    run = RunData.read(folder)
    pictures = draw(run)
    beside = folder / "pictures"
    beside.mkdir(exist_ok=True)
    for old in beside.glob("*.svg"):
        old.unlink()
    for picture in pictures:
        (beside / f"{picture.name}.svg").write_text(picture.svg, encoding="utf-8")
    shown = {p.name: f"pictures/{p.name}.svg" for p in pictures if not p.section}
    (folder / "card.png").write_bytes(card.png(run))
    (folder / "report.md").write_text(markdown.render(run, pictures, shown), encoding="utf-8")
    path = folder / REPORT
    path.write_text(page.render(run, pictures), encoding="utf-8")
    return path
