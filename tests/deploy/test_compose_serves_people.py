"""The stack in containers serves a user's visit: register, write, log out, be refused."""

import json
import re
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from tests.deploy.engine import docker, metrics
from tests.people.over_http import Person, walk_through
from tests.waiting import wait_until
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

pytestmark = pytest.mark.containers


def test_register_write_log_out_and_be_refused(stack: ComposeRuntime) -> None:
    walk_through(stack.address())


def test_the_demo_account_can_log_in(stack: ComposeRuntime) -> None:
    person = Person(stack.address())
    assert person.fill_in("/auth/login", name=DEMO_NAME, password=DEMO_PASSWORD).status == 200
    assert person.get("/auth/whoami").json["name"] == DEMO_NAME


def test_static_files_come_from_nginx_under_the_names_that_pages_use(
    stack: ComposeRuntime,
) -> None:
    """Two images compute the hashed names; from different files they would differ."""
    person = Person(stack.address())
    names = set(re.findall(r'"(/static/[^"]+)"', person.get("/").text))
    assert names
    asked = {}
    for name in names:
        answer = person.get(name)
        assert answer.status == 200, name
        assert "immutable" in answer.headers["cache-control"], name
        asked[answer.headers["x-request-id"]] = name

    def upstreams() -> dict[str, str]:
        logged = [json.loads(line) for line in stack.log("nginx").splitlines() if line[:1] == "{"]
        return {line["path"]: line["upstream"] for line in logged if line["request_id"] in asked}

    # The engine passes a line on a moment after the answer.
    wait_until(lambda: upstreams().keys() == names)
    assert upstreams() == dict.fromkeys(names, ""), "the app served one of them"


def test_the_log_has_the_address_for_those_who_do_not_use_make(stack: ComposeRuntime) -> None:
    said = stack.compose("logs", "nginx")
    assert f"nginx/entrypoint: published at {stack.address()}/" in said


def test_status_and_metrics_are_about_these_containers(stack: ComposeRuntime) -> None:
    status = stack.status()
    assert [line.service for line in status] == ["nginx", "app", "redis"]
    assert all(
        line.healthy and line.uptime_s > 0 and line.memory_bytes > 1 << 20 for line in status
    )
    wait_until(stack.is_up)
    assert re.search(r'^uwsgi_workers\{state="idle"\} \d', metrics(stack), re.MULTILINE)


def what_is_wrong_with(stack: ComposeRuntime) -> str:
    """Return what require_up() raises. Each worker keeps what it knows of Redis for a second."""
    try:
        stack.require_up()
    except StackError as error:
        return str(error)
    return ""


def test_a_redis_that_hangs_is_named(stack: ComposeRuntime) -> None:
    # Before the engine's first check the others count as silent while the app is not ready.
    wait_until(lambda: {one.health for one in stack.containers().values()} == {"healthy"})
    redis = stack.containers()["redis"].id
    docker("kill", "--signal", "STOP", redis)
    try:
        fault = wait_until(lambda: what_is_wrong_with(stack))
        assert fault.startswith(f"redis of the stack {stack.name} does not answer: ")
    finally:
        docker("kill", "--signal", "CONT", redis)
    wait_until(stack.is_up, 30)


def test_a_reload_of_nothing_says_so(another: Callable[..., ComposeRuntime]) -> None:
    stack = another()
    for task in (stack.reload, stack.require_up):
        with pytest.raises(StackError, match=f"^the stack {stack.name} is not up: make up$"):
            task()
