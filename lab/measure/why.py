"""WHY=1: where the cost of an arm comes from. It is measured after the trials and apart from them.

Each arm runs alone and gets the requests of the primary load three times: unobserved, for context
switches and page faults; under strace, which counts system calls and slows each of them; and under
a profiler, py-spy where it is installed (Python functions), else perf (functions of C).
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.measure import counters
from stack import processes, programs

# Requests, in the order above. A system call under strace takes some 50 µs.
PLAIN, TRACED, PROFILED = 600, 200, 1500
# Calls with which a thread waits for a lock of its process (futex) or of all of them.
LOCKS = ("futex", "semop", "semtimedop", "flock", "fcntl")
# System calls that the report lists, those that differ most.
MOST_CALLS = 15
_ATTACH_S = 1.0
_PATIENCE_S = 30.0
_HERTZ = 499
_STRACE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)

# Sends that many requests and returns how many were sent.
Send = Callable[[int], int]


def explain(pids: Mapping[str, Sequence[int]], send: Send) -> dict[str, Any]:
    """What a request of the processes *pids* does: figures per request, and folded stacks.

    missing: a sentence for each part that this machine cannot show.
    """
    app = list(pids["app"])
    before, faults = counters.read(pids), page_faults(app)
    sent = send(PLAIN)
    used = counters.used(before, counters.read(pids))
    found: dict[str, Any] = {
        "per_request": {
            "voluntary context switches (it waited)": used.voluntary["app"] / sent,
            "involuntary context switches (it was preempted)": used.involuntary["app"] / sent,
            **{
                name: (after - then) / sent
                for (name, then), after in zip(
                    faults.items(), page_faults(app).values(), strict=True
                )
            },
        },
        "calls": {},
        "stacks": {},
        "missing": [],
    }
    for part, measure in (("calls", _calls), ("stacks", _stacks)):
        try:
            found[part] = measure(app, send)
        except NotShown as error:
            found["missing"].append(str(error))
    if found["calls"]:
        locks = sum(found["calls"].get(name, 0.0) for name in LOCKS)
        found["per_request"]["system calls"] = sum(found["calls"].values())
        found["per_request"][f"waits for locks ({', '.join(LOCKS)})"] = locks
    return found


class NotShown(Exception):
    """The text says what this machine cannot show, and why."""


def page_faults(pids: Iterable[int]) -> dict[str, int]:
    """Minor and major page faults of the processes so far."""
    minor = major = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
            minor += int(fields.split()[7])
            major += int(fields.split()[9])
    return {"page faults": minor, "page faults that read a disk": major}


def _calls(pids: Sequence[int], send: Send) -> dict[str, float]:
    """System calls per request, by name."""
    strace = programs.which("strace")
    if strace is None:
        raise NotShown("System calls are not counted: strace is not installed.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "calls")
        attach = [word for pid in pids for word in ("-p", str(pid))]
        command = [strace, "-c", "-f", "-o", str(file), *attach]
        with attached(command, "System calls", traced=pids):
            sent = send(TRACED)
        return parse_strace(file.read_text(encoding="utf-8"), sent)


def parse_strace(text: str, sent: int) -> dict[str, float]:
    """The calls per request in the table of ``strace -c``."""
    found = {name: int(calls) / sent for calls, name in _STRACE.findall(text) if name != "total"}
    if not found:
        raise NotShown("System calls are not counted: strace saw none.")
    return found


def _stacks(pids: Sequence[int], send: Send) -> dict[str, int]:
    """Samples by stack, its frames joined by semicolons, the outermost first."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples")
        if (spy := shutil.which("py-spy")) is not None:
            stacks: Counter[str] = Counter()
            command = [spy, "record", "--native", "-f", "raw", "-r", str(_HERTZ), "-d", "600"]
            with attached([*command, "-s", "-o", str(file), "-p", str(first(pids))], "A profile"):
                send(PROFILED)
            for line in file.read_text(encoding="utf-8").splitlines():
                stack, _, count = line.rpartition(" ")
                stacks[stack] += int(count)
            return dict(stacks)
        perf = programs.which("perf")
        if perf is None:
            raise NotShown("There is no profile: neither py-spy nor perf is installed.")
        record = [perf, "record", "-q", "-e", "cpu-clock", "-F", str(_HERTZ), "-g"]
        chosen = ",".join(map(str, pids))
        with attached([*record, "-o", str(file), "-p", chosen], "A profile"):
            send(PROFILED)
        shown = subprocess.run(
            [perf, "script", "-i", str(file), "-F", "comm,ip,sym"],
            capture_output=True, text=True, check=False, timeout=4 * _PATIENCE_S,
        )  # fmt: skip
        return parse_perf(shown.stdout)


def first(pids: Iterable[int]) -> int:
    """The process that started the others. Pids do not tell: the kernel begins again at 300."""
    living = {process.pid: process for pid in pids if (process := processes.find(pid))}
    for process in living.values():
        if process.parent not in living:
            return process.pid
    raise NotShown("There is no profile: the processes have ended.")


def parse_perf(text: str) -> dict[str, int]:
    """The stacks of ``perf script -F comm,ip,sym``, folded."""
    stacks: Counter[str] = Counter()
    for sample in text.split("\n\n"):
        lines = sample.strip("\n").splitlines()
        frames = [line.split(None, 1)[1].strip() for line in lines[1:] if len(line.split()) > 1]
        # Without frame pointers perf cannot name each caller; those between stay.
        frames = [frame for frame in frames if frame != "[unknown]"]
        if frames:
            stacks[";".join([lines[0].strip(), *reversed(frames)])] += 1
    if not stacks:
        raise NotShown("There is no profile: perf recorded no sample (it may need root).")
    return dict(stacks)


@contextmanager
def attached(command: Sequence[str], what: str, traced: Sequence[int] = ()) -> Iterator[None]:
    """Run *command* around the block, and end it by SIGINT. Raises NotShown if it fails.

    *traced*: the processes that it has to trace before the block begins.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            time.sleep(_ATTACH_S)
            deadline = time.monotonic() + _PATIENCE_S
            while not all(map(_is_traced, traced)) and time.monotonic() < deadline:
                if process.poll() is not None:
                    break
                time.sleep(0.05)
            if process.poll() is not None:
                raise _failed(what, command[0], process)
            yield
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            text = f"{what} cannot be shown: {Path(command[0]).name} did not end"
            raise NotShown(text) from None
        finally:
            if process.poll() is None:
                process.kill()


def _is_traced(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True  # it has ended
    return "\nTracerPid:\t0\n" not in status


def _failed(what: str, program: str, process: subprocess.Popen[str]) -> NotShown:
    lines = process.communicate()[1].strip().splitlines()
    reason = lines[-1] if lines else "nothing"
    return NotShown(f"{what} cannot be shown: {Path(program).name} reports {reason!r}.")
