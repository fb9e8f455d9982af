"""A running arm has its processes, the options in force, and its counters."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.measure import machine, server_options
from lab.measure import running_arm as lab
from lab.measure.running_arm import RunningArm
from lab.plan import servers
from lab.plan.arms import ArmSpec, ReloadMode
from lab.tests.running_arms import NEEDS, PROTECTED, SHAPE, arms, ask
from stack import processes
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from tests.waiting import wait_until

ASKED = {
    "STACK_PROCESSES": "3",
    "STACK_THREADS": "2",
    "STACK_THUNDER_LOCK": "off",
    "STACK_LAZY_APPS": "on",
    "STACK_HARAKIRI": "20",
}


@pytest.fixture(scope="module")
def arm() -> Iterator[RunningArm]:
    with arms([ArmSpec("ours", ASKED)]) as started:
        yield started["ours"]


def test_options_are_those_that_uwsgi_reports(arm: RunningArm) -> None:
    assert arm.wrong_options == []
    assert {name: arm.options[name] for name in ASKED} == ASKED
    assert arm.options["thunder lock (log)"] == "off"
    assert (arm.options["workers (log)"], arm.options["threads (log)"]) == ("3", "2")
    assert arm.options["socket (log)"] == "unix"
    assert arm.slots == 6


def test_processes_are_those_of_the_service(arm: RunningArm) -> None:
    pids = arm.pids()
    names = {
        service: {Path(f"/proc/{pid}/comm").read_text().strip() for pid in found}
        for service, found in pids.items()
    }
    assert names == {
        "nginx": {"nginx"},
        "app": {"python3", "uwsgi"},
        "redis": {"redis-server"},
    }
    assert len(arm.workers()) == 3
    assert set(arm.workers()) < set(pids["app"])


def test_requests_are_counted_by_nginx_and_by_the_workers(arm: RunningArm) -> None:
    before, by_worker = arm.served(), arm.worker_requests()
    assert arm.served() == before  # reading is not counted
    for _ in range(10):
        assert ask(arm, "/workload/bare")[0].status == 200
    assert arm.served() - before == 10
    # uWSGI counts a request after its answer.
    wait_until(lambda: sum(arm.worker_requests().values()) == sum(by_worker.values()) + 10)


def test_redis_commands_are_the_apps(arm: RunningArm) -> None:
    before = arm.redis_commands()
    assert arm.redis_commands() == before  # reading is not counted
    for _ in range(10):
        ask(arm, PROTECTED, headers={"Cookie": arm.cookie})
    assert arm.redis_commands() - before >= 10


@pytest.mark.parametrize("how", ["shipped", "chain"])
def test_a_reload_replaces_every_worker(arm: RunningArm, how: ReloadMode) -> None:
    before, served = arm.workers(), arm.served()
    arm.reload(how)
    assert arm.served() == served  # the lab's own requests are not counted
    after = arm.workers()
    assert len(after) == len(before)
    assert not set(before) & set(after)
    assert ask(arm, PROTECTED, headers={"Cookie": arm.cookie})[0].status == 200


def test_a_server_with_other_options_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that run with other options than those asked for: uWSGI, and one without metrics."""
    monkeypatch.setattr(lab, "SETTLE_S", 1.0)
    root = Path(__file__).parents[2]
    liars = {
        "uwsgi-liar": (
            "uwsgi",
            f"export STACK_THUNDER_LOCK=off\nunset APP_ENVIRONMENT\nexec {root}/uwsgi/entrypoint",
        ),
        "gunicorn-liar": (
            "gunicorn-gthread",
            f"export STACK_PROCESSES=1\nexec {root}/lab/servers/gunicorn-gthread",
        ),
    }
    for name, (honest, text) in liars.items():
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        model = servers.SERVERS[honest]
        program = servers.AppServer(str(script), model.program.nginx, model.program.speaks)
        liar = replace(model, name=name, program=program)
        monkeypatch.setitem(servers.SERVERS, name, liar)  # type: ignore[misc]
    with arms([ArmSpec(name, SHAPE, server=name) for name in liars]) as started:
        assert started["uwsgi-liar"].wrong_options == [
            "STACK_THUNDER_LOCK: asked on, the server reports off",
            "STACK_THUNDER_LOCK: asked on, the server's log reports off",
        ]
        assert started["gunicorn-liar"].wrong_options == ["workers: asked 2, 1 run"]


@pytest.mark.parametrize("server", ["uwsgi", "gunicorn-gthread", "waitress"])
def test_an_arm_without_a_shape_has_a_number_of_processes(server: str) -> None:
    """No server of the lab but the stack's own knows what `auto` is."""
    with arms([ArmSpec("as shipped", server=server)]) as started:
        arm = started["as shipped"]
        assert arm.wrong_options == []
        assert arm.slots == machine.processes() * 4


def test_lines_are_added_to_a_copy_of_uwsgi_ini() -> None:
    ini = ("cheaper = 1", "cheaper-initial = 1")
    shape = {"STACK_PROCESSES": "3", "STACK_THREADS": "2", "STACK_SOCKET": "tcp"}
    with arms([ArmSpec("fewer", shape, ini=ini)]) as started:
        fewer = started["fewer"]
        assert fewer.wrong_options == []
        assert fewer.options["uwsgi.ini, added"] == "; ".join(ini)
        assert fewer.options["socket (log)"] == "tcp"
        assert len(fewer.workers()) == 1
        assert ask(fewer, "/workload/bare")[0].status == 200
        fewer.reload("shipped")
        assert len(fewer.workers()) == 1


def test_each_worker_has_a_queue_of_its_own_on_one_port() -> None:
    name = "uwsgi-reuse-port"
    shape = {"STACK_PROCESSES": "3", "STACK_THREADS": "2"}
    with arms([ArmSpec("dealt", shape | NEEDS[name], server=name)]) as started:
        dealt = started["dealt"]
        assert dealt.wrong_options == []
        for _ in range(40):
            assert ask(dealt, "/workload/bare")[0].status == 200
        answered = dealt.worker_requests()
        assert answered is not None and min(answered.values()) > 0, answered
        runtime = dealt._instance.runtime
        assert isinstance(runtime, LocalRuntime)
        port = runtime.state().ports["app"]
        by_worker = [listens_on(pid, port) for pid in dealt.workers()]
        assert [len(sockets) for sockets in by_worker] == [1, 1, 1]
        assert len(set().union(*by_worker)) == 3


def listens_on(pid: int, port: int) -> set[str]:
    """The sockets of a process that listen on *port*."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    at, listen = f":{port:04X}", "0A"
    listening = {f"socket:[{one[9]}]" for one in fields if one[1].endswith(at) and one[3] == listen}
    held = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    return listening & held


def test_streams_occupy_threads_and_end_with_the_arm() -> None:
    settings = {**SHAPE, "STACK_APP": "lab.servers.streams:with_stream()"}
    setup = ("../lab/servers/streams.py 3",)
    with arms([ArmSpec("streams", settings, setup=setup)]) as started:
        streaming = started["streams"]
        assert busy_threads(streaming) == 3
        assert ask(streaming, "/workload/bare")[0].status == 200
        (holder,) = (p.pid for p in processes.running() if held_open(p.pid, streaming))
    wait_until(lambda: not Path(f"/proc/{holder}").exists(), 20)


def busy_threads(arm: RunningArm) -> int:
    metrics = arm._instance.metrics()
    name = "uwsgi_worker_busy_threads"
    return sum(server_options.uwsgi_by_worker(metrics, name).values())


def held_open(pid: int, arm: RunningArm) -> bool:
    """Whether it is the program that keeps the streams of *arm* open."""
    runtime = arm._instance.runtime
    assert isinstance(runtime, LocalRuntime)
    if "../lab/servers/streams.py" not in server_options.command_line(pid):
        return False
    socket = f"APP_SOCKET={runtime.state().run}/app.sock".encode()
    return socket in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_canary_gives_the_same_answers(arm: RunningArm) -> None:
    settings = {**SHAPE, "STACK_APP": "lab.plan.canary:hold_20()"}
    with arms([ArmSpec("canary", settings)]) as started:
        canary = started["canary"]
        assert ask(canary, "/workload/bare")[1] == ask(arm, "/workload/bare")[1]
        for pid in canary.workers():
            process = processes.find(pid)
            assert process is not None
            assert processes.pss_bytes([process]) > 20e6 / len(canary.workers())


def test_an_option_that_a_server_would_ignore_is_refused() -> None:
    with pytest.raises(
        StackError, match=r"arm 'lockless': waitress does not support STACK_THUNDER_LOCK"
    ):
        lab.start(ArmSpec("lockless", {"STACK_THUNDER_LOCK": "on"}, server="waitress"))


def test_an_unknown_server_lists_the_known_ones() -> None:
    with pytest.raises(StackError, match=r"no such server: apache: known are uwsgi, .*granian"):
        lab.start(ArmSpec("other", SHAPE, server="apache"))
