"""What a running server reports about its options, and where that differs from what was asked.

uWSGI reports its options through its exporter and its log. The others report nothing: their
processes, their command line and the log line in which they listen are read instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import toggles
from lab.plan.servers import Server
from stack import processes

# The settings that uWSGI's exporter reports, by the name of the option.
_REPORTED = {
    "thunder_lock": "STACK_THUNDER_LOCK",
    "lazy_apps": "STACK_LAZY_APPS",
    "processes": "STACK_PROCESSES",
    "threads": "STACK_THREADS",
    "listen": "STACK_LISTEN",
    "harakiri": "STACK_HARAKIRI",
    "max_requests": "STACK_MAX_REQUESTS",
    "max_worker_lifetime": "STACK_MAX_WORKER_LIFETIME",
    "buffer_size": "STACK_BUFFER_SIZE",
    "max_fd": "STACK_MAX_FD",
}

_LISTENING = re.compile(
    r"^.*(?:Listening at|Serving on|Running on|http bound on|uwsgi socket 0).*$", re.MULTILINE
)


def listening(log: str) -> str:
    """The log line in which a server reports its address; "" if there is none."""
    found = _LISTENING.search(log)
    return found[0].strip() if found else ""


# ── uWSGI ───────────────────────────────────────────────────────────────────────────────────────


def uwsgi_options(metrics: str, log: str) -> dict[str, str]:
    """uWSGI's options in force: those of its exporter by their STACK_* name, and those of its log,
    such as `thunder lock (log)` and `workers (log)`."""
    options = {}
    for name, value in re.findall(r'^uwsgi_option\{name="(\w+)"\} (\S+)$', metrics, re.MULTILINE):
        variable = _REPORTED.get(name, "")
        toggle = toggles.TOGGLES.get(variable)
        if toggle is None:
            continue
        switch = isinstance(toggle.kind, toggles.Switch)
        number = int(float(value))
        options[variable] = ("on" if number else "off") if switch else str(number)
    if locks := re.findall(r"^thunder lock: (enabled|disabled)", log, re.MULTILINE):
        options["thunder lock (log)"] = {"enabled": "on", "disabled": "off"}[locks[-1]]
    spawned = re.findall(r"^spawned uWSGI worker (\d+) \(.*cores: (\d+)\)", log, re.MULTILINE)
    if spawned:
        options["workers (log)"] = str(max(int(number) for number, _ in spawned))
        options["threads (log)"] = spawned[-1][1]
    # With a unix socket there is one for TCP besides, for streams.
    if sockets := re.findall(
        r"^uwsgi socket \d+ attached to (INET|UNIX) address", log, re.MULTILINE
    ):
        options["socket (log)"] = "unix" if "UNIX" in sockets else "tcp"
    if versions := re.findall(r"Starting uWSGI (\S+)", log):
        options["version"] = versions[-1]
    return options


# Lines of the log, each by the setting that it must agree with.
_IN_LOG = {
    "thunder lock (log)": "STACK_THUNDER_LOCK",
    "workers (log)": "STACK_PROCESSES",
    "threads (log)": "STACK_THREADS",
    "socket (log)": "STACK_SOCKET",
}


def uwsgi_disagreements(asked: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """A line for each setting that is not in force as it was asked."""
    wrong = []
    for name in _REPORTED.values():
        reported = options.get(name)
        if reported is None:
            wrong.append(f"{name}: asked {asked[name]}, the server does not report it")
        elif reported != asked[name]:
            wrong.append(f"{name}: asked {asked[name]}, the server reports {reported}")
    for reported_as, name in _IN_LOG.items():
        reported = options.get(reported_as)
        # Not every version of uWSGI prints that line for workers with one thread.
        if reported is not None and reported != asked[name]:
            wrong.append(f"{name}: asked {asked[name]}, the server's log reports {reported}")
    return wrong


def uwsgi_by_worker(metrics: str, name: str) -> dict[int, int]:
    """A metric of the exporter, by worker."""
    lines = re.findall(rf'^{name}\{{worker="(\d+)"\}} (\S+)$', metrics, re.MULTILINE)
    return {int(worker): int(float(value)) for worker, value in lines}


# ── The others ──────────────────────────────────────────────────────────────────────────────────


def workers_of(server: Server, main: int) -> list[int]:
    """The processes that answer requests of a server other than uWSGI; *main* is its first."""
    if server.shape in ("threads", "any"):
        return [main]
    family = processes.family(main)
    return sorted(p.pid for p in family if p.parent == main and not _is_helper(p.pid))


def _is_helper(pid: int) -> bool:
    """Whether it is multiprocessing's resource tracker, which granian starts beside its workers."""
    return any("resource_tracker" in word for word in command_line(pid))


def command_line(pid: int) -> list[str]:
    """The arguments of a process; none if it has ended."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return text.rstrip("\0").split("\0")


def other_options(server: Server, main: int, workers: Sequence[int], log: str) -> dict[str, str]:
    """What is visible from outside of a server other than uWSGI.

    Threads are read from the command line: gunicorn and granian start them on demand, and /proc
    does not distinguish them from threads of the app.
    """
    words = command_line(main)
    options = {"workers": str(len(workers)), "command line": " ".join(words)}
    if server.shape == "processes":
        options["threads"] = "1"
    elif server.threads_option in words:
        options["threads"] = words[words.index(server.threads_option) + 1]
    if line := listening(log):
        options["listening"] = line
    return options


def other_disagreements(
    server: Server, asked: Mapping[str, str], options: Mapping[str, str]
) -> list[str]:
    """A line for each count that is not as asked."""
    workers, threads = server.workers_and_threads(asked)
    wrong = []
    if options["workers"] != str(workers):
        wrong.append(f"workers: asked {workers}, {options['workers']} run")
    if threads is not None and options.get("threads") != str(threads):
        wrong.append(f"threads: asked {threads}, the server has {options.get('threads', '?')}")
    if not options.get("listening"):
        wrong.append("listening: the server's log has no line for it")
    return wrong
