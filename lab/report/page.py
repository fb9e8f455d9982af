"""One HTML file: it opens without a network, prints, and loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lab.report import tables, words
from lab.report.data import Run
from lab.report.pictures.style import Picture

_HERE = Path(__file__).parent
# Headings of what is folded away, in the order of the page.
SECTIONS = {
    "ratios": "Ratios of all other figures",
    "shapes": "Processes × threads, other figures",  # noqa: RUF001 - as people write it
    "cost": "CPU by service under the other loads",
    "latency": "Latency under the other loads",
}


def render(run: Run, pictures: Sequence[Picture]) -> str:
    """The whole document."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = _inline
    environment.filters["link"] = _link
    sheet = (_HERE / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    differ, same = tables.options(run)
    return environment.get_template("template.html").render(
        run=run,
        words=words,
        sheet=Markup(sheet),  # noqa: S704 - our own file
        digest=digest,
        pictures=[picture for picture in pictures if not picture.section],
        folded=[
            (title, [picture for picture in pictures if picture.section == section])
            for section, title in SECTIONS.items()
            if any(picture.section == section for picture in pictures)
        ],
        primary=tables.primary(run.primary),
        comparisons=tables.comparisons(run.comparisons),
        medians=tables.medians(run),
        tallies=tables.tallies(run),
        claims=tables.claims(run),
        voids=tables.voids(run),
        void_by_rule=tables.void_by_rule(run),
        asked=tables.asked(run),
        loads=tables.loads(run),
        differ=differ,
        same=same,
        conditions=tables.conditions(run),
        servers=tables.servers(run),
        command=tables.command(run),
    )


def _inline(picture: Picture) -> Markup:
    """Written by ElementTree, which escapes what it writes."""
    return Markup(picture.inline())  # noqa: S704


def _link(text: str) -> Markup:
    """*text* with its web addresses as links: a source is there to be followed. Escaped."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    return Markup("").join(
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )
