"""`make faults` on a real copy: what it calls kept is kept, and what is lost is called so."""

from __future__ import annotations

import os
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from faults import cli, crowds, report
from faults.catalogue import FAULTS
from faults.machine import mount_missing, no_descriptors
from faults.stage import Stage, mount_small_disk, unmount_small_disk, why_it_was_refused
from faults.trial import Outcome, attempt
from faults.users import ask
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage("local", f"faults-{secrets.token_hex(3)}", {}, Progress()) as stage:
        yield stage


@pytest.mark.parametrize("name", ["worker-kill", "redis-kill"])
def test_a_fault_is_survived(stage: Stage, name: str) -> None:
    outcome = attempt(FAULTS[name], stage)
    assert outcome.broken == []
    assert outcome.requests > 30 and outcome.acknowledged > 20
    assert re.search(FAULTS[name].log[1], outcome.log)


def test_lost_data_and_a_missing_line_are_broken_promises(stage: Stage) -> None:
    @contextmanager
    def flushed(stage: Stage) -> Iterator[None]:
        stage.redis("FLUSHALL")
        yield

    fault = replace(FAULTS["redis-kill"], strike=flushed, log=("redis", "no such line"), within_s=2)
    outcome = attempt(fault, stage)
    assert outcome.by_outcome["logged out"] > 0
    assert len(outcome.lost) > 20
    said = " / ".join(outcome.broken)
    assert "requests still fail 2 s after the fault" in said
    assert "acknowledged writes are lost" in said
    assert "the log of redis has no line like no such line" in said
    assert "**broken: " in report.cells(outcome)[1]


# ── Without a stack ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ONLY": "redis-stop,moon"}, "ONLY=moon: there are worker-kill, "),
        ({"DURING": "lunch"}, "DURING='lunch': must be reload, deploy or empty"),
    ],
)
def test_unknown_values_are_named(variables: dict[str, str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faults"], cwd=CHECKOUT, env={**os.environ, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr


def test_a_crowd_raises_the_limit_of_open_files() -> None:
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0), backlog=700) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        stage = SimpleNamespace(entrance=lambda: address, notes=[])
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, usual[1]))
        try:
            with crowds.crowd(crowds.slow_headers, 600)(cast("Stage", stage)):
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert stage.notes == [
        "600 slow clients connected",
        "of the slow clients at the end: 600 wait",
    ]


def test_a_crowd_that_may_not_be_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    why = crowds.few_descriptors("local")
    assert why == "a process may have 4096 open files (ulimit -Hn), and it needs 4600"


def test_processes_of_a_container_get_their_own_limits_back() -> None:
    """A namespace of processes stands for the container."""
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"]
    if subprocess.run([*namespace, ":"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not make a namespace of processes")
    begin = "(ulimit -Sn 700; exec sleep 60) & (ulimit -Sn 900; exec sleep 60) & wait"
    with subprocess.Popen([*namespace, begin]) as container:
        try:
            first = wait_until(psutil.Process(container.pid).children)[0]
            enter = ["nsenter", f"--target={first.pid}", "--pid", "--mount", "sh", "-c"]

            def shell(_service: str, script: str) -> str:
                return subprocess.run(
                    [*enter, script], capture_output=True, text=True, check=True
                ).stdout

            def limits() -> list[int]:
                return [
                    resource.prlimit(p.pid, resource.RLIMIT_NOFILE)[0] for p in first.children()
                ]

            wait_until(lambda: sorted(limits()) == [700, 900])
            before = limits()
            stage = cast("Stage", SimpleNamespace(kind="compose", shell=shell))
            with no_descriptors("nginx")(stage):
                assert limits() == [3, 3]
            assert limits() == before
        finally:
            container.kill()


def test_a_cell_breaks_no_table() -> None:
    outcome = Outcome("redis-kill", "local", requests=9, log="a | b `c`", notes=["x | y"])
    row = report.markdown([outcome], {"Runtime": "local"}).splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", row)) == len(report.HEAD) + 1


def test_of_a_long_line_the_part_that_matters_is_shown() -> None:
    line = "/tmp/stack-x/a.sock " + "x" * 300 + ' "status":429, ' + "y" * 300
    part = report.shown(line, r'"status":429')
    assert '"status":429' in part and len(part) <= report.LONGEST_LINE + 2
    assert report.shown(line, "x").startswith("…/a.sock")


def test_the_published_page_has_every_fault_in_both_runtimes() -> None:
    page = (CHECKOUT / "docs/faults.md").read_text(encoding="utf-8")
    for kind in ("local", "compose"):
        table = page.partition(f"<!-- table {kind} -->")[2].partition("<!-- /table")[0]
        missing = [
            f.name for f in FAULTS.values() if not f.on_request and f"**{f.name}**" not in table
        ]
        assert missing == [], kind
        assert "**broken" not in table


def test_the_alert_of_a_row_agrees_with_its_figures() -> None:
    """SlowRequests needs answers above a second, as nginx counts: from the head of a request on."""
    page = (CHECKOUT / "docs/faults.md").read_text(encoding="utf-8")
    for kind in ("local", "compose"):
        table = page.partition(f"<!-- table {kind} -->")[2].partition("<!-- /table")[0]
        rows = re.findall(
            r"^\| \*\*([\w-]+)\*\*.*?\| (\d+) failed.*?longest wait ([\d.]+) s.* alert (.*?) \|",
            table,
            re.MULTILINE,
        )
        assert len(rows) > 20
        slow = [
            name for name, _, wait, alert in rows if alert == "SlowRequests" and float(wait) < 1
        ]
        assert slow == [], "no request took a second"
        none = [
            name for name, failed, _, alert in rows if "no request fails" in alert and failed != "0"
        ]
        assert none == [], "requests failed"
        assert [name for name, *_, alert in rows if alert != FAULTS[name].alert] == []


def test_a_table_without_rows_says_so() -> None:
    page = (CHECKOUT / "docs/faults.md").read_text(encoding="utf-8")
    tables = re.findall(r"^<!-- table (.+) -->\n([^|]*?)<!-- /table \1 -->", page, re.MULTILINE)
    assert all(text.startswith("Not ") for _, text in tables), tables


def test_runs_that_begin_in_the_same_second_have_their_own_folders() -> None:
    assert cli.new_folder() != cli.new_folder()


def test_a_table_is_published_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table local deploy -->\n<!-- /table local deploy -->\nb\n")
    for name, run in (("redis-kill", "1"), ("worker-kill", "2"), ("redis-kill", "3")):
        report.publish([Outcome(name, "local", "deploy", run=run)], "local", "deploy", page)
    lines = page.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == ["worker-kill", "redis-kill"]
    assert [row.split(" | ")[-1] for row in rows] == ["2 |", "3 |"]
    assert (lines[0], lines[-1]) == ("a", "b")
    with pytest.raises(StackError, match="has no place for a table: <!-- table compose -->"):
        report.publish([], "compose", "", page)


def test_a_service_that_does_not_run_gets_no_signal(stage: Stage) -> None:
    """Signals to pid 0 reach the group of the sender, and everything is a descendant of pid 0."""
    assert isinstance(stage.runtime, LocalRuntime)
    supervisor = stage.runtime._supervisor(stage.runtime.state())
    supervisor.stop_program("nginx")
    with pytest.raises(StackError, match="nginx does not run"):
        stage.workers("nginx")
    supervisor.start_program("nginx")
    assert stage.wait_until_it_answers(30)


def test_a_full_disk_does_not_end_what_starts_the_services_again(stage: Stage) -> None:
    """A log line that supervisord cannot write was its end, and Redis stayed away for good."""
    assert isinstance(stage.runtime, LocalRuntime)
    pid = stage.runtime.state().supervisor_pid
    limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        os.kill(stage.main("redis"), signal.SIGKILL)
        time.sleep(1.5)  # it has tried to write that Redis ended
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    fields = {"mark": "after", "person": "somebody"}
    # Each worker finds for itself that Redis is back.
    wait_until(lambda: all(ask(stage.address, "/faults/mark", fields)[0] == 200 for _ in range(20)))


@pytest.mark.skipif(not (CHECKOUT / "operate").exists(), reason="operate was left out")
def test_a_deploy_in_the_middle_is_told(stage: Stage) -> None:
    outcome = attempt(replace(FAULTS["worker-kill"], log=("", "")), stage, "deploy")
    assert outcome.swap.startswith("done after ")
    assert outcome.broken == []
    assert "the deploy: done after " in report.cells(outcome)[1]


@pytest.mark.skipif(not (CHECKOUT / "operate").exists(), reason="operate was left out")
@pytest.mark.parametrize("level", ["", "1"])
def test_the_reason_of_a_refused_deploy_is_told(level: str) -> None:
    """Below `make`, which sets MAKELEVEL, errors begin with other words."""
    environ = {**os.environ, "MAKELEVEL": level, "RUNTIME": "local", "STACK_NAME": "no-stack"}
    command = [sys.executable, "-m", "operate", "deploy"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False
    )
    assert why_it_was_refused(done.stderr) == "the stack no-stack is not up: make up"


def test_a_small_disk_is_one_and_goes_away() -> None:
    if why := mount_missing("local"):
        pytest.skip(why)
    disk = mount_small_disk()
    try:
        assert 20e6 < shutil.disk_usage(disk).total < 60e6
    finally:
        unmount_small_disk(disk)
    assert not disk.exists() and not disk.with_suffix(".ext4").exists()


@pytest.mark.skipif(
    not (CHECKOUT / "deploy/observe/alerts.yml").exists(), reason="deploy/observe was left out"
)
def test_each_alert_is_one_of_the_rules() -> None:
    rules = (CHECKOUT / "deploy/observe/alerts.yml").read_text(encoding="utf-8")
    known = set(re.findall(r"^ +- alert: (\w+)$", rules, re.MULTILINE))
    named = {fault.alert for fault in FAULTS.values() if not fault.alert.startswith("none: ")}
    assert named - known == set()
