"""A stop waits for the requests in flight, and every service exits with 0."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker, metrics
from tests.people.over_http import Person
from tests.waiting import wait_until

pytestmark = pytest.mark.containers

KILL_A_WORKER = (
    "import os, re, urllib.request as u;"
    "text = u.urlopen('http://127.0.0.1:9101/metrics').read().decode();"
    r"pid = re.search(r'^uwsgi_worker_pid\{worker=.1.\} ([0-9.e+]+)$', text, re.M)[1];"
    "os.kill(int(float(pid)), 9)"
)


def stop_with_requests_in_flight(stack: ComposeRuntime, *, requests: int) -> list[int]:
    """Stop the copy while *requests* requests take 8 s each; return their status codes."""
    with ThreadPoolExecutor(requests) as pool:
        people = [Person(stack.address()) for _ in range(requests)]
        answers = [pool.submit(person.get, "/workload/io?ms=8000") for person in people]
        wait_until(lambda: busy_threads(stack) == requests)
        assert not any(answer.done() for answer in answers), "a request ended before the stop"
        stack.compose("stop", timeout_s=120)
        return [answer.result().status for answer in answers]


def busy_threads(stack: ComposeRuntime) -> float:
    found = re.findall(r"^uwsgi_worker_busy_threads\{.*\} (\S+)$", metrics(stack), re.MULTILINE)
    return sum(map(float, found))


def exit_codes(stack: ComposeRuntime) -> dict[str, int]:
    return {name: container.exit_code for name, container in stack.containers().items()}


def test_requests_in_flight_are_answered(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_WORKLOAD="on")
    stack.up()
    assert stop_with_requests_in_flight(stack, requests=6) == [200] * 6
    assert exit_codes(stack) == {"nginx": 0, "app": 0, "redis": 0}


def test_the_app_finishes_a_request_when_it_is_stopped_after_a_crash(
    another: Callable[..., ComposeRuntime],
) -> None:
    """The engine stops the app alone, soon after a worker was killed."""
    stack = another(STACK_WORKLOAD="on")
    stack.up()
    stack.compose("exec", "-T", "app", "python3", "-c", KILL_A_WORKER)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(Person(stack.address()).get, "/workload/io?ms=8000")
        wait_until(lambda: busy_threads(stack) == 1)
        begun = time.monotonic()
        docker("stop", "--time", "80", stack.containers()["app"].id)
        took = time.monotonic() - begun
        assert answer.result().status == 200
    assert exit_codes(stack)["app"] == 0
    assert took < 60
