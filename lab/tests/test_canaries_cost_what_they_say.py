"""A canary adds exactly its cost to each call of the app; an unknown one is refused."""

import resource
import time
from collections.abc import Iterable
from typing import Any

import pytest

from lab.measure import counters
from lab.plan import canary
from lab.plan.canary import is_dose

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


def test_wake_wakes_other_processes_as_often_as_it_is_called() -> None:
    """Its own thread never sleeps, because a worker that does changes what the others do."""
    before, known = switches(), len(canary._helpers)
    app = canary._with_cost(plain, "wake", 3)
    helpers = {"app": [helper.pid for helper in canary._helpers[known:]]}
    try:
        woken = counters.read(helpers)
        for _ in range(CALLS):
            app({}, lambda status, headers: lambda data: None)
            time.sleep(0.001)
        slept = switches() - before - CALLS
        used = counters.used(woken, counters.read(helpers))
    finally:
        for helper in canary._helpers[known:]:
            helper.kill()
            helper.wait()
    assert len(helpers["app"]) == 3
    # On a busy machine two wake-ups of a helper may become one.
    assert 0.8 * 3 * CALLS <= used.voluntary["app"] <= 1.05 * 3 * CALLS
    assert slept < CALLS / 10


def test_wait_uses_no_cpu_time() -> None:
    before, burnt = time.monotonic(), time.thread_time()
    call("wait", 2)
    assert time.monotonic() - before >= CALLS * 2e-3
    assert time.thread_time() - burnt < CALLS * 1e-3


def test_any_amount_is_a_factory_that_experiments_may_name() -> None:
    for name in ("burn_40", "wake_1", "hold_20", "wait_2", "burn_7"):
        assert callable(getattr(canary, name))
        assert is_dose(name)


@pytest.mark.parametrize("name", ["burn", "burn_0", "burn_x", "sleep_1", "burn_1000000000", "path"])
def test_an_unknown_one_lists_what_is_allowed(name: str) -> None:
    with pytest.raises(AttributeError, match=r"burn_<µs>.*wake_<times>.*hold_<MB>.*wait_<ms>"):
        getattr(canary, name)
    assert not is_dose(name)


def test_a_share_of_the_request_becomes_an_amount_when_its_cost_is_known() -> None:
    assert canary.is_dose("burn_5%")
    assert not canary.is_dose("wake_5%")
    assert canary.doubled("burn_5%") == "burn_10%"
    assert canary.absolute("burn_5%", 5000.0) == "burn_250"
    assert canary.absolute("burn_40", 5000.0) == "burn_40"


def test_what_a_dose_adds_is_known_in_its_own_unit_only() -> None:
    assert canary.adds("burn_40", "cpu_us") == canary.adds("burn_40", "cpu_us_app") == 40
    assert canary.adds("wake_2", "wakeups") == 2
    assert canary.adds("hold_20", "pss_mb") == 20
    assert canary.adds("burn_40", "rps") is None
    assert "rps" in canary.metrics("burn_40")
    assert "wakeups" not in canary.metrics("burn_40")
