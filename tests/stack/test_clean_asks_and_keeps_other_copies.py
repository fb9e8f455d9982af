"""`make clean` names what it deletes, asks, and deletes nothing of another copy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for package in ("stack", "toggles"):
        shutil.copytree(CHECKOUT / package, tmp_path / package)
    for name in ("run/mine/data", "run/other/data", ".venv", "results"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def clean(checkout: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    empty = checkout / "no-programs"
    empty.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "stack", "clean"], cwd=checkout, stdin=subprocess.DEVNULL,
        env={"PATH": os.fspath(empty), "STACK_NAME": "mine", **environ},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_an_answer_nothing_is_deleted(checkout: Path) -> None:
    done = clean(checkout)
    assert done.returncode == 1
    assert "nothing was deleted: type yes, or make clean YES=1" in done.stderr
    assert "the data and secrets of mine:\n  run/mine/\n" in done.stdout
    assert (checkout / "run" / "mine").is_dir()


def test_only_this_copy_is_deleted(checkout: Path) -> None:
    done = clean(checkout, YES="1")
    assert done.returncode == 0, done.stderr
    assert "It keeps run/ and .venv/ for other." in done.stdout
    assert not (checkout / "run" / "mine").exists()
    assert (checkout / "run" / "other" / "data").is_dir() and (checkout / ".venv").is_dir()


def test_the_last_copy_takes_everything_along(checkout: Path) -> None:
    shutil.rmtree(checkout / "run" / "other")
    assert clean(checkout, YES="1").returncode == 0
    left = {path.name for path in checkout.iterdir()}
    assert left == {"stack", "toggles", "no-programs"}
