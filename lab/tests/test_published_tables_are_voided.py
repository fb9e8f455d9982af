"""Published rows that contradict arithmetic are voided by the fitting rule; plausible rows pass."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.judge import gates
from lab.trial import METRICS, Evidence, Trial

TABLES = sorted((Path(__file__).parent / "published").glob("*.json"))
ROWS = [
    pytest.param(row, id=f"{table.stem}: {row['row']}")
    for table in TABLES
    for row in json.loads(table.read_text(encoding="utf-8"))["rows"]
]


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_voided_by_arithmetic(row: dict[str, Any]) -> None:
    evidence = Evidence(**row["evidence"])
    trial = Trial(1, row["row"], "", 1, "", evidence.seconds or 0, evidence.done or 0)
    trial.evidence = evidence
    trial.voids = gates.judge(trial, primary=METRICS["rps"])
    assert {void.rule for void in trial.voids} == set(row["voided_by"])
    assert trial.good_for("cpu_us") == (not row["voided_by"]), (
        "an arithmetical contradiction spoils everything"
    )


def test_every_table_names_its_source_and_has_both_kinds_of_rows() -> None:
    assert [table.stem for table in TABLES] == [
        "appdynamics-2016",
        "granian-2025-04",
        "granian-2026-08",
    ]
    for table in TABLES:
        content = json.loads(table.read_text(encoding="utf-8"))
        assert "github" in content["source"]
        assert {bool(row["voided_by"]) for row in content["rows"]} == {True, False}
