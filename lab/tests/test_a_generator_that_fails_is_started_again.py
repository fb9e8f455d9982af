"""A generator that does not start, hangs or breaks is a named fault and fills no disk. It is
started again before the run gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.measure import load
from lab.tests.slow_server import Server, serving

WITHOUT_TASKS = "LabUser.tasks = []"
# Fails at the first start only.
BROKEN_ONCE = """
flag = pathlib.Path(os.environ["LAB_LOAD_PLAN"]).with_name("started")
if not flag.exists():
    flag.touch()
    LabUser.tasks = []
"""
SILENT = "time.sleep(600)"
FLOOD = """
while True:
    try:
        sys.stderr.write("the same line, without end\\n" * 10_000)
    except OSError:
        time.sleep(600)
"""


def loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> tuple[load.LoadResult, list[str]]:
    """The result under a generator that begins with *more*, and the lines of progress."""
    generator = folder / "generator.py"
    text = f"import os, pathlib, sys, time\nfrom lab.measure.generator import *\n{more}\n"
    generator.write_text(text, encoding="utf-8")
    monkeypatch.setattr(load, "GENERATOR", generator)
    said: list[str] = []
    with serving(Server()) as server:
        result = load.closed(
            server.target(),
            users=2,
            seconds=None,
            requests=20,
            warm_s=0,
            seed=1,
            folder=folder,
            progress=said.append,
        )
    return result, said


def test_a_configuration_file_of_locust_takes_no_task_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tags of such a file are the one way in which a user with a task has none left. Locust then
    logs `had no tasks left after filtering` and an error without end, 1 MB a second."""
    for name in (".locust.conf", "locust.conf"):
        (tmp_path / name).write_text("tags = none\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCUST_TAGS", "none")
    monkeypatch.chdir(tmp_path)
    result, said = loaded(tmp_path, monkeypatch, "")
    assert result.done == 20
    assert not [line for line in said if "started again" in line]


def test_users_without_tasks_end_the_generator_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(load.GeneratorFailed, match=r"failed 3 times: a user failed:[^\0]*No tasks"):
        loaded(tmp_path, monkeypatch, WITHOUT_TASKS)
    assert (tmp_path / "locust.log").stat().st_size < 100_000


def test_a_second_start_may_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, said = loaded(tmp_path, monkeypatch, BROKEN_ONCE)
    assert result.done == 20
    assert [line for line in said if "started again" in line] == [
        "the generator is started again: a user failed:"
    ]


@pytest.mark.parametrize("more", [SILENT, FLOOD], ids=["silent", "flood"])
def test_a_generator_that_hangs_is_stopped_and_its_log_has_a_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    monkeypatch.setattr(load, "START_WITHIN_S", 4.0)
    monkeypatch.setattr(load, "START_ATTEMPTS", 1)
    monkeypatch.setattr(load, "FILE_BYTES", 100_000)
    with pytest.raises(load.GeneratorFailed, match="the generator hangs, and its last progress"):
        loaded(tmp_path, monkeypatch, more)
    assert (tmp_path / "locust.log").stat().st_size <= 100_000
