"""STACK_PROCESSES=auto: the cores that affinity and control groups allow, 2 to 8."""

import os
import re
import runpy
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.uwsgi import serving
from toggles import ToggleError, read

CORES = runpy.run_path(str(CHECKOUT / "uwsgi" / "cores.py"))
cores = CORES["cores"]


@pytest.mark.parametrize(
    ("files", "member_of", "expected"),
    [
        ({"cpu.max": "400000 100000"}, "0::/", 4),
        ({"cpu.max": "250000 100000"}, "0::/", 3),
        ({"cpu.max": "50000 100000"}, "0::/", 2),
        ({"cpu.max": "max 100000"}, "0::/", 8),
        ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 3),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "350000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
         "4:memory:/x\n3:cpu,cpuacct:/", 4),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
         "3:cpu,cpuacct:/not/visible/here", 8),
        ({}, "", 8),
    ],
)  # fmt: skip
def test_the_quota_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    member_of: str,
    expected: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    membership = tmp_path / "membership"
    membership.write_text(member_of + "\n")
    assert cores(tmp_path, membership) == expected


def test_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert cores(tmp_path, tmp_path / "missing") == 3


def test_copies_of_the_app_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(200)))
    assert cores(tmp_path, tmp_path / "missing") == 8
    assert cores(tmp_path, tmp_path / "missing", lazy=True) == 4


def test_two_generations_fit_into_the_memory_of_the_container() -> None:
    """By the figures of docs/operations.md: the app, its workers twice, and password hashes."""
    text = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")
    limit = int(re.search(r"\$\{APP_MEMORY:-(\d+)m\}", text)[1]) << 20
    hashes = 15 * 19 << 20
    app, worker, lazy_worker = 60_000_000, 10_000_000, 50_000_000
    assert 2 * (app + CORES["MOST"] * worker) + hashes < limit
    assert 2 * (app + CORES["MOST_LAZY"] * lazy_worker) < limit


def test_what_is_allowed_with_the_most_is_allowed_on_every_machine() -> None:
    assert read({"STACK_THREADS": "64"})["STACK_PROCESSES"] == "auto"
    with pytest.raises(ToggleError, match=f"at least 336 with STACK_PROCESSES={CORES['MOST']} "):
        read({"STACK_THREADS": "64", "STACK_MAX_FD": "330"})


def test_uwsgi_starts_so_many(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_PROCESSES="auto") as server:
        assert len(server.workers()) == cores()
        assert f"STACK_PROCESSES=auto is {cores()} worker processes" in server.log
