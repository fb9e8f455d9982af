"""A reload under load on a real stack: new workers, failed requests, the longest wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.measure import reloading, running_arm
from lab.measure.load import Target
from lab.measure.running_arm import RunningArm
from lab.plan.arms import ArmSpec, ReloadMode

PATH = "/workload/protected"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "QUIET_S", 0.4)


@pytest.fixture(scope="module")
def lazy() -> Iterator[RunningArm]:
    spec = ArmSpec("lazy", {"STACK_LAZY_APPS": "on", "STACK_PROCESSES": "2"})
    arm = running_arm.start(spec, path=PATH)
    yield arm
    arm.stop()


def reload(
    arm: reloading.Arm, address: str, cookie: str, folder: Path, mode: ReloadMode
) -> reloading.Reload:
    target = Target(name="lazy", address=address, path=PATH, cookie=cookie)
    return reloading.reload(
        arm, target, mode=mode, rate=100, seed=1, folder=folder, progress=print, warm_s=0.2
    )


def test_a_chain_reload_fails_no_request(lazy: RunningArm, tmp_path: Path) -> None:
    before = lazy.workers()
    found = reload(lazy, lazy.address, lazy.cookie, tmp_path, "chain")
    assert found.failed == 0, found.load.faults
    assert found.kept == ()
    assert len(lazy.workers()) == len(before) == 2
    # Arrivals before, during and after it.
    assert found.reload_s < found.load.seconds < found.reload_s + 2 * reloading.QUIET_S + 10
    assert found.load.done == found.load.intended > 50


def test_a_reload_as_shipped_makes_nobody_wait_for_the_app(
    lazy: RunningArm, tmp_path: Path
) -> None:
    found = reload(lazy, lazy.address, lazy.cookie, tmp_path, "shipped")
    assert found.failed == 0, found.load.faults
    assert found.kept == ()
    assert found.stall_ms < 1000 * found.reload_s


def test_a_reload_that_replaces_no_worker_is_reported(lazy: RunningArm, tmp_path: Path) -> None:
    class Idle:
        """Its reload does nothing."""

        def workers(self) -> list[int]:
            return lazy.workers()

        def reload(self, mode: ReloadMode) -> None:
            pass

    found = reload(Idle(), lazy.address, lazy.cookie, tmp_path, "chain")
    assert set(found.kept) == set(lazy.workers())
