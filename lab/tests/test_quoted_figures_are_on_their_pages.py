"""Each figure that a configuration file or a document quotes is on the page that it cites.

A sentence with ``(lab/results/NAME.md)`` is a quotation. Its numbers must be on that page; "8 %
higher" needs a ratio of 1.08 there, or of 1 / 1.08. Nothing outside of lab/ needs these pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "lab" / "results"
ROOMS = ("uwsgi", "nginx", "redis", "app", "toggles", "stack", "loadtest", "docs")
KINDS = {".ini", ".conf", ".template", ".py", ".md", ".yml", ".toml", ""}
CITED = re.compile(r"\((?:\.\./)?(?:lab/)?results/([a-z-]+)\.md(?:, ([a-z-]+)\.md)?\)")
# Not figures: shapes (4 by 2), issues, options, counts of what was compared, names of versions.
NO_FIGURE = re.compile(
    r"\d+ \u00d7 \d+|#\d+|\d+(?:\.\d+){2,}|\d+(?= (?:process|thread|client|worker))"
)
NUMBER = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)( %)?")

RATIO = re.compile(r"(?<![\w.])\d\.\d{3}(?![\w.])")


def text_of(file: Path) -> str:
    """The text with its comments in one line each block."""
    lines = [re.sub(r"^\s*[;#]+ ?", "", line) for line in file.read_text("utf-8").splitlines()]
    return re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(lines))


def quotations() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """File, sentence, and the pages that it cites."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in KINDS and file.is_file() and "__pycache__" not in file.parts:
                for line in text_of(file).split("\n"):
                    begin = 0
                    for cited in CITED.finditer(line):
                        before = line[begin : cited.start()]
                        start = max(before.rfind(". "), before.rfind("(!) "), 0)
                        pages = tuple(filter(None, cited.groups()))
                        yield str(file.relative_to(ROOT)), before[start:].strip(". "), pages
                        begin = cited.end()


def missing(sentence: str, page: str) -> list[str]:
    """The figures of *sentence* that are not on *page*."""
    on_page = [float(n.replace(",", "")) for n, _ in NUMBER.findall(page)]
    ratios = [float(n) for n in RATIO.findall(re.sub(r"\\?\[[^\]]*\]", "", page))]
    found = []
    for number, percent in NUMBER.findall(NO_FIGURE.sub("", sentence)):
        value = float(number.replace(",", ""))
        places = len(number.partition(".")[2])
        if percent:
            right = any(
                round(abs(ratio - 1) * 100, places) == value
                for one in ratios
                for ratio in (one, 1 / one)
            )
        else:
            right = any(round(one, places) == value for one in on_page)
        if not right:
            found.append(number + percent)
    return found


@pytest.mark.parametrize(("file", "sentence", "pages"), list(quotations()))
def test_a_quoted_figure_is_on_its_page(file: str, sentence: str, pages: tuple[str, ...]) -> None:
    text = " ".join((RESULTS / f"{name}.md").read_text(encoding="utf-8") for name in pages)
    assert missing(sentence, text) == [], f"{file}: {sentence}"


def test_a_wrong_figure_is_noticed() -> None:
    page = "| ratio 0.919 [0.899, 0.940] | 223.4 MB | 115 |"
    assert missing("four take 223 MB instead of 115, and 8 % less; 9 % higher", page) == []
    wrong = "they take 224 MB instead of 115, and 3 % less"
    assert missing(wrong, page) == ["224", "3 %"]


def test_the_shipped_files_quote_the_pages() -> None:
    """The search finds what is known to be there."""
    assert {"lazy-apps", "thunder-lock"} <= {page for _, _, pages in quotations() for page in pages}
