"""Published rows that contradict arithmetic are found by the fitting rule; plausible rows pass."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.judge import overload
from lab.trial import Evidence

TABLES = sorted((Path(__file__).parent / "published").glob("*.json"))
ROWS = [
    pytest.param(row, id=f"{table.stem}: {row['row']}")
    for table in TABLES
    for row in json.loads(table.read_text(encoding="utf-8"))["rows"]
]


@pytest.mark.parametrize("row", ROWS)
def test_rows_are_found_by_arithmetic(row: dict[str, Any]) -> None:
    assert set(overload.reasons(Evidence(**row["evidence"]))) == set(row["contradicts"])


def test_every_table_names_its_source_and_has_both_kinds_of_rows() -> None:
    assert [table.stem for table in TABLES] == [
        "appdynamics-2016",
        "granian-2025-04",
        "granian-2026-08",
    ]
    for table in TABLES:
        content = json.loads(table.read_text(encoding="utf-8"))
        assert "github" in content["source"]
        assert {bool(row["contradicts"]) for row in content["rows"]} == {True, False}
