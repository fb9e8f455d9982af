"""The report of a run: one page without a network, Markdown for a pull request, pictures.

    data.py        the run, read from its folder
    words.py       numbers as text, the same everywhere
    tables.py      what the page and the Markdown list
    pictures/      one module a picture, drawn by matplotlib as SVG
    page.py        report.html, from template.html and style.css
    markdown.py    report.md, and what is committed under lab/results

A report adds nothing to the verdict: it can be drawn again from the files at any time.
"""

from __future__ import annotations

from pathlib import Path

from lab.report import markdown, page
from lab.report.data import ReportError, Run
from lab.report.pictures import draw

__all__ = ["ReportError", "write"]


def write(folder: Path) -> Path:
    """Write report.html, report.md and pictures/*.svg into *folder*; return the page's path.

    *folder* holds plan.json, trials.jsonl and verdict.json. Raises ReportError for one that is
    missing or damaged.
    """
    run = Run.read(folder)
    pictures = draw(run)
    beside = folder / "pictures"
    beside.mkdir(exist_ok=True)
    for old in beside.glob("*.svg"):
        old.unlink()
    files = {picture.name: f"pictures/{picture.name}.svg" for picture in pictures}
    for picture in pictures:
        (folder / files[picture.name]).write_text(picture.alone(), encoding="utf-8")
    shown = {p.name: files[p.name] for p in pictures if not p.section}
    (folder / "report.md").write_text(markdown.render(run, pictures, shown), encoding="utf-8")
    path = folder / "report.html"
    path.write_text(page.render(run, pictures), encoding="utf-8")
    return path
