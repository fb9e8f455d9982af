"""The bare WSGI call is the served app's own answer, and costs less than serving it."""

from collections.abc import Iterator
from statistics import median

import pytest

from lab.bench.inside import Inside
from lab.bench.slices import Arm, WrongAnswer
from lab.bench.views import PATH
from lab.measure import counters
from loadtest import cookies
from stack import processes
from stack.local.runtime import LocalRuntime


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalRuntime]:
    with LocalRuntime(
        {
            "STACK_PORT": "0",
            "STACK_PROCESSES": "1",
            "STACK_WORKLOAD": "on",
            "STACK_DEMO": "on",
        }
    ) as running:
        yield running


def test_it_costs_less_than_the_same_request_served(stack: LocalRuntime) -> None:
    cookie = cookies.of_demo_account(stack.address())
    pids = {name: [p.pid for p in processes.family(n)] for name, n in stack.main_pids().items()}
    arm = Arm("served", stack.address(), PATH, b'"name":"demo"', pids, cookie)
    with Inside(stack, PATH, b'"name":"demo"', cookie) as inside:
        redis_before = counters.read(pids)
        inside.run(50)
        assert counters.used(redis_before, counters.read(pids)).cpu_ns["redis"] > 0
        arm.run(50)
        for _ in range(5):
            inside.measure()
            arm.measure()
    arm.close()
    assert 0 < median(inside.costs) < median(arm.costs["app"])
    assert median(arm.total()) > median(arm.costs["app"])
    # At the least one for the request, and at most a handful for each.
    assert 0.5 < median(arm.wakeups) < 6


def test_an_answer_that_is_not_the_expected_one_is_no_figure(stack: LocalRuntime) -> None:
    with (
        Inside(stack, PATH, b'"name":"demo"', "no=cookie") as inside,
        pytest.raises(WrongAnswer, match="the call alone"),
    ):
        inside.run(1)


def test_a_process_that_cannot_start_is_an_error(stack: LocalRuntime) -> None:
    with (
        Inside(stack, "", b"", "a=b\nc") as inside,
        pytest.raises(WrongAnswer, match="its process has ended"),
    ):
        inside.run(1)
