"""`reload` in containers replaces every worker while requests go on being answered."""

import re
import threading
from collections.abc import Callable

import pytest

from stack.compose import ComposeRuntime
from tests.drive import Person

pytestmark = pytest.mark.containers


def worker_pids(stack: ComposeRuntime) -> set[str]:
    found = re.findall(r"^uwsgi_worker_pid\{.*\} (\S+)$", stack.metrics(), re.MULTILINE)
    return set(found)


@pytest.mark.parametrize("lazy_apps", ["off", "on"])
def test_all_workers_are_new_and_no_request_failed(
    another: Callable[..., ComposeRuntime], lazy_apps: str
) -> None:
    stack = another(STACK_LAZY_APPS=lazy_apps, STACK_PROCESSES="2")
    stack.up()
    before = worker_pids(stack)
    assert len(before) == 2
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
    # The full reload keeps the master and forks anew: pids differ in both cases.
    assert len(after) == 2 and not before & after
    assert len(answers) > 10 and set(answers) == {200}
