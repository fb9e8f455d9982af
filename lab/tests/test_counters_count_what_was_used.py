"""The counters agree with a process's own: CPU time, context switches of all threads, memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.measure import counters

MB = 1 << 20

# Executes each line that it reads, and prints a line when it is done.
SUBJECT = """
import mmap, os, sys, threading, time

def burn(seconds):
    begun = time.process_time_ns()
    end = begun + seconds * 1e9
    while time.process_time_ns() < end:
        pass
    return time.process_time_ns() - begun

def sleeps(times):
    for _ in range(times):
        time.sleep(0.001)

def in_thread(what, *arguments):
    thread = threading.Thread(target=what, args=arguments)
    thread.start()
    return thread

def stay():
    threading.Event().wait()

kept = []
def hold(size, kind):
    mapping = mmap.mmap(-1, size, kind | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096):
        mapping[at] = 1
    kept.append(mapping)

def fork():
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        # A shared page counts for a process once it has read it.
        for mapping in kept:
            for at in range(0, len(mapping), 4096):
                mapping[at]
        os.write(tell, b"!")
        while os.getppid() == parent:
            time.sleep(0.01)
        os._exit(0)
    os.read(told, 1)
    return pid
parent = os.getpid()

print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Subject:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process

    def do(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def read(self) -> counters.Reading:
        return counters.read({"app": [self.pid]})


@contextmanager
def a_process() -> Iterator[Subject]:
    with subprocess.Popen(
        [sys.executable, "-c", SUBJECT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield Subject(process)
        finally:
            process.kill()


@pytest.fixture
def subject() -> Iterator[Subject]:
    with a_process() as started:
        yield started


def test_cpu_time_is_the_processes_own(subject: Subject) -> None:
    before = subject.read()
    burnt_ns = int(subject.do("burn(0.3)"))
    used = counters.used(before, subject.read())
    assert used.cpu_ns["app"] == pytest.approx(burnt_ns, rel=0.03)
    assert used.clock >= 0.3


def test_switches_of_a_thread_that_is_not_the_main_one(subject: Subject) -> None:
    subject.do("in_thread(lambda: [sleeps(1), begin.wait(), sleeps(200), stay()])"
               " if not globals().update(begin=threading.Event()) else 0")  # fmt: skip
    before = subject.read()
    subject.do("begin.set() or sleeps(300)")
    used = counters.used(before, subject.read())
    # 200 of the thread, 300 of the main thread, and a few for their common lock.
    assert 500 <= used.voluntary["app"] <= 600


def test_preemptions_are_counted_separately() -> None:
    """Two busy processes on one CPU preempt each other and never yield."""
    cpu = min(os.sched_getaffinity(0))
    with a_process() as one, a_process() as other:
        for each in (one, other):
            each.do(f"os.sched_setaffinity(0, [{cpu}])")
        pids = {"app": [one.pid, other.pid]}
        before = counters.read(pids)
        other.do("in_thread(burn, 0.3) and None")
        one.do("burn(0.3)")
        used = counters.used(before, counters.read(pids))
    assert used.involuntary["app"] >= 5


def test_services_are_counted_separately() -> None:
    with a_process() as busy, a_process() as idle:
        pids = {"app": [busy.pid], "nginx": [idle.pid]}
        before = counters.read(pids)
        busy.do("burn(0.1)")
        used = counters.used(before, counters.read(pids))
    assert used.cpu_ns["app"] >= 0.1e9
    assert used.cpu_ns["nginx"] < 0.01e9


def test_an_ended_process_is_reported_and_not_subtracted() -> None:
    with a_process() as stays, a_process() as ends:
        pids = {"app": [stays.pid, ends.pid]}
        ends.do("burn(0.1)")
        before = counters.read(pids)
        burnt_ns = int(stays.do("burn(0.1)"))
        ends.end()
        after = counters.read(pids)
        used = counters.used(before, after)
    assert before.lost == ()
    assert after.lost == used.lost == (ends.pid,)
    assert used.cpu_ns["app"] == pytest.approx(burnt_ns, rel=0.1)
    assert used.voluntary["app"] >= 0


def test_a_new_process_counts_in_full(subject: Subject) -> None:
    before = subject.read()
    with a_process() as new:
        burnt_ns = int(new.do("burn(0.1)"))
        used = counters.used(before, counters.read({"app": [subject.pid, new.pid]}))
    assert used.cpu_ns["app"] >= burnt_ns
    assert used.lost == ()


def test_a_thread_that_ended_leaves_no_negative_count(subject: Subject) -> None:
    subject.do("in_thread(lambda: [sleeps(100), end.wait()])"
               " if not globals().update(end=threading.Event()) else 0")  # fmt: skip
    subject.do("sleeps(200)")
    before = subject.read()
    subject.do("end.set() or sleeps(20)")
    used = counters.used(before, subject.read())
    assert before.voluntary["app"] >= 300
    assert 20 <= used.voluntary["app"] < 100


def test_shared_memory_is_halved_and_not_private(subject: Subject) -> None:
    size = 64 * MB
    empty = counters.memory([subject.pid])
    subject.do(f"hold({size}, mmap.MAP_SHARED)")
    alone = counters.memory([subject.pid])
    assert alone.pss_bytes - empty.pss_bytes == pytest.approx(size, rel=0.05)
    assert alone.uss_bytes - empty.uss_bytes == pytest.approx(size, rel=0.05)
    child = int(subject.do("fork()"))
    one, both = counters.memory([subject.pid]), counters.memory([subject.pid, child])
    # Python's own few MB are shared by the fork as well.
    assert alone.pss_bytes - one.pss_bytes == pytest.approx(size / 2, abs=8 * MB)
    assert both.pss_bytes == pytest.approx(alone.pss_bytes, abs=8 * MB)
    assert both.uss_bytes < size / 4


def test_unshared_memory_is_private(subject: Subject) -> None:
    before = counters.memory([subject.pid])
    subject.do(f"hold({32 * MB}, mmap.MAP_PRIVATE)")
    after = counters.memory([subject.pid])
    assert after.uss_bytes - before.uss_bytes == pytest.approx(32 * MB, rel=0.05)


def test_an_ended_process_has_no_memory() -> None:
    with a_process() as subject:
        subject.end()
        assert counters.memory([subject.pid]) == counters.Memory(0, 0)


def test_balance_is_the_coefficient_of_variation() -> None:
    assert counters.balance({1: 10, 2: 10}, {1: 60, 2: 60}) == 0
    assert counters.balance({1: 0, 2: 0}, {1: 100, 2: 0}) == pytest.approx(1)
    assert counters.balance({}, {1: 400, 2: 0, 3: 0, 4: 0}) == pytest.approx(3**0.5)
    # Worker 2 was restarted: its old count is not subtracted from the new one.
    assert counters.balance({1: 50, 2: 500}, {1: 150, 2: 100}) == 0


def test_balance_without_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="no worker has served"):
        counters.balance({1: 5, 2: 7}, {1: 5, 2: 7})
