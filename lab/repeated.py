"""`make repeat`: the same two arms many times; how often is a run right?

Each run stands for one that somebody makes once: fresh starts, a verdict, a report. The page counts
what they said. The same command continues: it counts the runs that are complete for the files as
they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from scipy.stats import binomtest

from lab import series
from lab.judge import numbers
from lab.plan import schedule, sources
from lab.plan.experiment_file import read
from lab.runs import TRIALS, VERDICT, ResultsError, Run

FILE = Path("lab/three-percent.toml")
PAGE = Path("lab/results/repeated") / f"{FILE.stem}.md"
# Of one run, as a multiple of what is expected.
PATIENCE, GRACE_S = 3.0, 120.0


@dataclass(frozen=True)
class One:
    """What one run said."""

    started: str
    minutes: float
    trustworthy: bool
    verdicts: Mapping[str, str]  # "found": of the dose; "twin", "same"
    dose: str  # the ratio of the dose with its interval


def run(options: argparse.Namespace) -> int:
    """Returns 0 when all runs are complete, 3 if one was stopped or failed."""
    results = options.results / "repeated"
    expected = schedule.seconds_left(read(FILE), schedule.DEFAULT_BLOCKS, [])
    done = complete(results)
    print(f"{len(done)} of {options.times} runs are complete", flush=True)
    for number in range(len(done), options.times):
        took = 60 * median([one.minutes for one in done] or [expected / 60])
        end = series.clock(took * (options.times - number))
        print(f"\n[{number + 1}/{options.times}] all end at about {end}", flush=True)
        series.lab(results, ["compare", str(FILE)], PATIENCE * took + GRACE_S)
        found = complete(results)
        if len(found) == len(done):
            print("\nThis run did not end. The same command continues.")
            return 3
        done = found
    text = page(done[: options.times])
    print(f"\n{text}")
    target = PAGE if options.publish else results / PAGE.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"The page is {target}.")
    return 0


def complete(results: Path) -> list[One]:
    """The complete runs of the file as it is, for the files as they are, in order."""
    tree, toml = sources.measured(), FILE.read_text(encoding="utf-8")
    found = []
    for verdict in sorted((results / FILE.stem).glob(f"*/{VERDICT}")):
        if verdict.parent.is_symlink() or not (verdict.parent / TRIALS).is_file():
            continue
        try:
            plan = Run.open(verdict.parent).plan
        except ResultsError:
            continue
        same = plan.toml == toml and plan.conditions.get("tree") == tree and not plan.quick
        if same and plan.finished:
            told = json.loads(verdict.read_text(encoding="utf-8"))
            found.append(one_of(told, plan.started, plan.finished))
    return found


def one_of(verdict: Mapping[str, Any], started: str, finished: str) -> One:
    """The first canary is the dose; the second is twice it."""
    primary = [row for row in verdict["comparisons"] if row["primary"]]
    dose = next(row for row in primary if row["role"] == "canary")
    twin = next(row for row in primary if row["role"] == "twin")
    same = next(row for row in primary if row["role"] == "arm")
    took = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return One(
        started,
        took.total_seconds() / 60,
        verdict["trustworthy"],
        {"found": dose["verdict"], "twin": twin["verdict"], "same": same["verdict"]},
        f"{numbers.ratio(dose['ratio'])} {numbers.interval(dose['low'], dose['high'])}",
    )


def page(runs: Sequence[One]) -> str:
    """In Markdown."""
    wanted = {
        "found 3 % more CPU time": [one.verdicts["found"] == "slower" for one in runs],
        "called the twin equivalent": [one.verdicts["twin"] == "equivalent" for one in runs],
        "called the equal arm equivalent": [one.verdicts["same"] == "equivalent" for one in runs],
        "called the equal arm faster or slower": [
            one.verdicts["same"] in ("faster", "slower") for one in runs
        ],
        "was trusted": [one.trustworthy for one in runs],
    }
    minutes = [one.minutes for one in runs]
    lines = [
        f"# {FILE.stem}",
        "",
        f"How often is a run right? {len(runs)} runs of the same two arms, one after the other, "
        f"{min(minutes):.1f} to {max(minutes):.1f} minutes each.",
        "",
        "| a run | times | share, with its 95 % interval |",
        "|---|--:|---|",
    ]
    for what, came in wanted.items():
        interval = binomtest(sum(came), len(came)).proportion_ci(method="wilson")
        lines.append(
            f"| {what} | {sum(came)} of {len(came)} | {sum(came) / len(came):.0%} "
            f"[{interval.low:.0%}, {interval.high:.0%}] |"
        )
    lines += ["", "| started | minutes | 3 % more | twin | the same | trusted |"]
    lines += ["|---|--:|---|---|---|---|"]
    for one in runs:
        words = (f"{one.verdicts['found']}, {one.dose}", one.verdicts["twin"], one.verdicts["same"])
        trusted = "yes" if one.trustworthy else "no"
        lines.append(f"| {one.started} | {one.minutes:.1f} | {' | '.join(words)} | {trusted} |")
    return "\n".join([*lines, ""])
