"""usage() counts the CPU time that a service really used, finer than a tick, the dead included."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import processes
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, get, own_name
from tests.waiting import wait_until

pytestmark = pytest.mark.quiet


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    apps = tmp_path_factory.mktemp("apps")
    (apps / "tiny.py").write_text(TINY_APP)
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_NAME": own_name()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(apps))
        with LocalRuntime({**environ, "STACK_PROCESSES": "2"}) as stack:
            yield stack


def test_burnt_cpu_is_counted_where_it_was_burnt(stack: LocalRuntime) -> None:
    before = stack.usage()
    for _ in range(4):
        assert get(f"{stack.address()}/burn")[0] == 200  # 0.5 s each
    after = stack.usage()
    used = {name: after[name].cpu_seconds - before[name].cpu_seconds for name in after}
    assert 2.0 <= used["app"] <= 2.6
    assert used["nginx"] < 0.2
    assert used["redis"] < 0.2


def test_one_request_is_seen(stack: LocalRuntime) -> None:
    readings = []
    for _ in range(5):
        before = stack.usage()["nginx"].cpu_seconds
        get(stack.address())
        readings.append(stack.usage()["nginx"].cpu_seconds - before)
    # A tick is 10 ms: in ticks nearly all of these would be 0.
    assert all(0 < reading < 0.01 for reading in readings), readings


def test_an_ended_worker_still_counts(stack: LocalRuntime) -> None:
    version, pid = get(f"{stack.address()}/burn")[1].split()
    assert version == "one"
    before = stack.usage()["app"].cpu_seconds
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: processes.find(int(pid)) is None)
    assert stack.usage()["app"].cpu_seconds > before - 0.03
    wait_until(
        lambda: get(stack.address())[0] == 200 and processes.find(int(pid), zombie=True) is None
    )
    # Its parent has waited for it: now it counts in ticks, one of which may get lost twice.
    assert stack.usage()["app"].cpu_seconds > before - 0.03


def test_memory_is_shared_fairly(stack: LocalRuntime) -> None:
    usage = stack.usage()
    app = next(status for status in stack.status() if status.service == "app")
    rss = 0
    for process in processes.family(int(app.id)):
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
        rss += int(pages) * os.sysconf("SC_PAGE_SIZE")
    assert 1_000_000 < usage["app"].pss_bytes < rss
    assert all(one.pss_bytes > 100_000 for one in usage.values())
