"""Faults of the app server: workers that die, hang, loop or eat memory, and a full queue."""

from __future__ import annotations

import http.client
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from faults.fault import BrokenPromise, Fault
from faults.stage import HARAKIRI_S, Stage
from faults.users import ask

# uWSGI's master looks once a second, and so does whoever waits here.
LATE_S = 6.0


@contextmanager
def killed_worker(stage: Stage) -> Iterator[None]:
    os.kill(stage.workers()[0], signal.SIGKILL)
    yield


@contextmanager
def killed_workers(stage: Stage) -> Iterator[None]:
    for pid in stage.workers():
        os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def killed_app(stage: Stage) -> Iterator[None]:
    os.kill(stage.main("app"), signal.SIGKILL)
    yield


@contextmanager
def killed_nginx_worker(stage: Stage) -> Iterator[None]:
    os.kill(stage.workers("nginx")[0], signal.SIGKILL)
    yield


def stuck(path: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """Send one request that never ends, and wait until its worker is replaced."""

    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        before = set(stage.workers())
        begun = time.monotonic()
        outcomes: list[str] = []
        asking = threading.Thread(target=lambda: outcomes.append(outcome_of(stage, path)))
        asking.start()
        yield
        while before <= set(stage.workers()):
            if time.monotonic() - begun > HARAKIRI_S + LATE_S:
                asking.join()
                raise BrokenPromise(
                    f"the worker still runs after {HARAKIRI_S + LATE_S:.0f} s; the request: "
                    f"{outcomes[0]}"
                )
            time.sleep(0.1)
        stage.notes.append(f"the worker was replaced after {time.monotonic() - begun:.1f} s")
        asking.join()
        stage.notes.append(f"the request that hung: {outcomes[0]}")

    return strike


def outcome_of(stage: Stage, path: str, timeout: float = 60.0) -> str:
    """Return a status, or how the request failed, for the notes."""
    try:
        return str(ask(stage.address, path, timeout=timeout, client="198.51.100.1")[0])
    except TimeoutError:
        return "no answer"
    except (OSError, http.client.HTTPException):
        return "connection broken"


@contextmanager
def full_queue(stage: Stage) -> Iterator[None]:
    """Occupy every thread, and send more requests than fit into the queue."""
    busy = 8 + 16
    with ThreadPoolExecutor(300) as pool:
        sent = [
            pool.submit(outcome_of, stage, f"/faults/sleep?seconds={HARAKIRI_S - 1}")
            for _ in range(busy + 250)
        ]
        yield
        outcomes = Counter(one.result() for one in sent)
    said = ", ".join(f"{number} with {outcome}" for outcome, number in outcomes.most_common())
    stage.notes.append(f"of {busy + 250} slow requests at once: {said}")


# ── Memory ──────────────────────────────────────────────────────────────────────────────────────

LIMIT = 256 << 20


def memory_missing(kind: str) -> str | None:
    if kind == "compose":
        return None
    try:
        group, _ = _new_group("probe")
        group.rmdir()
    except OSError as error:
        return f"no control group for memory can be made here ({error.strerror})"
    return None


def _new_group(name: str) -> tuple[Path, str]:
    """Make a control group below this process's; return it and the name of its limit's file."""
    text = Path("/proc/self/cgroup").read_text(encoding="ascii")
    if old := re.search(r"^\d+:memory:/(.*)$", text, re.M):
        parent, limit = Path("/sys/fs/cgroup/memory", old[1]), "memory.limit_in_bytes"
    else:
        found = re.search(r"^0::/(.*)$", text, re.M)
        parent, limit = Path("/sys/fs/cgroup", found[1] if found else ""), "memory.max"
    group = parent / f"faults-{os.getpid()}-{name}"
    group.mkdir()
    if not (group / limit).exists():
        group.rmdir()
        raise OSError(0, "the memory controller is off")
    return group, limit


@contextmanager
def limited_memory(stage: Stage) -> Iterator[None]:
    """Give a local app the limit that a container has."""
    if stage.kind == "compose":
        yield
        return
    group, limit = _new_group("app")
    (group / limit).write_text(str(LIMIT), encoding="ascii")
    members, outside = group / "cgroup.procs", group.parent / "cgroup.procs"
    for process in stage.family("app"):
        members.write_text(str(process), encoding="ascii")
    try:
        yield
    finally:
        for pid in members.read_text(encoding="ascii").split():
            outside.write_text(pid, encoding="ascii")
        group.rmdir()


@contextmanager
def eaten_memory(stage: Stage) -> Iterator[None]:
    """Let three workers at once allocate until the kernel ends them, three times."""
    with limited_memory(stage):
        before = set(stage.workers())
        yield
        for _ in range(3):
            with ThreadPoolExecutor(3) as pool:
                eaters = [pool.submit(outcome_of, stage, "/faults/eat") for _ in range(3)]
            outcomes = [eater.result() for eater in eaters]
            if not stage.wait_until_it_answers(20):
                raise BrokenPromise("no worker answers any more (uwsgi#2461)")
        killed = before - set(stage.workers())
        if not killed:
            raise BrokenPromise(f"no worker was killed: {outcomes}")
        stage.notes.append(f"after three rounds, {len(killed)} of {len(before)} workers are new")


# The second is of a generation that drains: its master looks no more, and the worker ends itself.
HARAKIRI = r"HARAKIRI ON WORKER \d+|a request has run for \d+ s"

FAULTS = (
    Fault(
        "worker-kill",
        "SIGKILL to one worker",
        killed_worker,
        ("app", r"DAMN ! worker \d+ \(pid: \d+\) died"),
        "WorkersDie",
    ),
    Fault(
        "workers-kill",
        "SIGKILL to all workers at once, while they wait for the lock",
        killed_workers,
        ("app", r"DAMN ! worker \d+ \(pid: \d+\) died"),
        "WorkersDie",
    ),
    Fault(
        "worker-memory",
        "workers allocate until the kernel kills them, three at once, three times",
        eaten_memory,
        ("app", r"DAMN ! worker \d+ \(pid: \d+\) died, killed by signal 9"),
        "WorkersDie",
        within_s=20,
        settings={"APP_MEMORY": "256m"},
        missing=memory_missing,
    ),
    Fault(
        "worker-sleep",
        "a request that waits without end",
        stuck("/faults/sleep?seconds=86400"),
        ("app", HARAKIRI),
        "Harakiri",
    ),
    Fault(
        "worker-loop",
        "a request that computes without end",
        stuck("/faults/loop"),
        ("app", HARAKIRI),
        "Harakiri",
    ),
    Fault(
        "queue-overflow",
        "slow requests occupy all threads and fill the queue (STACK_LISTEN=16)",
        full_queue,
        ("nginx", r"connect\(\) to unix:\S+ failed \(11: Resource temporarily unavailable\)"),
        "QueueGrows",
        within_s=15,
        settings={"STACK_LISTEN": "16"},
    ),
    Fault(
        "app-kill",
        "SIGKILL to the app's main process, uwsgi/entrypoint",
        killed_app,
        ("app", r"generation 1 serves|spawned uWSGI master process|uwsgi/entrypoint: "),
        "ServerErrors",
        within_s=30,
    ),
    Fault(
        "nginx-kill",
        "SIGKILL to a worker of nginx",
        killed_nginx_worker,
        ("nginx", r"worker process \d+ exited on signal 9"),
        "none: nginx replaces it within milliseconds",
    ),
)
