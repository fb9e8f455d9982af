"""The servers that can host the app of an arm, and what each of them says it runs.

All stand behind the same nginx and get the same number of request slots, processes times threads.
Those that speak HTTP get nginx's connections with keep-alive offered; `keep_alive` says what they
make of it, because comparisons that leave that open compare connections and not servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import toggles
from stack import processes
from stack.local.runtime import UWSGI, AppServer

SERVERS_FOLDER = "lab/servers"
HTTP_NGINX = f"{SERVERS_FOLDER}/nginx"

# Settings of uWSGI that another server has only where its `knows` says so. It would ignore the
# others in silence, and a comparison that believes in them would be wrong.
NOT_EVERYWHERE = (
    "STACK_THUNDER_LOCK",
    "STACK_LAZY_APPS",
    "STACK_MAX_REQUESTS",
    "STACK_MAX_WORKER_LIFETIME",
    "STACK_MAX_FD",
)

# The settings whose values uWSGI itself reports, by the name of its option.
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


@dataclass(frozen=True)
class Server:
    """A server by its name in experiments.

    *note* is what else a reader of a comparison must know: when it loads the app, above all.
    *shape* says what becomes of processes and threads: ``as asked``, ``processes`` (a process for
    each slot) or ``threads`` (one process, a thread for each slot; ``any`` number of them for a
    server that cannot be told). *threads_option* is where its command line names its threads.
    """

    name: str
    program: AppServer
    keep_alive: str
    note: str
    shape: str = "as asked"
    threads_option: str = ""
    knows: frozenset[str] = frozenset()

    @property
    def speaks(self) -> str:
        return self.program.speaks

    @property
    def is_uwsgi(self) -> bool:
        """Whether it has uWSGI's metrics, options and log."""
        return self.name.startswith("uwsgi")

    def command(self) -> str:
        """The command line that starts it, as its executable has it."""
        text = Path(__file__).resolve().parents[2].joinpath(self.program.entrypoint).read_text()
        found = re.search(r"^exec .*(?:\n[ \t].*)*", text, re.MULTILINE)
        if found is None:
            return "uwsgi --ini uwsgi/uwsgi.ini"
        return re.sub(r"\s*\\\n\s*", " ", found[0]).removeprefix("exec ")

    def workers_and_threads(self, values: Mapping[str, str]) -> tuple[int, int | None]:
        """How many worker processes and threads of each these toggles ask for; None: no limit."""
        each, threads = int(values["STACK_PROCESSES"]), int(values["STACK_THREADS"])
        if self.shape == "processes":
            return each * threads, 1
        if self.shape == "threads":
            return 1, each * threads
        if self.shape == "any":
            return 1, None
        return each, threads

    def deaf_to(self, settings: Mapping[str, str]) -> list[str]:
        """Those of an arm's settings that it would ignore."""
        if self.is_uwsgi:
            return []
        return [name for name in NOT_EVERYWHERE if name in settings and name not in self.knows]


def _http(name: str) -> AppServer:
    return AppServer(f"{SERVERS_FOLDER}/{name}", HTTP_NGINX, "http")


SERVERS: Mapping[str, Server] = {
    server.name: server
    for server in (
        Server(
            "uwsgi",
            UWSGI,
            "none: nginx's uwsgi_pass opens a connection for each request",
            "loads the app before the fork",
        ),
        Server(
            "uwsgi-http",
            _http("uwsgi-http"),
            "nginx to router yes (30 s), router to workers a connection for each request",
            "uwsgi.ini with http in the place of socket; the router's work counts as the app's",
        ),
        Server(
            "uwsgi-http-socket",
            _http("uwsgi-http-socket"),
            "none: it closes after each response",
            "uwsgi.ini with http-socket in the place of socket",
        ),
        Server(
            "gunicorn-sync",
            _http("gunicorn-sync"),
            "none: it closes after each response",
            "no threads: a process for each slot; loads the app before the fork (--preload)",
            shape="processes",
            knows=frozenset({"STACK_LAZY_APPS", "STACK_MAX_REQUESTS"}),
        ),
        Server(
            "gunicorn-gthread",
            _http("gunicorn-gthread"),
            "yes, 30 s",
            "loads the app before the fork (--preload)",
            threads_option="--threads",
            knows=frozenset({"STACK_LAZY_APPS", "STACK_MAX_REQUESTS"}),
        ),
        Server(
            "granian",
            _http("granian"),
            "yes, 30 s, its default",
            "loads the app in each worker: it cannot load it before",
            threads_option="--blocking-threads",
        ),
        Server(
            "waitress",
            _http("waitress"),
            "yes, 120 s, its default",
            "no processes: one, with a thread for each slot",
            shape="threads",
            threads_option="--threads",
        ),
        Server(
            "flask-dev",
            _http("flask-dev"),
            "none: it closes after each response",
            "no processes and no limit: one, with a thread for each connection",
            shape="any",
        ),
    )
}


def listening(log: str) -> str:
    """The line in which a server says where it listens."""
    found = _LISTENING.search(log)
    return found[0].strip() if found else ""


# ── uWSGI ───────────────────────────────────────────────────────────────────────────────────────


def uwsgi_options(metrics: str, log: str) -> dict[str, str]:
    """What uWSGI says is in force, by the STACK_* name: its exporter's word, and its log's.

    The log tells what the options became: `thunder lock (log)` and `workers (log)`.
    """
    options = {}
    for name, value in re.findall(r'^uwsgi_option\{name="(\w+)"\} (\S+)$', metrics, re.MULTILINE):
        toggle = toggles.TOGGLES.get(_REPORTED.get(name, ""))
        if toggle is None:
            continue
        switch = isinstance(toggle.kind, toggles.Switch)
        number = int(float(value))
        options[toggle.name] = ("on" if number else "off") if switch else str(number)
    if locks := re.findall(r"^thunder lock: (enabled|disabled)", log, re.MULTILINE):
        options["thunder lock (log)"] = {"enabled": "on", "disabled": "off"}[locks[-1]]
    spawned = re.findall(r"^spawned uWSGI worker (\d+) \(.*cores: (\d+)\)", log, re.MULTILINE)
    if spawned:
        options["workers (log)"] = str(max(int(number) for number, _ in spawned))
        options["threads (log)"] = spawned[-1][1]
    if versions := re.findall(r"Starting uWSGI (\S+)", log):
        options["version"] = versions[-1]
    return options


# uWSGI's log beside its options: the log's word must agree.
_LOG_WORDS = {
    "thunder lock (log)": "STACK_THUNDER_LOCK",
    "workers (log)": "STACK_PROCESSES",
    "threads (log)": "STACK_THREADS",
}


def uwsgi_disagreements(asked: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """A line for each setting that uWSGI does not have in force as it was asked."""
    wrong = []
    for name in _REPORTED.values():
        said = options.get(name)
        if said is None:
            wrong.append(f"{name}: asked {asked[name]}, the server says nothing of it")
        elif said != asked[name]:
            wrong.append(f"{name}: asked {asked[name]}, the server says {said}")
    for word, name in _LOG_WORDS.items():
        said = options.get(word)
        # With one core per worker uWSGI does not print that line in every version; what it does
        # print must be right.
        if said is not None and said != asked[name]:
            wrong.append(f"{name}: asked {asked[name]}, the server's log says {said}")
    return wrong


def uwsgi_by_worker(metrics: str, name: str) -> dict[int, int]:
    """A metric of the exporter, by worker."""
    lines = re.findall(rf'^{name}\{{worker="(\d+)"\}} (\S+)$', metrics, re.MULTILINE)
    return {int(worker): int(float(value)) for worker, value in lines}


# ── The others ──────────────────────────────────────────────────────────────────────────────────


def workers_of(server: Server, main: int) -> list[int]:
    """The processes that answer requests, of a server that is not uWSGI; *main* is its first."""
    if server.shape in ("threads", "any"):
        return [main]
    family = processes.family(main)
    return sorted(p.pid for p in family if p.parent == main and not _helps(p.pid))


def _helps(pid: int) -> bool:
    """Python's multiprocessing has a process beside the workers, which granian starts."""
    return any("resource_tracker" in word for word in command_line(pid))


def command_line(pid: int) -> list[str]:
    """Its arguments; none when it has ended."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return text.rstrip("\0").split("\0")


def other_options(server: Server, main: int, workers: Sequence[int], log: str) -> dict[str, str]:
    """What can be seen of a server that reports nothing: its processes, its command line, its log.

    Threads are read from the command line: gunicorn and granian start them when there is work, and
    /proc cannot tell them from threads that the app has started.
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
    """A line for each count that is not as it was asked."""
    workers, threads = server.workers_and_threads(asked)
    wrong = []
    if options["workers"] != str(workers):
        wrong.append(f"workers: asked {workers}, {options['workers']} run")
    if threads is not None and options.get("threads") != str(threads):
        wrong.append(f"threads: asked {threads}, the server has {options.get('threads', '?')}")
    if not options.get("listening"):
        wrong.append("listening: the server's log does not say where")
    return wrong
