"""A picture shows all that it is about. A picture without data is left out."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from lab.report.data import RunData
from lab.report.pictures import cost, draw, forest, latency, strip, style, wakeups
from lab.tests import invented_runs as runs


@pytest.fixture(scope="module")
def large(lock: tuple[Path, dict[str, Any]]) -> RunData:
    return RunData.read(lock[0])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("small")
    runs.write_run(folder, runs.SMALL, histograms=False)
    return RunData.read(folder)


def texts(picture: style.Picture) -> str:
    """The texts of the picture, in one line."""
    root = ET.fromstring(picture.svg)
    return " ".join(
        " ".join("".join(one.itertext()).split())
        for one in root.iter()
        if one.tag.endswith("}text")
    )


def test_forest_shows_arms_controls_and_their_numbers(large: RunData) -> None:
    first, *others = forest.draw(large)
    seen = texts(first)
    assert first.name == "forest"
    assert seen.index("16 processes, on") < seen.index("Controls") < seen.index("(twin)")
    assert "(wake_1)" in seen[seen.index("Controls") :]
    assert "less is better" in seen
    assert "log scale" in seen
    for row in large.primary:
        assert f"{row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]" in seen
    assert {one.section for one in others} == {"ratios"}
    assert len({one.name for one in others}) == len(others)


def test_an_untrustworthy_run_is_drawn_without_colour(tmp_path: Path) -> None:
    runs.write_run(tmp_path, runs.SMALL, twin_off=1.2, histograms=False)
    first, *_ = forest.draw(RunData.read(tmp_path))
    assert style.GREEN.lower() not in first.svg.lower()


def test_long_names_are_wrapped_and_not_cut_off() -> None:
    name = "gunicorn gthread with a very long name " + "x" * 90
    lines = style.wrapped(name, 40).splitlines()
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert max(map(len, lines)) <= 40


def test_cost_adds_up_the_services(small: RunData) -> None:
    (picture,) = cost.draw(small)
    parts = re.search(r"off: nginx ([\d.]+), app ([\d.]+), redis ([\d.]+)", picture.alt)
    assert parts is not None
    total = sum(map(float, parts.groups()))
    sums = [float(value) for value in re.findall(r"([\d.]+) µs", texts(picture))]
    assert any(abs(value - total) <= 1 for value in sums), (total, sums)


def test_wakeups_have_a_line_for_each_other_setting(large: RunData, small: RunData) -> None:
    lines = wakeups.series(large, "one client")
    assert list(lines) == ["thunder lock off", "thunder lock on"]
    assert {
        count: len(values) for count, values in lines["thunder lock off"].items()
    } == dict.fromkeys((1, 2, 4, 8, 16), runs.BLOCKS)
    (picture,) = wakeups.draw(large)
    assert "processes" in texts(picture)
    assert wakeups.draw(small) == [], "both arms have the same number of processes"


def test_wakeups_are_drawn_only_where_they_are_the_question(tmp_path: Path) -> None:
    toml = runs.LOCK.replace('metric = "wakeups"', 'metric = "cpu_us"').replace("wake_1", "burn_40")
    runs.write_run(tmp_path, toml, histograms=False)
    assert wakeups.draw(RunData.read(tmp_path)) == []


def test_latency_is_drawn_for_loads_with_a_schedule(large: RunData, small: RunData) -> None:
    (picture,) = latency.draw(large)
    assert "60 % of capacity" in picture.title
    curves = latency.merged(large, "60 % of capacity")
    good = [
        trial
        for trial in large.trials
        if trial.arm == "4 processes, on" and trial.histograms and not trial.voids
    ]
    assert curves["4 processes, on"]["response"].count == 150 * len(good)
    assert latency.draw(small) == []


def test_strip_marks_what_was_voided(large: RunData, small: RunData) -> None:
    (picture,) = strip.draw(large)
    voided = sum(bool(trial.voids) for trial in large.trials)
    assert f"{len(large.trials)} trials, {voided} of them voided" in picture.alt
    seen = texts(picture)
    assert "voided" in seen
    assert "stolen CPU, %" in seen
    (without,) = strip.draw(small)
    assert "voided" not in texts(without)


def test_every_picture_has_a_name_of_its_own(large: RunData) -> None:
    names = [picture.name for picture in draw(large)]
    assert len(names) == len(set(names))
    assert {"forest", "wakeups", "cost", "latency", "strip"} <= set(names)


def test_colours_have_contrast_on_white() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in style.PALETTE:
        # WCAG 1.4.11: what is needed to read a picture.
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour
