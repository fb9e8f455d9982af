"""Every test that docs/security.md names exists, and every claim there names one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"(tests/[\w/.-]+\.py)::(\w+)", PAGE)))
SHOWN = PAGE.partition("## Shown by tests")[2].partition("## Not claimed")[0]
CLAIMS = re.findall(r"^\| (\d+\.\d+\.\d+.*?) \| (.+?) \| (.*) \|$", SHOWN, re.M)


@cache
def names_in(file: Path) -> frozenset[str]:
    """What pytest would find at the top of a file."""
    return frozenset(
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_there_are_claims() -> None:
    assert len(NAMED) >= 60
    chapters = {item.split(".")[0] for item, _, _ in CLAIMS}
    assert {"3", "6", "7"} <= chapters


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value)
def test_it_exists(file: str, name: str) -> None:
    assert name in names_in(ROOT / file)


def test_every_claim_names_its_tests() -> None:
    rows = [line for line in SHOWN.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == len(CLAIMS)
    for item, _, shown_by in CLAIMS:
        assert re.fullmatch(r"(`tests/[\w/.-]+\.py::\w+` ?)+", shown_by), item


def test_no_test_is_named_in_another_way() -> None:
    """A file alone would go on looking right after its test is gone."""
    assert not re.findall(r"tests/[\w/.-]+\.py(?!::test_\w)", PAGE)


def test_nothing_is_claimed_twice() -> None:
    items = [number for item, _, _ in CLAIMS for number in re.findall(r"\d+\.\d+\.\d+", item)]
    assert len(items) == len(set(items))
