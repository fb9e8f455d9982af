"""WHY=1: system calls, page faults and stacks are read as the tools print them, and drawn."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.measure import why
from lab.report import page
from lab.report.data import RunData
from lab.report.pictures import flame
from stack.processes import Process

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.006000          15       400       100 futex
 40.00    0.004000          10       200           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.010000          16       600       100 total
"""

PERF = """\
uwsgi
\t    7f01 PyEval_EvalFrameDefault
\t    7f04 [unknown]
\t    7f02 main

uwsgi
\t    7f03 malloc
\t    7f02 main
"""


def test_the_table_of_strace_becomes_calls_per_request() -> None:
    assert why.parse_strace(STRACE, 200) == {"futex": 2.0, "epoll_wait": 1.0}
    with pytest.raises(why.NotShown, match="strace saw none"):
        why.parse_strace("", 1)


def test_the_samples_of_perf_become_folded_stacks() -> None:
    assert why.parse_perf(PERF) == {
        "uwsgi;main;PyEval_EvalFrameDefault": 1,
        "uwsgi;main;malloc": 1,
    }


def test_a_program_that_cannot_attach_is_named(tmp_path: Path) -> None:
    script = tmp_path / "strace"
    script.write_text("#!/bin/sh\necho 'attach: Operation not permitted' >&2\nexit 1\n")
    script.chmod(0o755)
    said = r"strace reports 'attach: Operation not permitted'"
    with pytest.raises(why.NotShown, match=said), why.attached([str(script)], "System calls"):
        pytest.fail("it has ended")


def test_the_profile_is_of_the_first_process_whatever_its_pid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pids begin again after the largest one: a worker may have a smaller pid than its master."""
    parents = {301: 32_767, 302: 32_767, 400: 301, 32_767: 1}
    living = {pid: Process(pid, parent, 1, 1, 1) for pid, parent in parents.items()}
    monkeypatch.setattr(why.processes, "find", living.get)
    assert why.first([301, 302, 400, 32_767]) == 32_767
    with pytest.raises(why.NotShown, match="have ended"):
        why.first([999])


def test_page_faults_of_a_process_are_counted() -> None:
    # Fresh pages: an allocation may reuse memory that this process has.
    with mmap.mmap(-1, 500 * mmap.PAGESIZE) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        before = why.page_faults([os.getpid()])["page faults"]
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1
        assert why.page_faults([os.getpid()])["page faults"] >= before + 500


def test_what_a_program_does_is_found_or_named_as_missing() -> None:
    """A real process, each of whose requests is a line through a pipe."""
    code = "import os, sys\nfor line in sys.stdin: os.write(1, b'%d\\n' % sum(range(2000)))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pipe, answers = process.stdin, process.stdout

        def send(requests: int) -> int:
            for _ in range(requests):
                pipe.write("x\n")
                pipe.flush()
                answers.readline()
            return requests

        send(1)
        found = why.explain({"app": [process.pid]}, send)
        pipe.close()
    # On a busy machine the next line is often there before the process waits for it.
    switches = [value for name, value in found["per_request"].items() if "switches" in name]
    assert len(switches) == 2
    assert sum(switches) > 0.01
    shown = [bool(found["calls"]), bool(found["stacks"])]
    assert shown.count(False) == len(found["missing"])
    if found["calls"]:
        assert 0.9 < found["calls"]["write"] < 1.1


def frames(**counts: int) -> dict[str, Any]:
    stacks = {f"uwsgi;main;{name}": count for name, count in counts.items()}
    return {
        "per_request": {"page faults": 1.5, "system calls": 20.0},
        "calls": {"futex": 2.0},
        "stacks": stacks,
        "missing": [] if stacks else ["There is no profile: neither py-spy nor perf is installed."],
    }


def test_the_report_shows_calls_and_a_flame_graph_of_each_arm(
    lock: tuple[Path, dict[str, Any]],
) -> None:
    run = RunData.read(lock[0])
    names = [arm["name"] for arm in run.plan.arms]
    run = replace(run, why={names[0]: frames(old=5, same=5), names[1]: frames()})
    (picture,) = flame.draw(run)
    html = page.render(run, [picture])
    assert "What a request does" in html
    assert "futex()" in html
    assert "neither py-spy nor perf is installed" in html
    assert names[0] in picture.title
    assert "old 50%" in picture.alt
    assert ">same<" in picture.svg


def test_a_new_frame_is_orange_and_a_smaller_one_blue() -> None:
    new, old = flame.tree({"a;b": 9, "a;c": 1}), flame.tree({"a;b": 5, "a;c": 5})
    assert new.below["a"].below["b"].share == 0.9
    orange, blue = flame.colour(0.4), flame.colour(-0.4)
    assert orange[0] > orange[2]
    assert blue[2] > blue[0]
    assert old.below["a"].share == 1.0
