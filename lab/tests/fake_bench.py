"""A test bench without servers: trials as a test needs them, and a log of what it started."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from lab.compare import Runner
from lab.plan import schedule
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.plan.experiment_file import parse
from lab.runs import Plan, Run
from lab.trial import Metric, ShowStatus, Trial, Void
from stack.progress import Progress

TOML = """\
question = "Does it?"
primary  = { metric = "wakeups", load = "turns" }
baseline = "off"
canary   = "wake_1"
[loads]
turns = { kind = "rotation" }
open  = { kind = "open", rate = "30%" }
full  = { kind = "closed" }
chain = { kind = "reload", how = "chain", rate = 100 }
[arms]
off = { STACK_THUNDER_LOCK = "off" }
on  = { STACK_THUNDER_LOCK = "on" }
"""

BAD = [Void("bad", "a test wants it so")]


class FakeBench:
    """`log` has a line for each start; `running` counts what has not been stopped."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.running = 0
        self.rates: set[float | str | None] = set()
        # Called for each trial; may void it or raise.
        self.on_trial: Callable[[Trial], None] = lambda trial: None

    def capacity(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        self.log.append(f"capacity of {arm.name}")
        return 1000.0

    def cost(self, arm: ArmSpec, load: Load, say: ShowStatus) -> float:
        self.log.append(f"cost of {arm.name}")
        return 900.0

    def rotate(
        self, experiment: Experiment, loads: Sequence[Load], seed: int, say: ShowStatus
    ) -> Generator[list[Trial], None, None]:
        self.log.append(f"rotate {', '.join(load.name for load in loads)}")
        self.running += 1
        try:
            for load in loads:
                yield [self._trial(arm.name, load) for arm in experiment.arms_under(load)]
        finally:
            self.running -= 1

    def run_alone(
        self, solo: schedule.SoloRun, seeds: Mapping[str, int], say: ShowStatus
    ) -> Generator[Trial, None, None]:
        self.log.append(f"alone {solo.arm.name}: {', '.join(load.name for load in solo.loads)}")
        self.running += 1
        try:
            for load in solo.loads:
                if load.kind == "open":
                    self.rates.add(load.rate)
                yield self._trial(solo.arm.name, load)
        finally:
            self.running -= 1

    def _trial(self, arm: str, load: Load) -> Trial:
        trial = Trial(0, arm, load.name, 0, "2026-01-01T00:00:00+00:00", 1.0, 100)
        trial.figures = {"wakeups": 1.0}
        self.on_trial(trial)
        return trial


class NoGates:
    """Voids nothing; a test may put voids by (arm, load) into `relatives`."""

    def __init__(self) -> None:
        self.relatives: dict[tuple[str, str], list[Void]] = {}

    def judge(self, trial: Trial, *, primary: Metric) -> list[Void]:
        return []

    def relative(self, trials: Sequence[Trial]) -> list[list[Void]]:
        return [self.relatives.get((trial.arm, trial.load), []) for trial in trials]


def plan(toml: str = TOML, **changes: object) -> Plan:
    fields: dict[str, object] = {
        "experiment": "locks",
        "toml": toml,
        "file": "locks.toml",
        "seed": 7,
        "blocks": 2,
        "quick": False,
        "runtime": "local",
        "capacity_rps": None,
        "conditions": {},
        "servers": {},
        "started": "2026-01-01T00:00:00+00:00",
        "arms": [],
        "loads": [],
    }
    return Plan(**{**fields, **changes})  # type: ignore[arg-type]


def runner(run: Run, bench: FakeBench, gates: NoGates | None = None) -> Runner:
    experiment = parse(run.plan.toml, "locks.toml")
    return Runner(experiment, run, bench, gates or NoGates(), Progress())


def new_run(folder: Path, **changes: object) -> Run:
    return Run.create(plan(**changes), folder)
