"""A picture shows all that it is about, and one without data is left out."""

import re
import xml.etree.ElementTree as ET

import pytest

from lab.report.data import Run
from lab.report.pictures import (
    cost,
    forest,
    latency,
    shapes,
    slopes,
    strip,
    style,
    wakeups,
)
from lab.tests import invented_runs as runs


@pytest.fixture(scope="module")
def lock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lock")
    runs.write_run(folder)
    return Run.read(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    runs.write_run(folder, runs.SMALL, histograms=False)
    return Run.read(folder)


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    runs.write_run(folder, runs.SHAPES, name="shapes", blocks=6, histograms=False)
    return Run.read(folder)


def written(picture):
    """The texts of the picture, in one line."""
    root = ET.fromstring(picture.alone())
    return " ".join(
        " ".join("".join(one.itertext()).split())
        for one in root.iter()
        if one.tag.endswith("}text")
    )


def test_forest_holds_arms_twin_canary_and_their_numbers(lock):
    first, *_ = forest.draw(lock)
    seen = written(first)
    assert first.name == "forest"
    assert seen.index("16 processes, on") < seen.index("Controls") < seen.index("(twin)")
    assert "(wake_1)" in seen[seen.index("Controls") :]
    assert "log scale" in seen
    assert "less is better" in seen
    for row in lock.primary:
        assert f"{row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]" in seen
    names = [picture.name for picture in forest.draw(lock)]
    assert len(names) == len(set(names))


def test_long_names_are_broken_and_not_cut_off():
    name = "gunicorn gthread with a very long name " + "x" * 90
    lines = style.wrapped(name, 280)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert all(style.text_width(line) <= 280 for line in lines)


def test_slopes_hold_a_line_for_each_block(lock):
    (picture,) = slopes.draw(lock)
    assert f"of {runs.BLOCKS} blocks" in picture.alt
    assert "wake-ups a request (log scale)" in written(picture)


def test_cost_sums_up_its_services(small):
    (picture,) = cost.draw(small)
    parts = re.search(r"off: nginx ([\d.]+), app ([\d.]+), redis ([\d.]+)", picture.alt)
    total = sum(map(float, parts.groups()))
    sums = [float(value) for value in re.findall(r"([\d.]+) µs", written(picture))]
    assert any(abs(value - total) <= 1 for value in sums), (total, sums)


def test_wakeups_have_a_line_for_each_other_setting(lock, small, sixteen):
    lines = wakeups.series(lock, "one client")
    assert list(lines) == ["thunder lock off", "thunder lock on"]
    assert {
        count: len(values) for count, values in lines["thunder lock off"].items()
    } == dict.fromkeys((1, 2, 4, 8, 16), runs.BLOCKS)
    (picture,) = wakeups.draw(lock)
    assert "processes" in written(picture)
    assert wakeups.draw(small) == []
    assert wakeups.draw(sixteen) == [], "threads differ with the processes: no line joins them"


def test_heat_map_is_drawn_where_processes_and_threads_differ(sixteen, lock):
    first, *_ = shapes.draw(sixteen)
    seen = written(first)
    assert "processes" in seen
    assert "threads in each" in seen
    assert shapes.draw(lock) == []


def test_open_cells_are_hatched(sixteen):
    cells = shapes.cells(sixteen, "rps", "CPU")
    assert cells[4, 4] is None, "the baseline"
    undecided = [row for row in sixteen.comparisons if row.verdict == "inconclusive"]
    assert undecided, "the invented noise leaves something undecided"
    hatched = {picture.title: "<pattern" in picture.raw for picture in shapes.draw(sixteen)}
    for title, has_hatch in hatched.items():
        metric = next(row.metric for row in sixteen.comparisons if _short(row) in title)
        open_cells = [row for row in undecided if row.metric == metric and row.role == "arm"]
        assert has_hatch == bool(open_cells), title


def _short(row):
    from lab.report import words

    return f": {words.short(row.metric)}, ratio"


def test_latency_is_drawn_for_loads_with_a_schedule(lock, small):
    (picture,) = latency.draw(lock)
    assert "60 % of capacity" in picture.title
    curves = latency.merged(lock, "60 % of capacity")
    good = [
        trial
        for trial in lock.trials
        if trial.arm == "4 processes, on" and trial.histograms and not trial.voids
    ]
    assert curves["4 processes, on"]["response"].count == 150 * len(good)
    assert latency.draw(small) == []


def test_strip_crosses_out_what_was_voided(lock, small):
    (picture,) = strip.draw(lock)
    voided = sum(bool(trial.voids) for trial in lock.trials)
    assert f"{len(lock.trials)} trials, {voided} of them voided" in picture.alt
    seen = written(picture)
    assert "voided" in seen
    assert "stolen CPU, %" in seen
    (without,) = strip.draw(small)
    assert "voided" not in written(without)


def test_colours_can_be_told_apart_from_both_backgrounds():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in style.PALETTE:
        for background in ("#ffffff", "#1d2327"):
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            # WCAG 1.4.11: what is needed to read a picture.
            assert (light + 0.05) / (dark + 0.05) >= 3, (colour, background)
