"""report.html: one file that opens without a network, prints, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lab.report import markdown, tables, words
from lab.report.data import RunData
from lab.report.pictures import card
from lab.report.pictures.style import Picture

_HERE = Path(__file__).parent
# The headings of the folded pictures.
SECTIONS = {
    "ratios": "Ratios of other figures",
    "cost": "CPU time by service under other loads",
    "latency": "Latency under other loads",
    "why": "Where CPU time goes",
}


def render(run: RunData, pictures: Sequence[Picture]) -> str:
    """The whole document."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": _data_uri, "link": _link}
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
        primary=tables.without(tables.comparisons(run.primary, run.trustworthy), "load", "metric"),
        comparisons=tables.comparisons(run.comparisons, run.trustworthy),
        medians=tables.medians(run),
        tallies=tables.tallies(run),
        claims=tables.claims(run),
        budgets=tables.budgets(run.verdict.get("budgets", ())),
        voids=tables.voids(run),
        arms=tables.arms(run),
        loads=tables.loads(run),
        differ=differ,
        same=same,
        conditions=tables.conditions(run),
        servers=tables.servers(run),
        why=tables.why(run),
        not_shown=sorted({one for arm in run.why.values() for one in arm["missing"]}),
        command=tables.command(run),
        summary=markdown.summary(run),
        card_uri="data:image/png;base64," + base64.b64encode(card.png(run)).decode(),
    )


def _data_uri(picture: Picture) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg.encode()).decode()


def _link(text: str) -> Markup:
    """*text*, escaped, with its web addresses as links."""
    parts = re.split(r"(https?://[^\s<>\"']+)", text)
    return Markup("").join(
        Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(part) if index % 2 else part
        for index, part in enumerate(parts)
    )
