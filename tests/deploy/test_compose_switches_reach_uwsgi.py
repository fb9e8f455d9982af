"""Each toggle takes effect in the container, as uWSGI's log shows; a bad value starts nothing."""

import re
import time
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from tests.deploy.engine import remaining

pytestmark = pytest.mark.containers

APP_LOADED = "WSGI app 0 (mountpoint='') ready"


def test_the_defaults(stack: ComposeRuntime) -> None:
    log = stack.log("app")
    assert "thunder lock: enabled" in log
    count = int(re.search(r"^STACK_PROCESSES=auto is (\d+) worker processes$", log, re.M)[1])
    assert len(set(re.findall(r"spawned uWSGI worker (\d+) .*cores: 4\)", log))) == count
    assert "listen backlog is limited to 1024 connections" in log
    before_the_fork = log[: log.index("spawned uWSGI worker 1 ")]
    assert before_the_fork.count(APP_LOADED) == 1


def test_other_values(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(
        STACK_PROCESSES="3",
        STACK_THREADS="3",
        STACK_THUNDER_LOCK="off",
        STACK_LAZY_APPS="on",
        STACK_LISTEN="64",
        STACK_MAX_FD="1000",
    )
    stack.up()
    log = stack.log("app")
    assert "thunder lock: disabled" in log
    assert len(set(re.findall(r"spawned uWSGI worker (\d+) .*cores: 3\)", log))) == 3
    assert "listen backlog is limited to 64 connections" in log
    assert "detected max file descriptor number: 1000" in log
    # The stack responds when the first worker has loaded the app.
    deadline = time.monotonic() + 30
    while (loaded := stack.log("app").count(APP_LOADED)) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert loaded == 3, "not loaded in each worker"


def test_a_bad_value_from_the_environment_file_is_reported(
    another: Callable[..., ComposeRuntime],
) -> None:
    """`docker compose up` reads .env without our checks, so the entrypoint must refuse."""
    stack = another()
    stack.environ = {**stack.environ, "STACK_THREADS": "0", "STACK_LAZY_APPS": "flase"}
    with pytest.raises(StackError, match=r"^app does not start: ") as error:
        stack.up()
    assert "STACK_THREADS='0': must be a whole number from 1 to 64" in error.value.remedy
    assert "STACK_LAZY_APPS='flase': must be on, off or auto" in error.value.remedy
    assert "uWSGI" not in error.value.log, "uWSGI was started"
    assert remaining(stack) == []
