"""The number of parallel hashes is limited over all processes; more are refused."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from app.security.hashing import NICENESS, HashingBusy, HashingGate, at_low_priority

CONTEXT = multiprocessing.get_context("fork")


def gate(folder, slots=2, patience=0.2):
    found = HashingGate("test", slots=slots, patience=patience)
    found.folder = folder / found.folder.name
    return found


def _hold(folder, held, let_go):
    with gate(folder)():
        held.set()
        let_go.wait(30)


def holder(folder):
    held, let_go = CONTEXT.Event(), CONTEXT.Event()
    process = CONTEXT.Process(target=_hold, args=(folder, held, let_go), daemon=True)
    process.start()
    assert held.wait(30)
    return process, let_go


@pytest.mark.parametrize(("cores", "slots"), [(1, 1), (2, 1), (16, 15), (200, 15)])
def test_one_core_is_left_and_their_memory_is_bounded(monkeypatch, cores, slots):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert HashingGate("test").slots == slots


def test_processes_share_the_slots(tmp_path):
    holders = [holder(tmp_path) for _ in range(2)]
    with pytest.raises(HashingBusy), gate(tmp_path)():
        pass
    holders[0][1].set()
    holders[0][0].join()
    with gate(tmp_path)():
        pass
    holders[1][1].set()
    holders[1][0].join()


def test_a_killed_process_gives_its_slot_back(tmp_path):
    process, _ = holder(tmp_path)
    only = gate(tmp_path, slots=1)
    with pytest.raises(HashingBusy), only():
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with only():
        pass


def test_who_finds_no_room_to_wait_is_refused_at_once(tmp_path):
    ours = gate(tmp_path, slots=1, patience=20)
    answers = []

    def ask():
        started = time.monotonic()
        try:
            with ours():
                answers.append("in")
        except HashingBusy:
            answers.append(time.monotonic() - started)

    with ours():
        waiting = [threading.Thread(target=ask) for _ in range(ours.room)]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)
        ask()
        assert len(answers) == 1 and answers[0] < 5, "waited although there was no room"
    for thread in waiting:
        thread.join()
    assert answers[1:] == ["in"] * ours.room


def test_threads_never_exceed_the_slots(tmp_path):
    ours = gate(tmp_path, slots=2, patience=20)
    ours.room = 100
    running, most = 0, 0
    lock = threading.Lock()

    def work():
        nonlocal running, most
        with ours():
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"hashing-test-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="nobody else may write"), gate(tmp_path)():
        pass


def test_a_hash_yields_to_everything_else():
    def where():
        return threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    thread, nice = at_low_priority(where)
    assert nice == NICENESS
    assert thread != threading.get_native_id()
    # One that is left while the app loads would keep uWSGI from forking its workers.
    assert not [one for one in threading.enumerate() if one.name.startswith("hashing")]


def test_a_forked_worker_has_a_thread_of_its_own():
    at_low_priority(os.getpid)
    child = CONTEXT.Process(target=_hash_in_the_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0


def _hash_in_the_child():
    assert at_low_priority(os.getpid) == os.getpid()
