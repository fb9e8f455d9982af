"""Figures of the published pages in documents and configuration files.

lab/quotes.toml says which figure of which page stands at which place of a text, and the verdict
that the words rely on. So ``python3 -m lab quotes`` can list what the pages say now and write it
into the files, where a new verdict does not make the words wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.report import words
from lab.trial import METRICS

QUOTES = Path("lab/quotes.toml")

# A gap between two words may be the end of a comment's line.
_GAP = r"(?:[ \t]+|[ \t]*\n[;#]*[ \t]*)"
_NUMBER = r"[0-9][0-9,]*(?:\.[0-9]+)?"
_INTERVAL = rf"\[{_NUMBER}, {_NUMBER}\]"
# What a figure shows → how it looks in a text.
_SHAPES = {
    "arm": _NUMBER,
    "baseline": _NUMBER,
    "percent": _NUMBER,
    "inverse percent": _NUMBER,
    "percent interval": _INTERVAL,
    "times": _NUMBER,
    "ratio": rf"{_NUMBER} {_INTERVAL}",
}


class QuoteError(Exception):
    """A figure that its page does not have. The text names both."""


@dataclass(frozen=True)
class Row:
    """A line of a page's tables. *arm*, *baseline*: means as printed, without their unit."""

    verdict: str
    ratio: str
    interval: str
    arm: str = ""
    baseline: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure: the row of a page, what of it is shown, and the verdict that the words rely on."""

    page: str
    show: str
    arm: str = ""
    load: str = ""
    metric: str = ""
    claim: str = ""  # a published claim instead of an arm
    budget: str = ""  # or the name of a budget
    verdict: str = ""

    def text(self, results: Path) -> str:
        """The figure as the page has it. Raises QuoteError."""
        row = self._row(results)
        if "not controlled" in row.verdict:
            raise QuoteError(f"{self} is not controlled, so it must not be quoted")
        if self.verdict and row.verdict.partition(" (")[0] != self.verdict:
            raise QuoteError(
                f"{self} was {self.verdict!r} and is {row.verdict!r}: change the words"
            )
        shown = {"arm": row.arm, "baseline": row.baseline, "ratio": f"{row.ratio} {row.interval}"}
        return shown[self.show] if self.show in shown else self._computed(row)

    def _computed(self, row: Row) -> str:
        ratio = float(row.ratio.replace(",", ""))
        if self.show == "times":
            return f"{ratio:.1f}"
        if self.show == "percent interval":
            ends = [float(end) for end in row.interval.strip("[]").split(", ")]
            low, high = sorted(abs(end - 1) * 100 for end in ends)
            return f"[{low:.0f}, {high:.0f}]"
        change = 1 / ratio if self.show == "inverse percent" else ratio
        return f"{abs(change - 1) * 100:.0f}"

    def _row(self, results: Path) -> Row:
        file = results / f"{self.page}.md"
        if not file.is_file():
            raise QuoteError(f"{self}: there is no such page")
        page = file.read_text(encoding="utf-8")
        if "UNTRUSTWORTHY" in page:
            raise QuoteError(f"{self}: the page is untrustworthy")
        one = self.claim or self.budget
        key = (one,) if one else (self.arm, self.load, self.metric)
        try:
            return rows(page)[key]
        except KeyError:
            raise QuoteError(f"{self} is not on its page") from None

    def __str__(self) -> str:
        what = f"{self.arm!r}, {self.load!r}, {self.metric}"
        if one := self.claim or self.budget:
            what = f"“{one}”"
        return f"{self.page}: {what}"


@dataclass(frozen=True)
class Quote:
    """A text with a ``{}`` for each figure."""

    file: Path
    text: str
    figures: Sequence[Figure]

    def found(self, content: str) -> re.Match[str] | None:
        """Where it stands in *content*, with a group for each figure."""
        pattern = ""
        literals = self.text.split("{}")
        for number, literal in enumerate(literals):
            parts = (re.escape(word) for word in re.split(r" ", literal))
            pattern += _GAP.join(parts)
            if number < len(self.figures):
                shape = _SHAPES[self.figures[number].show].replace(" ", _GAP)
                pattern += f"({shape})"
        return re.search(pattern, content)


def read(file: Path) -> list[Quote]:
    """The quotes of *file*. Raises ValueError for one that is malformed."""
    found = []
    for one in tomllib.loads(file.read_text(encoding="utf-8"))["quote"]:
        common = {name: one[name] for name in ("page", "load", "metric") if name in one}
        figures = [Figure(**{**common, **figure}) for figure in one["figures"]]
        if one["text"].count("{}") != len(figures):
            raise ValueError(f"{one['text']!r} needs a figure for each {{}}")
        for figure in figures:
            if figure.show not in _SHAPES or (
                not (figure.claim or figure.budget) and figure.metric not in METRICS
            ):
                raise ValueError(f"{one['text']!r}: {figure.show!r}, {figure.metric!r}")
        found.append(Quote(Path(one["file"]), one["text"], figures))
    return found


def rows(page: str) -> Mapping[tuple[str, ...], Row]:
    """(arm, load, metric), (claim,) or (budget,) → the row of the page's tables."""
    labels = {metric.label: name for name, metric in METRICS.items()}
    found: dict[tuple[str, ...], Row] = {}
    heading, head = "", list[str]()
    for line in page.splitlines():
        if line.startswith("## "):
            heading, head = _plain(line.removeprefix("## ")), []
        if not line.startswith("| "):
            head = [] if not line.startswith("|") else head
            continue
        cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not head:
            head = cells
            continue
        row = dict(zip(head, cells, strict=False))
        if "claim" in row:
            found[row["claim"],] = Row(row["outcome"], row["ratio"], row["95 % interval"])
        elif "budget" in row:
            found[row["budget"],] = Row(row["outcome"], row["figure"], row["95 % interval"])
        elif "verdict" in row and "arm" in row:
            load, metric = row.get("load"), labels.get(row.get("metric", ""))
            if load is None or metric is None:
                load, metric = _of_heading(heading)
            means = (row[f"{whose}'s mean"].split(" ")[0] for whose in ("arm", "baseline"))
            arm, baseline = (mean.partition("/")[0] for mean in means)
            values = (row["verdict"], row["ratio"], row["95 % interval"], arm, baseline)
            found[row["arm"], load, metric] = Row(*values)
    return found


def _of_heading(heading: str) -> tuple[str, str]:
    """The load and metric of the page's first table."""
    for name in METRICS:
        begin = words.heading(name, "")
        if heading.startswith(begin):
            return heading.removeprefix(begin), name
    return "", ""


def _plain(cell: str) -> str:
    text = re.sub(r"\\(.)", r"\1", cell.strip())
    for mark, letter in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(mark, letter)
    return text


@dataclass(frozen=True)
class State:
    """What a quote says in its file and on its page. *fault*: why it cannot be written."""

    quote: Quote
    now: Sequence[str]
    page: Sequence[str]
    fault: str = ""

    @property
    def is_right(self) -> bool:
        return not self.fault and self.now == self.page


def states(quotes: Sequence[Quote], checkout: Path, results: Path) -> Iterator[State]:
    for quote in quotes:
        place = quote.found((checkout / quote.file).read_text(encoding="utf-8"))
        if place is None:
            yield State(quote, [], [], "the text is not in the file")
            continue
        now = [re.sub(_GAP, " ", text) for text in place.groups()]
        try:
            yield State(quote, now, [figure.text(results) for figure in quote.figures])
        except QuoteError as error:
            yield State(quote, now, [], str(error))


def write(state: State, checkout: Path) -> None:
    """Put the figures of the page into the file."""
    file = checkout / state.quote.file
    content = file.read_text(encoding="utf-8")
    place = state.quote.found(content)
    if place is None or state.fault:
        return
    for number in reversed(range(len(state.page))):
        begin, end = place.span(number + 1)
        content = content[:begin] + state.page[number] + content[end:]
    file.write_text(content, encoding="utf-8")
