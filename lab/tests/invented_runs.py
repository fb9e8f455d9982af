"""Runs of the lab as files, invented from a seed: the input of a report, without a server.

The lab parses the experiment and judges the trials; only the trials are invented. Their figures
follow real measurements: wake-ups grow with the processes without the lock, and starts differ by a
per cent or two.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.judge import verdict
from lab.measure.histogram import Histogram
from lab.plan import canary
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.plan.experiment_file import parse
from lab.runs import Plan
from lab.trial import Evidence, Trial, Void

BLOCKS = 8
BEGAN = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
HOME = "/home/jdoe/stack"

# Twelve arms with the controls: processes by lock, as in the experiment `thunder-lock`.
LOCK = """
question = "Does thunder-lock wake one worker a request?"
primary  = { metric = "wakeups", load = "one client" }
baseline = "4 processes, off"
canary   = "wake_1"
[loads]
"one client" = { kind = "rotation" }
"60 % of capacity" = { kind = "open", rate = "60%" }
[arms]
"1 process, off" = { STACK_PROCESSES = 1, STACK_THUNDER_LOCK = "off" }
"1 process, on" = { STACK_PROCESSES = 1, STACK_THUNDER_LOCK = "on", against = "1 process, off" }
"2 processes, off" = { STACK_PROCESSES = 2, STACK_THUNDER_LOCK = "off" }
"2 processes, on" = { STACK_PROCESSES = 2, STACK_THUNDER_LOCK = "on", against = "2 processes, off" }
"4 processes, off" = { STACK_PROCESSES = 4, STACK_THUNDER_LOCK = "off" }
"4 processes, on" = { STACK_PROCESSES = 4, STACK_THUNDER_LOCK = "on" }
"8 processes, off" = { STACK_PROCESSES = 8, STACK_THUNDER_LOCK = "off" }
"8 processes, on" = { STACK_PROCESSES = 8, STACK_THUNDER_LOCK = "on", against = "8 processes, off" }
"16 processes, off" = { STACK_PROCESSES = 16, STACK_THUNDER_LOCK = "off" }
"16 processes, on" = { STACK_PROCESSES = 16, STACK_THUNDER_LOCK = "on" }
[expect]
"16 processes, on" = "faster"
"2 processes, off" = "slower"
"""

# One arm and the controls.
SMALL = """
question = "Is <b>bold</b> & brave faster?"
primary  = { metric = "wakeups", load = "one client" }
baseline = "off"
canary   = "wake_1"
[loads]
"one client" = { kind = "rotation" }
[arms]
"off" = { STACK_THUNDER_LOCK = "off" }
"<script>alert(1)</script> $x^2$ | \\"quoted\\" & `ticks`" = { STACK_THUNDER_LOCK = "on" }
"""


def truth(arm: ArmSpec, load: Load) -> dict[str, float]:
    """The figures of an arm without noise."""
    processes = int(arm.settings.get("STACK_PROCESSES", "4"))
    wakeups = 1.05 if arm.settings.get("STACK_THUNDER_LOCK") == "on" else 0.95 * processes + 0.1
    wakeups += (arm.dose and canary.adds(arm.dose, "wakeups")) or 0
    app = 300 + 12 * wakeups + 2.0 * abs(math.log2(processes) - 2)
    users = load.users
    rps = 300 * users / (1 + 0.1 * (users - 1) + 0.004 * users * (users - 1))
    rps *= 1 + 0.015 * math.log2(processes)
    return {
        "wakeups": wakeups,
        "cpu_us_nginx": 55.0,
        "cpu_us_app": app,
        "cpu_us_redis": 24.0,
        "rps": rps * (0.8 if arm.role == "canary" else 1.0),
    }


def write_run(
    folder: Path,
    toml: str = LOCK,
    *,
    name: str = "thunder-lock",
    seed: int = 4,
    twin_off: float = 1.0,
    blocks: int = BLOCKS,
    voids: bool = True,
    histograms: bool = True,
) -> dict[str, Any]:
    """Write plan.json, trials.jsonl and verdict.json; return the verdict.

    *twin_off* multiplies the twin's figures: 1.2 makes the run untrustworthy. The
    same arguments give the same bytes.
    """
    experiment = parse(toml, f"{name}.toml")
    noise = random.Random(seed)
    trials = list(_trials(experiment, blocks, noise, twin_off, voids, histograms))
    conditions = {
        "kernel": "6.18.44",
        "architecture": "x86_64",
        "cpu": "Xeon at 2.50GHz",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "virtual": "kvm",
        "python": "3.11.2",
        "versions": {"nginx": "1.26.3", "uwsgi": "2.0.31", "redis-server": "8.0.2"},
        "stolen_since_boot": 0.2871,
    }
    found = verdict.of(experiment, trials, conditions)
    verdict.add_lists(found, experiment, {})
    plan = Plan(
        experiment=name,
        toml=toml,
        file=f"{HOME}/lab/experiments/{name}.toml",
        seed=seed,
        blocks=blocks,
        quick=False,
        runtime="local",
        capacity_rps=812.5,
        conditions=conditions,
        servers={"uwsgi": {"command": f"uwsgi --ini {HOME}/uwsgi/uwsgi.ini"}},
        started=BEGAN.isoformat(),
        arms=[asdict(arm) for arm in experiment.arms],
        loads=[asdict(load) for load in experiment.loads],
        finished=(BEGAN + timedelta(minutes=21)).isoformat(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
    (folder / "verdict.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "trials.jsonl").write_text(
        "".join(trial.to_json() + "\n" for trial in trials), encoding="utf-8"
    )
    return found


def _trials(
    experiment: Experiment,
    blocks: int,
    noise: random.Random,
    twin_off: float,
    voids: bool,
    histograms: bool,
) -> Sequence[Trial]:
    clock, found = BEGAN, []
    for block in range(1, blocks + 1):
        weather = math.exp(noise.gauss(0, 0.1))
        for load in experiment.loads:
            arms = experiment.arms_under(load)
            queue = [(arm, 1) for arm in noise.sample(arms, len(arms))]
            while queue:
                arm, attempt = queue.pop(0)
                off = twin_off if arm.role == "twin" else 1.0
                trial = _trial(block, arm, load, attempt, clock, weather * off, noise, histograms)
                trial.figures["wakeups"] *= off
                if voids and load.alone and attempt == 1 and noise.random() < 0.04:
                    trial.evidence.stolen = 0.31
                    trial.voids.append(
                        Void("stolen CPU", "the host took 31 %; 10 % are allowed", spoils="time")
                    )
                    queue.append((arm, 2))
                found.append(trial)
                if load.alone:
                    clock += timedelta(seconds=4.5)
            clock += timedelta(seconds=20)
    return found


def _trial(
    block: int,
    arm: ArmSpec,
    load: Load,
    attempt: int,
    clock: datetime,
    weather: float,
    noise: random.Random,
    histograms: bool,
) -> Trial:
    start = math.exp(noise.gauss(0, 0.012))
    figures = {
        name: value * start * (weather if name != "wakeups" else 1.0)
        for name, value in truth(arm, load).items()
    }
    figures["cpu_us"] = sum(figures[f"cpu_us_{name}"] for name in ("nginx", "app", "redis"))
    figures["failed"] = 0.0
    encoded = {}
    if not load.alone:
        del figures["rps"]
    elif histograms:
        service, response = Histogram(), Histogram()
        for _ in range(150):
            latency = 0.0012 * start * math.exp(noise.gauss(0, 0.35))
            service.record(latency)
            response.record(latency + max(0.0, noise.gauss(-0.002, 0.002)))
        figures |= {"p50_ms": response.percentile(50), "p99_ms": response.percentile(99)}
        encoded = {"service": service.encode(), "response": response.encode()}
    return Trial(
        block=block,
        arm=arm.name,
        load=load.name,
        attempt=attempt,
        began=clock.isoformat(timespec="milliseconds"),
        seconds=3.0 if load.alone else 18.0,
        requests=1800,
        figures=figures,
        evidence=Evidence(
            stolen=min(0.09, abs(noise.gauss(0.02, 0.02))),
            generator_nice=-10 if load.kind == "open" else 0,
        ),
        histograms=encoded,
        options={
            "thunder-lock": arm.settings.get("STACK_THUNDER_LOCK", "on"),
            "processes": arm.settings.get("STACK_PROCESSES", "4"),
            "master": "true",
            "ini": f"{HOME}/uwsgi/uwsgi.ini",
        },
    )


def edit(folder: Path, file: str, change: Mapping[str, Any]) -> None:
    """Merge *change* into the JSON file."""
    path = folder / file
    content = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(content), encoding="utf-8")
