"""Faults of the machine: full disks, a clock that jumps, no more descriptors, another engine."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import cast

from faults.fault import BrokenPromise, Fault
from faults.stage import Stage, mount_small_disk, unmount_small_disk
from faults.users import ask
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError

# ── Disks ───────────────────────────────────────────────────────────────────────────────────────


def mount_missing(_: str) -> str | None:
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    try:
        unmount_small_disk(mount_small_disk())
    except StackError as error:
        return str(error)
    return None


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """Fill the disk with all files of the copy; in containers with those of Redis and the app.

    There logs are on the engine's disk, and temporary files in the container's own tmpfs.
    """
    filler = stage.disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    try:
        with full_tmpfs(stage) if stage.kind == "compose" else nullcontext():
            yield
    finally:
        filler.unlink()


@contextmanager
def full_tmpfs(stage: Stage) -> Iterator[None]:
    with (
        filled(stage, "nginx", "/tmp/filler"),  # noqa: S108
        filled(stage, "nginx", "/var/tmp/filler"),  # noqa: S108
        filled(stage, "app", "/tmp/filler"),  # noqa: S108
    ):
        yield


@contextmanager
def full_tmpfs_and_uploads(stage: Stage) -> Iterator[None]:
    """Fill them, and send what nginx writes into a file: a body of more than 16 kB."""
    fields = {"mark": "upload", "person": "nobody", "file": "x" * 65536}

    def upload() -> int:
        return ask(stage.address, "/faults/mark", fields)[0]

    with full_tmpfs(stage):
        during = upload()
        yield
    after = upload()
    stage.notes.append(f"an upload of 64 kB got {during}, and {after} afterwards")
    if (during, after) != (500, 200):
        raise BrokenPromise(stage.notes[-1])


@contextmanager
def filled(stage: Stage, service: str, file: str) -> Iterator[None]:
    stage.shell(service, f"dd if=/dev/zero of={file} bs=4k")
    try:
        yield
    finally:
        stage.shell(service, f"rm {file}")


# ── Descriptors ─────────────────────────────────────────────────────────────────────────────────


# Only the user of a service may change its limits: root has no right to inside a container. Each
# line that it prints is a pid and the limit so far.
LOWER = """for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [ "$pid" = $$ ] || echo "$pid $(prlimit --pid "$pid" --nofile --output SOFT --noheadings --raw)"
    [ "$pid" = $$ ] || prlimit --pid "$pid" --nofile=3:
done"""
# Of a process that was started meanwhile, and inherited the low limit: that of the first one.
RAISE = """for process in /proc/[0-9]*; do
    pid=${{process#/proc/}}
    case $pid in
        {cases}
        *) limit={first} ;;
    esac
    [ "$pid" = $$ ] || prlimit --pid "$pid" --nofile=$limit:
done"""


def no_descriptors(service: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """Set the limit of every process of *service* below what it has open, and back."""

    @contextmanager
    def in_container(stage: Stage) -> Iterator[None]:
        lines = map(str.split, stage.shell(service, LOWER).splitlines())
        limits = {line[0]: line[1] for line in lines if len(line) == 2}
        if not limits:
            raise StackError(f"the limits of {service} cannot be read")
        try:
            yield
        finally:
            cases = " ".join(f"{pid}) limit={limit} ;;" for pid, limit in limits.items())
            stage.shell(service, RAISE.format(cases=cases, first=next(iter(limits.values()))))

    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        if stage.kind == "compose":
            with in_container(stage):
                yield
            return
        limits = {}
        for pid in stage.family(service):
            with suppress(ProcessLookupError):  # it has ended
                limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[pid][1]))
        if not limits:
            raise StackError(f"{service} has no process whose limits can be set")
        try:
            yield
        finally:
            for pid in stage.family(service):
                # A process that was started meanwhile inherited the low limit.
                limit = limits.get(pid) or next(iter(limits.values()))
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)

    return strike


# ── Clock ───────────────────────────────────────────────────────────────────────────────────────


def clock_missing(_: str) -> str | None:
    return None if shutil.which("cc") else "there is no C compiler (Debian: apt-get install gcc)"


def jump(offset: str) -> Callable[[Stage], AbstractContextManager[None]]:
    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        stage.set_clock(offset)
        try:
            yield
        finally:
            stage.set_clock("0")

    return strike


# ── Engine ──────────────────────────────────────────────────────────────────────────────────────


def engine_missing(_: str) -> str | None:
    if not os.environ.get("ENGINE_RESTART"):
        return (
            "set ENGINE_RESTART to the command that restarts the engine here, such as "
            "`systemctl restart docker`"
        )
    return None


@contextmanager
def restarted_engine(stage: Stage) -> Iterator[None]:
    mine = {container.id for container in cast("ComposeRuntime", stage.runtime).replicas()}
    listed = subprocess.run(
        ["docker", "ps", "--quiet", "--no-trunc"], capture_output=True, text=True, check=True
    )
    if others := set(listed.stdout.split()) - mine:
        raise BrokenPromise(f"not tried: {len(others)} containers of others run on this engine")
    subprocess.run(["sh", "-c", os.environ["ENGINE_RESTART"]], check=True, timeout=180)
    yield


FAULTS = (
    Fault(
        "disk-full",
        "the disk (an ext4) is full for 5 s: Redis' file, the app's, temporary files; locally logs",
        full_disk,
        ("redis", r"AOF write error|No space left on device"),
        "RedisDown",
        hold_s=5,
        within_s=30,
        small_disk=True,
        missing=mount_missing,
    ),
    Fault(
        "tmpfs-full",
        "the temporary file systems of nginx and the app are full for 5 s",
        full_tmpfs_and_uploads,
        ("nginx", r"No space left on device"),
        "none: only uploads fail; ServerErrors if they are more than 2 % of all requests",
        hold_s=5,
        runtimes=("compose",),
    ),
    *(
        Fault(
            f"{service}-descriptors",
            f"no process of {service} may open another file, for 5 s",
            no_descriptors(service),
            (service if log else "", log),
            alert,
            hold_s=5,
            within_s=30,
        )
        for service, log, alert in (
            # It accepts nobody, and its clock of a request begins with the request's head.
            ("nginx", r"Too many open files", "NginxDown"),
            ("app", "", "SlowRequests"),
            ("redis", "", "none: connections that are open go on"),
        )
    ),
    *(
        Fault(
            f"clock-{name}",
            f"the clock jumps by {offset[0]}1 h for 10 s, and back",
            jump(offset),
            ("", ""),
            "none: no request fails",
            hold_s=10,
            settings={"STACK_SESSION_IDLE": "14400"},
            clock=True,
            missing=clock_missing,
        )
        for name, offset in (("forward", "+3600"), ("back", "-3600"))
    ),
    Fault(
        "engine-restart",
        "the container engine is restarted",
        restarted_engine,
        ("app", r"generation 1 serves|uwsgi/entrypoint: "),
        "NginxDown",
        within_s=120,
        runtimes=("compose",),
        missing=engine_missing,
        on_request=True,
    ),
)
