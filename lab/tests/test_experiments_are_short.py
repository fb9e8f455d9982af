"""The experiments are correct, short to read, and take 20 minutes at most, 3 hours in all."""

from pathlib import Path

import pytest

from lab.plan import schedule
from lab.plan.experiment_file import EXPERIMENTS, read

FILES = sorted(EXPERIMENTS.glob("*.toml"))


def test_the_experiments_of_the_design_exist() -> None:
    names = {file.stem for file in FILES}
    assert names >= {"thunder-lock", "lazy-apps", "shapes", "servers", "sessions"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_correct_and_has_at_most_40_lines(file: Path) -> None:
    experiment = read(file)
    lines = file.read_text(encoding="utf-8").splitlines()
    # Claims and budgets are tables with a line each.
    begin = [lines.index(head) for head in ("[claims]", "[budgets]") if head in lines]
    assert min([len(lines), *begin]) <= 40
    assert {arm.role for arm in experiment.arms} == {"arm", "twin", "canary"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_expected_to_take_less_than_20_minutes(file: Path) -> None:
    assert schedule.seconds_left(read(file), schedule.DEFAULT_BLOCKS, []) < 20 * 60


def test_all_are_expected_to_take_less_than_3_hours() -> None:
    left = [schedule.seconds_left(read(file), schedule.DEFAULT_BLOCKS, []) for file in FILES]
    assert sum(left) < 180 * 60
