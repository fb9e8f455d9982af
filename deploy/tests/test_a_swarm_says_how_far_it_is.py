"""`make swarm-up` ends when the Swarm has finished, and fails if the Swarm undid the update.

The answers have the form that Docker Engine 20.10 and the client 28.2 give.
"""

import json
from typing import Any

import pytest

import deploy.swarm.progress as swarm
from deploy.swarm import cluster
from deploy.swarm.convert import DEPLOYED
from deploy.swarm.progress import Progress
from stack.errors import StackError


def progress(
    described: dict[str, Any], tasks: list[dict[str, Any]], deployed: str | None = None
) -> Progress:
    return swarm.progress(described, tasks, deployed or described["Spec"]["Labels"][DEPLOYED])


def service(tag: int, replicas: int | None = 2, status: str = "") -> dict[str, Any]:
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    container = {"Image": f"app:{tag}", "DNSConfig": {}, "Privileges": {"NoNewPrivileges": False}}
    template = {"ContainerSpec": container, "ForceUpdate": 0}
    spec = {"Labels": {DEPLOYED: f"hash {tag}"}, "Mode": mode, "TaskTemplate": template}
    return {"Spec": spec, "UpdateStatus": {"State": status} if status else None}


def task(tag: int, state: str = "running", error: str = "") -> dict[str, Any]:
    ended = state in {"failed", "rejected", "shutdown"}
    return {
        "Spec": {"ContainerSpec": {"Image": f"app:{tag}", "Privileges": {}}, "ForceUpdate": 0},
        "DesiredState": "shutdown" if ended else "running",
        "Status": {"State": state, "Err": error},
    }


def test_it_ends_when_all_tasks_run_the_new_version() -> None:
    assert progress(
        service(2, status="completed"), [task(2), task(2), task(1, "shutdown")]
    ).finished
    assert progress(service(1), [task(1), task(1)]).finished  # nothing was to change


@pytest.mark.parametrize(
    ("described", "tasks"),
    [
        # The update has not begun: the Swarm has no status of it yet.
        (service(2), [task(1), task(1)]),
        (service(2, status="updating"), [task(2), task(2)]),
        (service(2, status="updating"), [task(2), task(2), task(1)]),
        (service(2, status="completed"), [task(2), task(2, "starting")]),
        (service(2, status="rollback_started"), [task(1), task(1)]),
        (service(1, replicas=3), [task(1), task(1)]),
        (service(2, replicas=None), []),
        (service(2, replicas=None), [task(2), task(1)]),
    ],
)
def test_it_waits_until_then(described: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    now = progress(described, tasks)
    assert not now.finished and not now.failed


@pytest.mark.parametrize("state", ["rollback_completed", "rollback_paused", "paused"])
def test_an_update_that_was_undone_or_stopped_is_a_failure(state: str) -> None:
    tasks = [task(1), task(1), task(2, "failed", "task: non-zero exit (1)")]
    now = progress(service(1, status=state), tasks)
    assert now.failed and not now.finished
    assert now.reasons == "failed: task: non-zero exit (1)"


@pytest.mark.parametrize("state", ["completed", "", "updating"])
def test_the_version_before_is_not_the_new_one(state: str) -> None:
    now = progress(service(1, status=state), [task(1), task(1)], deployed="hash 2")
    assert now.failed and not now.finished
    assert now.text == "the new version failed, and the Swarm has returned to the one before"


def test_a_first_version_that_ends_again_and_again_is_a_failure() -> None:
    ended = task(1, "failed", "task: non-zero exit (2)")
    assert not progress(service(1), [ended] * 4 + [task(1, "starting")]).failed
    now = progress(service(1), [ended] * 5 + [task(1, "starting")])
    assert now.failed and now.reasons == "failed: task: non-zero exit (2)"


def test_a_task_that_no_node_takes_is_named() -> None:
    now = progress(service(1, replicas=1), [task(1, "pending", "no suitable node")])
    assert now.text == "0 of 1 tasks run the new version (no suitable node)"


class Manager:
    """Answers as `docker` does, after it has failed *silent* times."""

    def __init__(self, silent: int) -> None:
        self.silent = silent

    def __call__(self, _environ: object, command: str, *arguments: str) -> str:
        if self.silent:
            self.silent -= 1
            raise StackError("docker service failed", log="context deadline exceeded")
        if command == "inspect":
            return json.dumps([task(2), task(2)])
        return json.dumps([service(2)]) if arguments[0] == "inspect" else "a b"


def test_an_update_goes_on_while_the_managers_choose_a_leader(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "_docker", Manager(silent=3))
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0)
    cluster._wait({}, "stack_app", "hash 2")
    assert capsys.readouterr().out.count("does not answer") == 1


def test_a_swarm_that_answers_no_more_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_docker", Manager(silent=10**9))
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(cluster, "_LEADER_SECONDS", 0.1)
    with pytest.raises(StackError, match="docker service failed"):
        cluster._wait({}, "stack_app", "hash 2")
