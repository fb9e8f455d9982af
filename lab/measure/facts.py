"""Tries yes-or-no claims about uWSGI on a real one.

A probe starts the uWSGI of this Python environment with a few lines of ini and a short app, does
what the claim is about, and returns the server's messages and answers. It needs neither nginx nor
Redis, measures no speed, and leaves no process or file behind. Each runs TRIES times, in parallel;
different outcomes are an error.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from lab.plan.experiment import FactName
from stack import ports
from stack.checkout import CHECKOUT

TRIES = 2
# Longer than any step takes on a busy machine.
PATIENCE_S = 15.0
# Concurrent probes. Most of their time is waiting.
AT_ONCE = 3

# By its path: `uwsgi` is importable only inside the server (uwsgi/__init__.py).
_PROTOCOL = runpy.run_path(str(CHECKOUT / "uwsgi" / "protocol.py"))

APP = """
import os, pathlib, threading, time
VERSION = (pathlib.Path(__file__).parent / "version").read_text()
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.01)
        ticks += 1

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/start-thread":
        threading.Thread(target=tick, daemon=True).start()
    if path.startswith("/sleep/"):
        time.sleep(float(path.removeprefix("/sleep/")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {os.getpid()} {ticks}".encode()]
"""
BROKEN_APP = "import no_module_has_this_name\n"
# Found in many configurations that were copied from one another; the option is py-call-osafterfork.
MISSPELT = "py-callos-afterfork"

# Whether the claim holds, and the evidence.
Outcome = tuple[bool, str]


class FactError(Exception):
    """A probe failed. The text is the reason, with the end of the server's log."""


@dataclass(frozen=True)
class Fact:
    """An outcome. *observed*: messages, exit codes and answers. *holds*: whether it is true."""

    name: str
    says: str
    observed: str
    holds: bool


class Probe(NamedTuple):
    says: str
    run: Callable[[], Outcome]


class Answer(NamedTuple):
    status: int
    version: str = ""
    pid: int = 0
    ticks: int = 0


class Server:
    """A uWSGI with *options*, in *folder*, listening on loopback."""

    def __init__(self, folder: Path, options: Mapping[str, str], app: str) -> None:
        self.folder = folder
        self.port = ports.free()
        self.set_version("old")
        (folder / "app.py").write_text(app, encoding="utf-8")
        values = {
            "master": "true",
            "processes": "1",
            "socket": f"127.0.0.1:{self.port}",
            "wsgi-file": f"{folder}/app.py",
            "master-fifo": f"{folder}/fifo",
            "disable-logging": "true",
            **options,
        }
        lines = ["[uwsgi]", *(f"{name} = {value}" for name, value in values.items()), ""]
        (folder / "facts.ini").write_text("\n".join(lines), encoding="utf-8")
        # uWSGI reads every UWSGI_* variable as an option.
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("UWSGI_", "STACK_"))}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "--ini", str(folder / "facts.ini")],
                env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def line(self, words: str) -> str:
        """The first line of the log with *words*, in quotes. Raises FactError."""
        for line in self.log.splitlines():
            if words in line:  # without the time before it
                return f"“{re.sub(r'^.{3} .{3} .{2} [0-9:]{8} [0-9]{4} - ', '', line).strip()}”"
        raise self.error(f"uWSGI did not log “{words}”")

    def set_version(self, version: str) -> None:
        (self.folder / "version").write_text(version, encoding="ascii")

    def get(self, path: str = "/", timeout: float = PATIENCE_S) -> Answer:
        """Raises OSError without an answer."""
        status, body = _PROTOCOL["get"](f"127.0.0.1:{self.port}", path, timeout)
        if status != 200:
            return Answer(status)
        version, pid, ticks = body.decode().split()
        return Answer(status, version, int(pid), int(ticks))

    def answers(self) -> bool:
        with suppress(OSError):
            return self.get(timeout=2).status > 0
        return False

    def workers(self, count: int) -> set[int]:
        """The pids of *count* workers, once all of them accept requests."""
        pids: set[int] = set()

        def all_accept() -> bool:
            with ThreadPoolExecutor(count) as pool:
                requests = [pool.submit(self.get, "/sleep/0.1") for _ in range(count)]
                pids.clear()
                pids.update(request.result().pid for request in requests)
            return len(pids) == count

        self.wait(all_accept, f"a simultaneous answer of {count} workers")
        return pids

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Return the seconds until *condition*. Raises FactError, which names *what* is missing."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > PATIENCE_S:
                raise self.error(f"{what} did not happen within {PATIENCE_S:.0f} s")
            time.sleep(0.02)
        return time.monotonic() - begun

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def exit_code(self) -> int:
        self.wait(lambda: self.ended, "the end of uWSGI")
        return int(self.process.returncode)

    def error(self, what: str) -> FactError:
        tail = "\n".join(self.log.splitlines()[-15:])
        return FactError(f"{what}; its log ends:\n{tail}")


def binary() -> str:
    """The uWSGI of this environment, else that of PATH. Raises FactError."""
    own = Path(sys.prefix) / "bin" / "uwsgi"
    found = str(own) if own.exists() else shutil.which("uwsgi")
    if found is None:
        raise FactError("there is no uwsgi in this environment: `make up` installs it into .venv")
    return found


@contextmanager
def running(
    options: Mapping[str, str] | None = None, *, app: str = APP, serves: bool = True
) -> Iterator[Server]:
    """A uWSGI for a `with` block. serves: wait until it answers. Raises FactError."""
    with tempfile.TemporaryDirectory(prefix="uwsgi-fact-") as folder:
        server = Server(Path(folder), options or {}, app)
        try:
            if serves:
                server.wait(lambda: server.ended or server.answers(), "an answer")
                if server.ended:
                    raise server.error(f"uWSGI ended with exit code {server.process.returncode}")
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)  # its workers are in this group
            server.process.wait()


# ── The probes ──────────────────────────────────────────────────────────────────────────────────


def sigterm_reloads() -> Outcome:
    with running() as server:
        before = server.get()
        server.process.send_signal(signal.SIGTERM)

        def settled() -> bool:
            if server.ended:
                return True
            with suppress(OSError):
                return server.get(timeout=2).pid != before.pid
            return False

        seconds = server.wait(settled, "a stop or a reload")
        if server.ended:
            return False, f"uWSGI ended with exit code {server.process.returncode}"
        message = server.line("killing workers")
        return True, f"{message}, and {seconds:.1f} s later a new worker of the same master answers"


def die_on_term_stops() -> Outcome:
    with running({"die-on-term": "true"}) as server:
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        code = server.exit_code()
        return True, f"it ended after {time.monotonic() - begun:.1f} s with exit code {code}"


def die_on_term_finishes() -> Outcome:
    return _finishes({"die-on-term": "true"})


def hook_finishes() -> Outcome:
    return _finishes({"hook-master-start": "unix_signal:15 gracefully_kill_them_all"})


def _finishes(options: Mapping[str, str]) -> Outcome:
    """Whether a request that is in progress at SIGTERM gets its answer."""
    with running(options) as server, ThreadPoolExecutor(1) as pool:
        request = pool.submit(server.get, "/sleep/1.5")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        result = _result(request)
        code = server.exit_code()
        return result == "200", (
            f"a request in its first second when SIGTERM came got {result}; exit code {code}"
        )


def _result(request: Future[Answer]) -> str:
    try:
        return str(request.result(PATIENCE_S).status)
    except OSError as error:
        return f"no answer ({error})"


def threads_are_off() -> Outcome:
    with running() as server:
        server.get("/start-thread")
        before = server.get()
        time.sleep(0.5)  # no request runs Python code meanwhile
        ticks = server.get().ticks - before.ticks
        return ticks == 0, (
            f"without the option, a thread that counts every 10 ms counted to {ticks} "
            "in half a second without requests"
        )


def harakiri_kills() -> Outcome:
    with running({"harakiri": "1"}) as server:
        before = server.get()
        begun = time.monotonic()
        try:
            status = server.get("/sleep/6").status
        except OSError:
            seconds = time.monotonic() - begun
        else:
            return False, f"harakiri = 1, and a request of 6 s was answered with {status}"
        server.wait(server.answers, "an answer of a new worker")
        return server.get().pid != before.pid, (
            f"harakiri = 1, one thread: a request of 6 s was cut off after {seconds:.1f} s, "
            f"{server.line('HARAKIRI ON WORKER')}"
        )


def harakiri_kills_with_threads() -> Outcome:
    with running({"harakiri": "1", "threads": "2"}) as server, ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        request = pool.submit(server.get, "/sleep/5")
        others = 0
        while not request.done():
            with suppress(OSError):
                others += server.get().status == 200
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        result = _result(request)
        return result != "200", (
            f"harakiri = 1, two threads: a request of 5 s got {result} after {seconds:.1f} s "
            f"while the other thread answered {others} requests"
        )


def chain_needs_lazy_apps() -> Outcome:
    with ThreadPoolExecutor(2) as pool:
        old, new = pool.map(_after_chain_reload, ("false", "true"))
    return (old, new) == ({"old"}, {"new"}), (
        "both chain reloads ended with “chain reloading complete” and new workers; without "
        f"lazy-apps they served the {'/'.join(sorted(old))} code, "
        f"with it the {'/'.join(sorted(new))} code"
    )


def _after_chain_reload(lazy_apps: str) -> set[str]:
    """The versions of the code that answer after a change of the code and a chain reload."""
    with running({"processes": "2", "lazy-apps": lazy_apps}) as server:
        # A chain reload skips workers that do not accept yet.
        before = server.workers(2)
        server.set_version("new")
        fifo = server.folder / "fifo"
        server.wait(fifo.exists, "the master's fifo")
        fifo.write_text("c", encoding="ascii")
        server.wait(lambda: "chain reloading complete" in server.log, "“chain reloading complete”")
        if server.workers(2) & before:
            raise server.error("the chain reload left an old worker")
        return {server.get().version for _ in range(20)}


def strict_refuses() -> Outcome:
    with running({MISSPELT: "true"}):
        lax = "without strict it serves"
    with running({"strict": "true", MISSPELT: "true"}, serves=False) as server:
        code = server.exit_code()
        return code != 0, (
            f"{MISSPELT} = true: {lax}; with strict {server.line(MISSPELT)}, exit code {code}"
        )


def need_app_refuses() -> Outcome:
    with running(app=BROKEN_APP) as server:
        status = server.get().status
        lax = f"without need-app {server.line('no app loaded')}, and every answer is {status}"
    with running({"need-app": "true"}, app=BROKEN_APP, serves=False) as server:
        code = server.exit_code()
        return status == 500 and code != 0, f"{lax}; with it uWSGI ends with exit code {code}"


def vacuum_deletes() -> Outcome:
    left = {}
    for vacuum in ("false", "true"):
        with running({"vacuum": vacuum, "uwsgi-socket": "unix.sock"}) as server:
            server.process.send_signal(signal.SIGINT)
            server.exit_code()
            left[vacuum] = (server.folder / "unix.sock").exists()
    words = {True: "stays", False: "is gone"}
    return left == {"false": True, "true": False}, (
        f"after the stop a unix socket {words[left['false']]} without vacuum "
        f"and {words[left['true']]} with it"
    )


PROBES: Mapping[FactName, Probe] = {
    "sigterm-reloads": Probe("without die-on-term SIGTERM reloads uWSGI", sigterm_reloads),
    "die-on-term-stops": Probe("with die-on-term SIGTERM stops uWSGI", die_on_term_stops),
    "die-on-term-finishes-requests": Probe(
        "with die-on-term a request in progress gets its answer", die_on_term_finishes
    ),
    "graceful-hook-finishes-requests": Probe(
        "with gracefully_kill_them_all on SIGTERM a request in progress gets its answer",
        hook_finishes,
    ),
    "threads-need-enable-threads": Probe(
        "without enable-threads the app's own threads do not run", threads_are_off
    ),
    "harakiri-kills": Probe("harakiri cuts off a request that takes longer", harakiri_kills),
    "harakiri-kills-with-threads": Probe(
        "harakiri cuts off a request that takes longer, with threads too",
        harakiri_kills_with_threads,
    ),
    "chain-reload-needs-lazy-apps": Probe(
        "a chain reload loads new code with lazy-apps and not without", chain_needs_lazy_apps
    ),
    "strict-refuses-unknown-options": Probe(
        "a misspelt option is ignored without strict and refused with it", strict_refuses
    ),
    "need-app-refuses-a-broken-app": Probe(
        "an app that cannot be imported answers 500 without need-app and ends uWSGI with it",
        need_app_refuses,
    ),
    "vacuum-deletes-sockets": Probe("vacuum deletes unix sockets at the stop", vacuum_deletes),
}


def probe(name: FactName) -> Fact | FactError:
    """Try one claim."""
    wanted = PROBES[name]
    try:
        with ThreadPoolExecutor(TRIES) as pool:
            tries = list(pool.map(lambda _: wanted.run(), range(TRIES)))
    except FactError as error:
        return error
    if len({holds for holds, _ in tries}) > 1:
        seen = "; then: ".join(observed for _, observed in tries)
        return FactError(f"“{wanted.says}” had different outcomes in {TRIES} tries: {seen}")
    holds, observed = tries[0]
    return Fact(name, wanted.says, f"{observed} ({TRIES} of {TRIES} tries)", holds)


def gather(
    names: Collection[FactName], file: Path, progress: Callable[[str], None]
) -> dict[str, Fact | FactError]:
    """Return the facts *names*: those in *file*, and the others by trying them, which are added.

    A report that is rendered again therefore shows what the run observed. Failed probes are tried
    again. All probes together take about 15 s.
    """
    known: dict[str, Fact] = {}
    if file.exists():
        known = {row["name"]: Fact(**row) for row in json.loads(file.read_text(encoding="utf-8"))}
    found: dict[str, Fact | FactError] = {}
    missing = [name for name in names if name not in known]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, result in zip(missing, pool.map(probe, missing), strict=True):
            found[name] = result
            holds = "yes" if isinstance(result, Fact) and result.holds else "no"
            word = holds if isinstance(result, Fact) else f"failed ({result})".partition("\n")[0]
            progress(f"{PROBES[name].says}: {word}")
    known |= {name: result for name, result in found.items() if isinstance(result, Fact)}
    text = json.dumps([asdict(fact) for fact in known.values()], ensure_ascii=False, indent=1)
    file.write_text(text + "\n", encoding="utf-8")
    return {name: known.get(name) or found[name] for name in names}
