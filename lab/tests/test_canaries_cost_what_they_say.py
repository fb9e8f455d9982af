"""A canary adds exactly its cost to each call of the app; an unknown one is refused."""

import resource
import time
from collections.abc import Iterable
from typing import Any

import pytest

from lab.plan import canary
from lab.plan.experiment_file import is_canary

CALLS = 200


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"answer"]


def call(kind: str, amount: int) -> None:
    app = canary._with_cost(plain, kind, amount)
    for _ in range(CALLS):
        assert list(app({}, lambda status, headers: lambda data: None)) == [b"answer"]


def switches() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_burn_uses_cpu_time() -> None:
    before, slept = time.thread_time(), switches()
    call("burn", 40)
    assert time.thread_time() - before >= CALLS * 40e-6
    assert switches() - slept < CALLS / 10


def test_wake_sleeps_as_often_as_it_is_called() -> None:
    before = switches()
    call("wake", 3)
    assert switches() - before == pytest.approx(3 * CALLS, rel=0.05)


def test_wait_uses_no_cpu_time() -> None:
    before, burnt = time.monotonic(), time.thread_time()
    call("wait", 2)
    assert time.monotonic() - before >= CALLS * 2e-3
    assert time.thread_time() - burnt < CALLS * 1e-3


def test_any_amount_is_a_factory_that_experiments_may_name() -> None:
    for name in ("burn_40", "wake_1", "hold_20", "wait_2", "burn_7"):
        assert callable(getattr(canary, name))
        assert is_canary(name)


@pytest.mark.parametrize("name", ["burn", "burn_0", "burn_x", "sleep_1", "burn_1000000000", "path"])
def test_an_unknown_one_lists_what_is_allowed(name: str) -> None:
    with pytest.raises(AttributeError, match=r"burn_<µs>.*wake_<times>.*hold_<MB>.*wait_<ms>"):
        getattr(canary, name)
    assert not is_canary(name)
