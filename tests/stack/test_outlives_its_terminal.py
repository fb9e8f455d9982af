"""A copy survives its terminal; files that an earlier run left are checked first."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import processes
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, Commands, answers, copy_checkout, get, own_name
from tests.waiting import wait_until

TINY = {"STACK_APP": "tiny:app", "STACK_PROCESSES": "1"}


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(copy_checkout(tmp_path), **TINY)
    (commands.checkout / "tiny.py").write_text(TINY_APP)
    yield commands
    commands.make("down")
    assert commands.processes() == []


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRuntime]:
    (tmp_path / "tiny.py").write_text(TINY_APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run_dir = tmp_path / "run"
    stack = LocalRuntime({**TINY, "STACK_PORT": "0", "STACK_NAME": own_name()}, run_dir=run_dir)
    yield stack
    stack.down()


def test_it_outlives_its_terminal(commands: Commands) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(commands.checkout)
        os.execvpe("make", ["make", "up"], commands.environ)
    said = b""
    while b"make down" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)  # hangs up: SIGHUP to everything of that terminal
    os.waitpid(child, 0)
    assert get(commands.url)[0] == 200
    assert commands.make("status").returncode == 0


def test_state_of_an_earlier_boot_is_not_believed(stack: LocalRuntime) -> None:
    stack.up()
    file = stack.run_dir / "state.json"
    state = json.loads(file.read_text())
    stack.down()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander:
        # The machine was restarted, and the pid is somebody else's now.
        file.write_text(json.dumps({**state, "boot_id": "x", "supervisor_pid": bystander.pid}))
        assert not stack.is_up()
        stack.up()
        assert answers(stack.address())
        stack.down()
        assert bystander.poll() is None
        bystander.kill()


def test_a_reused_pid_is_not_ended(stack: LocalRuntime) -> None:
    stack.up()
    file = stack.run_dir / "state.json"
    state = json.loads(file.read_text())
    stack.down()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander:
        file.write_text(json.dumps({**state, "supervisor_pid": bystander.pid}))
        assert not stack.is_up()
        stack.down()
        assert bystander.poll() is None
        bystander.kill()
    assert not file.exists()


def test_a_state_file_that_was_cut_off_is_no_obstacle(stack: LocalRuntime) -> None:
    stack.run_dir.mkdir()
    (stack.run_dir / "state.json").write_text('{"boot_id": "')
    stack.up()
    assert answers(stack.address())


def test_down_also_ends_what_a_killed_supervisord_left(stack: LocalRuntime) -> None:
    stack.up()
    supervisor = json.loads((stack.run_dir / "state.json").read_text())["supervisor_pid"]
    services = [int(status.id) for status in stack.status()]
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: processes.find(supervisor) is None)
    assert not stack.is_up()
    assert [status.healthy for status in stack.status()] == [False, False, False]
    stack.down()
    assert [pid for pid in services if processes.find(pid)] == []


def test_up_replaces_what_a_killed_supervisord_left(stack: LocalRuntime) -> None:
    stack.up()
    supervisor = json.loads((stack.run_dir / "state.json").read_text())["supervisor_pid"]
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: processes.find(supervisor) is None)
    stack.up()
    assert answers(stack.address())
    assert all(status.healthy for status in stack.status())


def test_two_ups_at_once_start_one_copy(commands: Commands) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "stack", "up"],
            cwd=commands.checkout,
            env=commands.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len([line for line in commands.processes() if "supervisord" in line]) == 1
