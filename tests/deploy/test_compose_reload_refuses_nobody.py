"""`reload` in containers replaces every worker and fails no request."""

import re
import threading
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import metrics
from tests.people.over_http import Person

pytestmark = pytest.mark.containers


def worker_pids(stack: ComposeRuntime) -> set[str]:
    found = re.findall(r"^uwsgi_worker_pid\{.*\} (\S+)$", metrics(stack), re.MULTILINE)
    return set(found)


def test_all_at_once(stack: ComposeRuntime) -> None:
    reload_under_requests(stack)


def test_one_at_a_time(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_LAZY_APPS="on", STACK_PROCESSES="2")
    stack.up()
    reload_under_requests(stack)


def reload_under_requests(stack: ComposeRuntime) -> None:
    before = worker_pids(stack)
    assert len(before) == int(stack.toggles["STACK_PROCESSES"])
    done = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        person = Person(stack.address())
        while not done.is_set():
            answers.append(person.get("/livez").status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        stack.reload()
    finally:
        done.set()
        asking.join()
    after = worker_pids(stack)
    assert len(after) == len(before) and not before & after
    assert len(answers) > 10 and set(answers) == {200}
