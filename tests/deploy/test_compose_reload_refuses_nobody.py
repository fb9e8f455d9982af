"""A reload in containers replaces every worker and fails no request, or says why it does not."""

import re
import threading
from collections.abc import Callable

import pytest

from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from tests.deploy.engine import docker, execute, inspect, metrics
from tests.people.over_http import Person
from tests.waiting import wait_until

pytestmark = pytest.mark.containers


def worker_pids(stack: ComposeRuntime) -> set[str]:
    found = re.findall(r"^uwsgi_worker_pid\{.*\} (\S+)$", metrics(stack), re.MULTILINE)
    return set(found)


def test_all_at_once(stack: ComposeRuntime) -> None:
    reload_under_requests(stack, stack.reload)


def test_one_at_a_time(another: Callable[..., ComposeRuntime]) -> None:
    stack = another(STACK_LAZY_APPS="on", STACK_PROCESSES="2")
    stack.up()
    reload_under_requests(stack, stack.reload)


def test_sighup_by_the_engine(stack: ComposeRuntime) -> None:
    old = worker_pids(stack)

    def reload() -> None:
        docker("kill", "--signal", "HUP", stack.containers()["app"].id)
        wait_until(lambda: not old & worker_pids(stack), 60)

    reload_under_requests(stack, reload)


def test_a_second_master_that_does_not_fit_into_memory_is_refused(
    stack: ComposeRuntime, capfd: pytest.CaptureFixture[str]
) -> None:
    container, limit = stack.containers()["app"].id, inspect(stack, "app")["HostConfig"]["Memory"]
    left = "import sys; sys.path.append('/srv/uwsgi'); import memory; print(memory.left()[1])"
    spare = int(execute(stack, "app", f'python3 -c "{left}"'))
    before = worker_pids(stack)
    set_limit(container, limit - spare + (16 << 20))
    try:
        with pytest.raises(StackError, match="were not replaced"):
            stack.reload()
    finally:
        set_limit(container, limit)
    said = capfd.readouterr().err
    assert re.search(r"a second master needs \d+ MB, and \d+ of \d+ MB are left: raise the", said)
    assert worker_pids(stack) == before
    assert Person(stack.address()).get("/livez").status == 200


def set_limit(container: str, size: int) -> None:
    docker("update", f"--memory={size}", f"--memory-swap={size}", container)


def reload_under_requests(stack: ComposeRuntime, reload: Callable[[], None]) -> None:
    before = worker_pids(stack)
    assert len(before) > 1
    done = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        person = Person(stack.address())
        while not done.is_set():
            answers.append(person.get("/livez").status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        reload()
    finally:
        done.set()
        asking.join()
    after = worker_pids(stack)
    assert len(after) == len(before) and not before & after
    assert len(answers) > 10 and set(answers) == {200}
