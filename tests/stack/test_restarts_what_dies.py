"""A service restarts when one of its processes is killed, whichever it is."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack import processes
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, answers, own_name
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    apps = tmp_path_factory.mktemp("apps")
    (apps / "tiny.py").write_text(TINY_APP)
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_NAME": own_name()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(apps))
        with LocalRuntime({**environ, "STACK_PROCESSES": "2"}) as stack:
            yield stack


def pid_of(stack: LocalRuntime, service: str) -> int:
    return next((int(s.id) for s in stack.status() if s.service == service and s.id != "-"), 0)


def healthy(stack: LocalRuntime) -> bool:
    return all(s.healthy for s in stack.status()) and answers(stack.address())


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # the entrypoint ends the workers of a dead master
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes.find(pid) is None)


@pytest.mark.parametrize("service", ["redis", "app", "nginx"])
def test_main_process(stack: LocalRuntime, service: str) -> None:
    wait_until(lambda: healthy(stack))
    before = pid_of(stack, service)
    orphans = [p.pid for p in processes.family(before) if p.pid != before]
    kill(before)
    wait_until(lambda: pid_of(stack, service) not in (0, before) and healthy(stack))
    # The workers of the dead master held its port; they are gone, not serving beside the new ones.
    assert [pid for pid in orphans if processes.find(pid)] == []


@pytest.mark.parametrize("service", ["app", "nginx"])
def test_every_other_process(stack: LocalRuntime, service: str) -> None:
    wait_until(lambda: healthy(stack))
    main = pid_of(stack, service)
    members = [p.pid for p in processes.family(main) if p.pid != main]
    assert members, f"{service} has no workers"
    for pid in members:
        if processes.find(pid):
            kill(pid)
    wait_until(lambda: healthy(stack))
    again = processes.family(pid_of(stack, service))
    assert len(again) >= len(members) + 1
    assert not {p.pid for p in again} & set(members)


def test_a_reload_at_the_moment_when_nginx_is_away_signals_nobody(
    stack: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = stack._supervisor(stack.state())
    supervisor.stop_program("nginx")
    stack._nginx_loaded.unlink()  # as if its configuration had changed
    monkeypatch.setattr(stack, "is_up", lambda: True)  # it ends right after that look
    with pytest.raises(StackError, match="nginx does not run"):
        stack.reload()
    supervisor.start_program("nginx")
    wait_until(lambda: healthy(stack))


def test_the_newest_processes_are_still_this_copys(stack: LocalRuntime) -> None:
    sessions = {
        p.session
        for s in stack.status()
        for p in processes.family(int(s.id))
        if Path("/proc").is_dir()
    }
    assert len(sessions) == 1
