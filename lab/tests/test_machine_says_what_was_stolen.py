"""Stolen and busy CPU time, and systems that do not report them."""

import json
import re
from pathlib import Path

import pytest

from lab.measure import machine

# user nice system idle iowait irq softirq steal guest guest_nice; guests are in user already.
BEFORE = """cpu  1000 100 400 8000 50 10 40 400 300 0
cpu0 500 50 200 4000 25 5 20 200 150 0
intr 1
"""
AFTER = """cpu  1060 110 420 8085 55 12 48 410 330 0
cpu0 530 55 210 4042 27 6 24 205 165 0
intr 2
"""


def test_shares_are_of_all_cpu_time() -> None:
    used = machine.CpuTimes.parse(AFTER).since(machine.CpuTimes.parse(BEFORE))
    assert (used.busy, used.idle, used.stolen) == (100, 90, 10)
    assert used.stolen_share == 10 / 200
    assert used.busy_share == 100 / 200


def test_a_kernel_without_steal_counts_zero() -> None:
    assert machine.CpuTimes.parse("cpu 100 0 50 850\n") == machine.CpuTimes(150, 850, 0)


def test_decreasing_idle_time_is_not_negative() -> None:
    used = machine.CpuTimes.parse("cpu 100 0 0 799 0 0 0 5").since(machine.CpuTimes(90, 800, 5))
    assert (used.idle, used.stolen_share, used.busy_share) == (0, 0, 1)


def test_an_interval_without_ticks_has_zero_shares() -> None:
    nothing = machine.CpuTimes.parse(AFTER).since(machine.CpuTimes.parse(AFTER))
    assert nothing.stolen_share == nothing.busy_share == 0


def test_text_without_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="/proc/stat"):
        machine.CpuTimes.parse("cpu0 1 2 3 4\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "stat").write_text(BEFORE)
    (tmp_path / "pressure").mkdir()
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    now = iter([100.0, 104.0])
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(now))
    return tmp_path


def write_pressure(proc: Path, total_us: int) -> None:
    (proc / "pressure/cpu").write_text(
        f"some avg10=1.50 avg60=0.00 avg300=0.00 total={total_us}\nfull avg10=0.00 total=0\n"
    )


def test_a_watch_covers_its_own_interval(proc: Path) -> None:
    write_pressure(proc, 7_000_000)
    watch = machine.Watch()
    (proc / "stat").write_text(AFTER)
    write_pressure(proc, 8_000_000)
    assert watch.seen() == machine.Watched(seconds=4.0, stolen=0.05, busy=0.5, pressure=0.25)


def test_a_kernel_without_pressure_reports_none(proc: Path) -> None:
    watch = machine.Watch()
    (proc / "stat").write_text(AFTER)
    assert watch.seen().pressure is None


def test_the_conditions_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(machine.conditions()))
    assert found["cores"] >= 1
    assert 2 <= found["processes"] <= 8
    assert found["memory_bytes"] > 1 << 28
    assert 0 <= found["stolen_since_boot"] < 1
    assert {"uwsgi", "flask", "redis-py", "locust", "nginx"} <= found["versions"].keys()
    assert all(version[0].isdigit() for version in found["versions"].values())
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", found["revision"] or "0" * 7)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", "7.0.15"),
        ("Docker version 28.2.2, build e6534b4", "28.2.2"),
    ],
)
def test_versions_are_read_from_the_output_of_programs(
    said: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(machine, "PROGRAMS", {"program": "-v"})
    monkeypatch.setattr(machine.programs, "SEARCH_PATH", str(tmp_path))
    assert machine.versions()["program"] == version
