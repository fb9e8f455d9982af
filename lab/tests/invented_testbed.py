"""``python -m lab.tests.invented_testbed REPOSITORY compare …``: the lab's command line, where a
request costs what the file `cost` of an arm's commit says, in µs. Nothing is started."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from lab import cli
from lab.measure import testbed, trees
from lab.plan import canary
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.trial import ShowStatus, Trial

NOISE = 0.005


class InventedTestbed:
    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._noise = random.Random(1)
        self._cost = cache(self._read)

    def cost(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        return self._cost(str(arm.ref))

    def rotate(
        self, experiment: Experiment, loads: Sequence[Load], seed: int, say: ShowStatus
    ) -> Generator[list[Trial], None, None]:
        for load in loads:
            yield [self._trial(arm, load) for arm in experiment.arms_under(load)]

    def _trial(self, arm: ArmSpec, load: Load) -> Trial:
        began = datetime.now(UTC).isoformat(timespec="seconds")
        trial = Trial(0, arm.name, load.name, 0, began, 1.0, 100)
        cost = self._cost(str(arm.ref)) + ((arm.dose and canary.adds(arm.dose, "cpu_us")) or 0)
        trial.figures = {"cpu_us": cost * self._noise.gauss(1, NOISE)}
        return trial

    def _read(self, ref: str) -> float:
        command = ["git", "-C", str(self._repository), "show", f"{ref}:cost"]
        return float(subprocess.run(command, check=True, capture_output=True).stdout)


class NoGates:
    @staticmethod
    def judge(trial: Trial, *, primary: object) -> list[object]:
        return []

    @staticmethod
    def relative(trials: Sequence[Trial]) -> list[list[object]]:
        return [[] for _ in trials]


def main(repository: Path, arguments: Sequence[str]) -> int:
    invented = InventedTestbed(repository)
    setattr(testbed, "Testbed", lambda *_: invented)  # noqa: B010 - another class
    setattr(cli, "require_commits", lambda *_: None)  # noqa: B010
    setattr(cli, "gates", NoGates)  # noqa: B010
    setattr(trees, "resolved", lambda ref: ref)  # noqa: B010
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
