"""`make repeat` counts what many runs of the same two arms said."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import repeated, series
from lab.judge import verdict
from lab.plan import sources
from lab.plan.experiment_file import read
from lab.runs import Run
from lab.tests.fake_bench import plan
from stack.checkout import CHECKOUT

DOSE, TWIN, SAME = "as it is (burn_3%)", "as it is (twin)", "the same"


def finish(results: Path, found: str = "slower", tree: str | None = None) -> None:
    run = Run.create(
        plan(
            experiment=repeated.FILE.stem,
            toml=repeated.FILE.read_text(),
            conditions={"tree": tree or sources.measured()},
        ),
        results,
    )
    run.finish()
    told = verdict.of(read(repeated.FILE), [], {})
    told["trustworthy"] = True
    for row in told["comparisons"]:
        words = {DOSE: found, TWIN: "equivalent", SAME: "equivalent"}
        row["verdict"] = words.get(row["arm"], "slower")
    run.save_verdict(told)


def test_it_runs_what_is_missing_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "repeated"
    finish(results)
    finish(results, tree="of other files")
    left = ["inconclusive", "slower"]

    def lab(folder: Path, arguments: Sequence[str], limit_s: float) -> int:
        assert list(arguments) == ["compare", str(repeated.FILE)]
        assert limit_s > 300
        finish(folder, left.pop())
        return 0

    monkeypatch.setattr(series, "lab", lab)
    options = argparse.Namespace(results=tmp_path, times=3, publish=False)
    assert repeated.run(options) == 0
    assert left == []
    said = capsys.readouterr().out
    assert "1 of 3 runs are complete" in said
    page = (results / "three-percent.md").read_text()
    assert "| found 3 % more CPU time | 2 of 3 | 67% [21%, 94%] |" in page
    assert "| called the equal arm equivalent | 3 of 3 | 100% [44%, 100%] |" in page


def test_a_run_that_does_not_end_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(series, "lab", lambda *_: None)
    assert repeated.run(argparse.Namespace(results=tmp_path, times=2, publish=False)) == 3
    assert "The same command continues" in capsys.readouterr().out


def test_the_readme_says_what_the_published_page_says() -> None:
    """Found, twin, equal, wrong, trusted: a row each."""
    counts = re.findall(r"\| (\d+ of \d+) \|", (CHECKOUT / repeated.PAGE).read_text())
    found, twin, equal, _, trusted = counts
    assert twin == equal
    said = (
        f"the 3 % were found by {found} runs, the equal arms were called equivalent by {equal},"
        f" and {trusted} were trusted"
    )
    assert said in (CHECKOUT / "lab" / "README.md").read_text()
