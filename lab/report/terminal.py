"""Prints a verdict: the primary comparisons, the answer, expectations and claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.judge.comparison import Comparison
from lab.judge.numbers import interval, ratio
from lab.judge.verdict import SETTLED
from lab.report import words


class Terminal(Console):
    """Rich's console. If stdout has no reader, the command line decides how to end."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(verdict: Mapping[str, Any], console: Console) -> None:
    """*verdict*: the content of verdict.json."""
    rows = [Comparison.from_json(row) for row in verdict["comparisons"] if row["primary"]]
    if rows:
        console.print(f"\n{words.axis(rows[0].metric)}, under {rows[0].load}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("arm", "baseline", "ratio", "95 % interval", "n", "verdict"):
        table.add_column(
            name, justify="right" if name in ("ratio", "95 % interval", "n") else "left"
        )
    for row in rows:
        numbers = (ratio(row.ratio), interval(row.low, row.high), str(row.n))
        table.add_row(row.arm, row.baseline, *numbers, words.verdict(row))
    console.print(table, markup=False)
    console.print(f"\n{verdict['headline']} {verdict['certainty']}", markup=False, style="bold")
    console.print(f"{verdict['answer']}", markup=False, soft_wrap=True)
    for arm, one in verdict["expectations"].items():
        if one["met"]:
            text = "as declared"
        elif one["found"] in SETTLED:
            text = f"NOT as declared ({one['declared']})"
        else:
            text = f"not decided (declared: {one['declared']})"
        console.print(f"{arm}: {one['found']}, {text}", markup=False)
    for claim in verdict.get("claims", ()):
        console.print(f"{claim['outcome']}: {claim['says']}", markup=False, soft_wrap=True)
    if verdict["void_by_rule"]:
        rules = ", ".join(f"{rule} {count}" for rule, count in verdict["void_by_rule"].items())
        console.print(
            f"Void trials: {verdict['voided']}. Voids by rule, with those that spoil only times: "
            f"{rules}.",
            markup=False,
        )
