"""An arm in containers has the same names and counters as a local one, and pids of the host."""

from pathlib import Path

import pytest

from lab.measure import running_arm as lab
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import PROTECTED, ask
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker

pytestmark = pytest.mark.containers

# No defaults, and an app that is not in the image.
ASKED = {
    "STACK_PROCESSES": "2",
    "STACK_THREADS": "2",
    "STACK_THUNDER_LOCK": "off",
    "STACK_APP": "lab.plan.canary:burn_40()",
}


def of_the_lab() -> set[str]:
    return {
        f"{what} {name}"
        for what in ("container", "volume", "network")
        for name in docker(what, "ls", *(["--all"] if what == "container" else []), "--format",
                           "{{.Names}}" if what == "container" else "{{.Name}}").split()
        if name.startswith("lab-")
    }  # fmt: skip


def test_it_reports_its_options_and_leaves_nothing(stack: ComposeRuntime) -> None:
    before = of_the_lab()
    arm = lab.start(ArmSpec("contained", ASKED), path=PROTECTED, runtime="compose")
    try:
        assert arm.wrong_options == []
        assert arm.options["thunder lock (log)"] == "off"

        pids = arm.pids()
        names = {s: {comm(pid) for pid in found} for s, found in pids.items()}
        assert names["nginx"] == {"nginx"}
        assert names["redis"] == {"redis-server"}
        assert len(arm.workers()) == 2
        assert {comm(pid) for pid in arm.workers()} == {"uwsgi"}
        assert set(arm.workers()) < set(pids["app"])

        served, commands = arm.served(), arm.redis_commands()
        assert (arm.served(), arm.redis_commands()) == (served, commands)  # reading is not counted
        for _ in range(10):
            assert ask(arm, PROTECTED, headers={"Cookie": arm.cookie})[0].status == 200
        assert arm.served() - served == 10
        assert arm.redis_commands() - commands >= 10

        workers = arm.workers()
        arm.reload("shipped")
        assert not set(workers) & set(arm.workers())
    finally:
        arm.stop()
    assert of_the_lab() <= before


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
