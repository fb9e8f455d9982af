"""`make` alone lists every target with its meaning; every command of stack/ has a target."""

import re
import subprocess
from pathlib import Path

from stack.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def listed(folder: Path) -> tuple[str, ...]:
    # `make test` may run this test, and a make inside of make prints its directory.
    command = ["make", "--no-print-directory"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert max(map(len, done.stdout.splitlines())) <= 100
    return tuple(re.findall(r"^make (\S+) +\S.{10,}$", done.stdout, re.MULTILINE))


def test_every_target_is_listed_with_its_meaning() -> None:
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    assert targets == phony
    assert list(listed(ROOT))[: len(targets)] == targets


def test_a_units_targets_are_listed_behind_them(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    alone = listed(tmp_path)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "lab.mk").write_text("weigh: ## Weigh the very thing\n\ttrue\n")
    assert listed(tmp_path) == (*alone, "weigh")


def test_every_target_is_one_line_that_calls_its_command() -> None:
    for name in COMMANDS:
        assert f"\t$(stack) {name}\n" in MAKEFILE
    recipes = re.findall(r"^\t.*$", MAKEFILE, re.MULTILINE)
    assert len(recipes) == len(COMMANDS) + 2  # `help` and `docs`


def test_the_stack_and_make_know_the_same_jobs() -> None:
    said = subprocess.run(
        ["python3", "-m", "stack", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in COMMANDS:
        assert name in said.stdout
