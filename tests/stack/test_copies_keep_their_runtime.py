"""A copy starts in the runtime of its last `make up`, and leaves another checkout alone."""

import json
from pathlib import Path

import pytest

from stack import choose
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import own_name

DOCKER = """#!/bin/sh
case "$1" in
ps) {ps} ;;
inspect) cat '{answer}' ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(choose, "CHECKOUT", tmp_path)
    engine(tmp_path, monkeypatch)
    return tmp_path


def engine(folder: Path, monkeypatch: pytest.MonkeyPatch, owner: str = "") -> None:
    """Put a docker command on PATH that knows one container of the checkout *owner*, or none."""
    container = {
        "Id": "1", "Name": "/shop-app-1", "RestartCount": 0, "HostConfig": {"PortBindings": None},
        "State": {"Status": "running", "Pid": 1, "ExitCode": 0, "StartedAt": ""},
        "Config": {"Env": [], "Labels": {"com.docker.compose.service": "app",
                                         "com.docker.compose.project.working_dir": owner}},
    }  # fmt: skip
    answer = folder / "answer.json"
    answer.write_text(json.dumps([container]))
    program = folder / "docker"
    program.write_text(DOCKER.format(ps="echo 1" if owner else ":", answer=answer))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_local_copy_stays_local(checkout: Path) -> None:
    settings = {"STACK_NAME": own_name()}
    assert choose.choose(settings)[0].kind == "compose"
    choose.remember(LocalRuntime(settings))
    runtime, reason = choose.choose(settings)
    assert (runtime.kind, reason) == ("local", "this copy ran as local processes before")
    assert choose.choose({**settings, "RUNTIME": "compose"})[0].kind == "compose"


def test_containers_that_exist_come_first(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"STACK_NAME": own_name()}
    choose.remember(LocalRuntime(settings))
    engine(checkout, monkeypatch, owner=str(checkout))
    assert choose.choose(settings)[0].kind == "compose"


def test_containers_of_another_checkout_are_left_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkout / "other"
    other.mkdir()
    engine(checkout, monkeypatch, owner=str(other))
    assert choose.choose({})[0].kind == "compose", "that checkout does not exist any more"
    (other / "docker-compose.yml").touch()
    with pytest.raises(StackError, match=f"shop-app-1 belongs to the checkout {other}: make up"):
        choose.choose({})
