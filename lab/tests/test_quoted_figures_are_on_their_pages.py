"""Each figure that a configuration file or a document quotes is that of the page that it cites.

lab/quotes.toml lists them. A sentence with ``(lab/results/NAME.md)``, and every sentence under
"Results" in lab/README.md, may have no other figure. Nothing outside of lab/ needs these pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cli
from lab.report import quotes, stale
from lab.report.quotes import Figure, Quote, QuoteError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "lab" / "results"
README = Path("lab/README.md")
ROOMS = ("uwsgi", "nginx", "redis", "app", "toggles", "stack", "loadtest", "operate", "docs")
KINDS = {".ini", ".conf", ".template", ".py", ".md", ".yml", ".toml", ""}
CITED = re.compile(r"\((?:\.\./)?(?:lab/)?results/[a-z-]+\.md(?:, [a-z-]+\.md)?\)")
# Not figures of a page: shapes (4 by 2), issues, versions, options, years, counts of what was
# compared, lengths of turns, and the sizes of published claims.
NO_FIGURE = re.compile(
    r"\d+ \u00d7 \d+|#\d+|\d+(?:\.\d+){2,}|\d+(?= (?:process|thread|client|worker))|20,000 requests"
    r"|`[^`]*`|\]\([^)]*\)|\b20[12]\d\b|turns of \d+|95 %|one of 5 s|Linux 6\.18"
    r"|costs Flask 20 %|is 4 % slower|serves 3\.2 times|[Ww]ith (?:4|16)\b(?! \u00d7)"
)
ALL = quotes.read(ROOT / quotes.QUOTES)


def without_quotes(text: str, file: Path) -> str:
    """*text* with no figure that lab/quotes.toml lists for *file*."""
    for quote in ALL:
        if quote.file == file and (place := quote.found(text)):
            for number in reversed(range(len(quote.figures))):
                begin, end = place.span(number + 1)
                text = text[:begin] + text[end:]
    return text


def figures(sentence: str) -> list[str]:
    return re.findall(r"(?<![\w.])\d[\d,.]*(?: %)?", NO_FIGURE.sub("", sentence))


def citing(text: str) -> Iterator[str]:
    """The sentences that cite a page."""
    lines = [re.sub(r"^\s*[;#]+ ?", "", line) for line in text.splitlines()]
    for line in re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(lines)).split("\n"):
        begin = 0
        for cited in CITED.finditer(line):
            before = line[begin : cited.start()]
            yield before[max(before.rfind(". "), before.rfind("(!) "), 0) :]
            begin = cited.end()


def sentences() -> Iterator[tuple[Path, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in KINDS and path.is_file() and "__pycache__" not in path.parts:
                file = path.relative_to(ROOT)
                for sentence in citing(without_quotes(path.read_text(encoding="utf-8"), file)):
                    yield file, sentence
    for file in (README, Path("README.md")):
        text = without_quotes((ROOT / file).read_text(encoding="utf-8"), file)
        if file == README:
            text = text.partition("\n## Results\n")[2]
            text = text.partition(stale.BEGIN)[0] + text.partition(stale.END)[2]
            yield from ((file, line) for line in text.splitlines())
        else:
            yield from ((file, sentence) for sentence in citing(text))


@pytest.mark.parametrize("quote", ALL, ids=lambda quote: quote.text[:40])
def test_a_quoted_figure_is_that_of_its_page(quote: Quote) -> None:
    """`python3 -m lab quotes --write` corrects figures."""
    (state,) = quotes.states([quote], ROOT, RESULTS)
    assert not state.fault
    assert state.now == state.page


def test_no_other_figure_is_quoted() -> None:
    found = [(str(file), sentence) for file, sentence in sentences() if figures(sentence)]
    assert found == [], "list them in lab/quotes.toml"


PAGE = """\
## Requests per second, all busy

| arm | verdict | ratio | 95 % interval | n | arm's mean | baseline's mean | baseline |
|---|---|--:|--:|--:|--:|--:|---|
| on | slower | 0.919 | \\[0.899, 0.940\\] | 10 | 2,120/s | 2,313/s | off |

## Budgets

| budget | outcome | limit | figure | 95 % interval | n |
|---|---|--:|--:|--:|--:|
| wake-ups, one client | missed | 2 per request | 2.133 | \\[2.122, 2.143\\] | 16 |
| p99, 60 % | met, not controlled | 1 | 0.643 | \\[0.500, 0.826\\] | 16 |

## Other figures

| arm | verdict | ratio | 95 % interval | n | arm's mean | baseline's mean | baseline | load \
| metric |
|---|---|--:|--:|--:|--:|--:|---|---|---|
| on | inconclusive (9 blocks would settle it) | 1.060 | \\[0.990, 1.130\\] | 10 | 31.0 MB \
| 29.2 MB | off | all busy | memory after the load (PSS) |
| on | slower, not controlled | 1.200 | \\[1.100, 1.300\\] | 10 | 1.20 s | 1.00 s | off | all busy \
| start-up time |
"""
RATE = Figure("one", "ratio", arm="on", load="all busy", metric="rps", verdict="slower")
MEMORY = Figure("one", "arm", arm="on", load="all busy", metric="pss_mb", verdict="inconclusive")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.md").write_text(PAGE)
    (tmp_path / "x.ini").write_text("; It is 0.8 [0.7,\n; 0.9] of it, and takes 30\n; MB.\n")
    return tmp_path


def state(checkout: Path, *figures: Figure, text: str = "is {} of it, and takes {} MB") -> object:
    quote = Quote(Path("x.ini"), text, figures)
    (found,) = quotes.states([quote], checkout, checkout / "results")
    quotes.write(found, checkout)
    return found.fault or (found.now, found.page)


def test_new_figures_are_written_over_the_ends_of_lines(checkout: Path) -> None:
    right = ["0.919 [0.899, 0.940]", "31.0"]
    assert state(checkout, RATE, MEMORY) == (["0.8 [0.7, 0.9]", "30"], right)
    text = "; It is 0.919 [0.899, 0.940] of it, and takes 31.0\n; MB.\n"
    assert (checkout / "x.ini").read_text() == text
    assert state(checkout, RATE, MEMORY) == (right, right)


def test_the_figure_of_a_budget_is_quoted_with_its_outcome(checkout: Path) -> None:
    figure = Figure("one", "ratio", budget="wake-ups, one client", verdict="missed")
    assert figure.text(checkout / "results") == "2.133 [2.122, 2.143]"


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Figure("one", "ratio", arm="on", load="all busy", metric="rps", verdict="faster"),
         "was 'faster' and is 'slower': change the words"),
        (Figure("one", "ratio", arm="of", load="all busy", metric="rps"), "is not on its page"),
        (Figure("one", "ratio", arm="on", load="all busy", metric="start_s"), "not controlled"),
        (Figure("one", "ratio", budget="p99, 60 %"), "not controlled"),
        (Figure("one", "ratio", budget="wake-ups, one client", verdict="met"),
         "was 'met' and is 'missed': change the words"),
        (Figure("two", "ratio", arm="on", load="all busy", metric="rps"), "no such page"),
    ],
)  # fmt: skip
def test_what_must_not_be_quoted_is_a_fault_and_changes_nothing(
    checkout: Path, figure: Figure, said: str
) -> None:
    before = (checkout / "x.ini").read_text()
    assert said in str(state(checkout, figure, text="is {} of it"))
    assert (checkout / "x.ini").read_text() == before


def test_an_untrustworthy_page_is_not_quoted(checkout: Path) -> None:
    (checkout / "results" / "one.md").write_text(f"**UNTRUSTWORTHY**\n{PAGE}")
    with pytest.raises(QuoteError, match="untrustworthy"):
        RATE.text(checkout / "results")


@pytest.mark.parametrize(
    ("show", "text"),
    [("percent", "8"), ("inverse percent", "9"), ("percent interval", "[6, 10]"), ("times", "0.9")],
)
def test_percentages_are_those_of_the_ratio(checkout: Path, show: str, text: str) -> None:
    figure = Figure("one", show, arm="on", load="all busy", metric="rps")
    assert figure.text(checkout / "results") == text


def test_the_command_lists_what_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quotes"]) == 0
    monkeypatch.setattr(quotes, "rows", lambda page: {})
    assert cli.main(["quotes"]) == 1
    assert "is not on its page" in " ".join(capsys.readouterr().out.split())


def test_the_search_sees_a_figure_that_is_not_listed() -> None:
    (sentence,) = citing(
        "; It takes 224 MB. Four by 2 \u00d7 3 take 3 % less (lab/results/x.md).\n"
    )
    assert figures(sentence) == ["3 %"]
