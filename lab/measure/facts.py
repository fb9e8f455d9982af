"""Yes-or-no claims about uWSGI, each tried on a real one.

A probe starts the uWSGI of this Python environment with a few lines of ini of its own and an app of
ten lines, does what the claim speaks of, and reports what the server said and answered. None needs
nginx or Redis, measures a speed, or leaves a process or a file behind.

Each is tried TRIES times, side by side; a claim that comes out differently is no fact but an error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stack import ports, probes

TRIES = 2

# Longer than any of these steps takes on a busy machine; only something broken waits for it.
PATIENCE_S = 15.0

# Probes at a time. They mostly wait, and two cores have other things to do.
AT_ONCE = 3

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

# A name that stands in many configurations that were copied from one another. The option is called
# py-call-osafterfork.
MISSPELT = "py-callos-afterfork"


class FactError(Exception):
    """A probe could not be made: the text says what happened, with the end of the server's log."""


@dataclass(frozen=True)
class Fact:
    """What came of a claim. *observed* is the evidence: the server's own words, exit codes and
    answers. *holds*: whether the claim is true of this uWSGI."""

    name: str
    says: str
    observed: str
    holds: bool


@dataclass(frozen=True)
class Answer:
    status: int
    version: str = ""
    pid: int = 0
    ticks: int = 0


class Server:
    """A uWSGI with *options* over a few of our own, in *folder*, listening on this machine only."""

    def __init__(self, folder: Path, options: Mapping[str, str], app: str) -> None:
        self.folder = folder
        self.port = ports.free()
        self.log_file = folder / "log"
        self.set_version("old")
        (folder / "app.py").write_text(app)
        values = {
            "master": "true",
            "processes": "1",
            "socket": f"127.0.0.1:{self.port}",
            "wsgi-file": f"{folder}/app.py",
            "master-fifo": f"{folder}/fifo",
            "disable-logging": "true",
            **options,
        }
        lines = [f"{name} = {value}" for name, value in values.items()]
        (folder / "facts.ini").write_text("\n".join(["[uwsgi]", *lines, ""]))
        # uWSGI takes every UWSGI_* variable for an option.
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("UWSGI_", "STACK_"))}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "--ini", str(folder / "facts.ini")],
                env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def line(self, words: str) -> str:
        """The log's first line that holds *words*, in quotes. Raises FactError."""
        for line in self.log.splitlines():
            if words in line:
                # "Sat Nov 21 06:46:04 2026 - " says nothing that a reader of the fact needs.
                return f"“{re.sub(r'^.{3} .{3} .{2} [0-9:]{8} [0-9]{4} - ', '', line).strip()}”"
        raise self.error(f"uWSGI did not say “{words}”")

    def set_version(self, version: str) -> None:
        (self.folder / "version").write_text(version)

    def ask(self, path: str = "/", timeout: float = PATIENCE_S) -> Answer:
        """Raises OSError when there is no answer."""
        status, body = probes.uwsgi_get("127.0.0.1", self.port, path, timeout_s=timeout)
        if status != 200:
            return Answer(status)
        version, pid, ticks = body.decode().split()
        return Answer(status, version, int(pid), int(ticks))

    def answers(self) -> bool:
        with suppress(OSError):
            return self.ask(timeout=2).status > 0
        return False

    def workers(self, count: int) -> set[int]:
        """The pids of *count* workers, as soon as all of them accept requests."""
        pids: set[int] = set()

        def all_accept() -> bool:
            with ThreadPoolExecutor(count) as pool:
                asked = [pool.submit(self.ask, "/sleep/0.1") for _ in range(count)]
                pids.clear()
                pids.update(request.result().pid for request in asked)
            return len(pids) == count

        self.wait(all_accept, f"an answer of {count} workers at the same time")
        return pids

    def command(self, letter: str) -> None:
        """Write to the master's fifo, which the master makes some time after it serves."""
        fifo = self.folder / "fifo"
        self.wait(fifo.exists, "the master's fifo")
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, letter.encode())
        finally:
            os.close(descriptor)

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """Return the seconds until *condition*. Raises FactError, naming *what* did not happen."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > PATIENCE_S:
                raise self.error(f"{what} did not happen within {PATIENCE_S:.0f} s")
            time.sleep(0.02)
        return time.monotonic() - begun

    def wait_until_it_serves(self) -> None:
        self.wait(lambda: self.ended or self.answers(), "an answer")
        if self.ended:
            raise self.error(f"uWSGI ended with exit code {self.process.returncode}")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def exit_code(self) -> int:
        """Raises FactError when it does not end."""
        self.wait(lambda: self.ended, "the end of uWSGI")
        return int(self.process.returncode)

    def error(self, what: str) -> FactError:
        tail = "\n".join(self.log.splitlines()[-15:])
        return FactError(f"{what}; its log ends:\n{tail}")

    def kill(self) -> None:
        """End it with its workers: they are one session, and so one process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def binary() -> str:
    """The uWSGI of this environment, or else the one on PATH. Raises FactError."""
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
                server.wait_until_it_serves()
            yield server
        finally:
            server.kill()


# ---- The probes. Each returns whether the claim holds, and what was seen. ------------------------


def sigterm_reloads() -> tuple[bool, str]:
    with running() as server:
        before = server.ask()
        server.process.send_signal(signal.SIGTERM)

        def settled() -> bool:
            if server.ended:
                return True
            with suppress(OSError):
                return server.ask(timeout=2).pid != before.pid
            return False

        seconds = server.wait(settled, "a stop or a reload")
        if server.ended:
            return False, f"uWSGI ended with exit code {server.process.returncode}"
        words = server.line("killing workers")
        return True, f"{words}, and {seconds:.1f} s later a new worker of the same master answers"


def die_on_term_stops() -> tuple[bool, str]:
    with running({"die-on-term": "true"}) as server:
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        code = server.exit_code()
        return True, f"it ended after {time.monotonic() - begun:.1f} s with exit code {code}"


def die_on_term_finishes() -> tuple[bool, str]:
    return _finishes({"die-on-term": "true"})


def hook_finishes() -> tuple[bool, str]:
    return _finishes({"hook-master-start": "unix_signal:15 gracefully_kill_them_all"})


def _finishes(options: Mapping[str, str]) -> tuple[bool, str]:
    """SIGTERM while a request is being worked on: does it get its answer?"""
    with running(options) as server, ThreadPoolExecutor(1) as pool:
        request = pool.submit(server.ask, "/sleep/1.5")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        observed = _outcome(request)
        code = server.exit_code()
        return observed == "200", (
            f"a request in its first second when SIGTERM came got {observed}; exit code {code}"
        )


def _outcome(request: Future[Answer]) -> str:
    try:
        return str(request.result(PATIENCE_S).status)
    except OSError as error:
        return f"no answer ({error})"


def threads_are_off() -> tuple[bool, str]:
    with running() as server:
        server.ask("/start-thread")
        before = server.ask()
        time.sleep(0.5)  # between requests nothing else lets a thread run
        after = server.ask()
        ticks = after.ticks - before.ticks
        return ticks == 0, (
            f"without the option, a thread that counts every 10 ms counted to {ticks} "
            "in half a second without requests"
        )


def harakiri_kills() -> tuple[bool, str]:
    with running({"harakiri": "1"}) as server:
        before = server.ask()
        begun = time.monotonic()
        try:
            status = server.ask("/sleep/6").status
        except OSError:
            seconds = time.monotonic() - begun
        else:
            return False, f"harakiri = 1, and a request of 6 s was answered with {status}"
        server.wait(server.answers, "an answer of a new worker")
        replaced = server.ask().pid != before.pid
        return replaced, (
            f"harakiri = 1, one thread: a request of 6 s was cut off after {seconds:.1f} s, "
            f"{server.line('HARAKIRI ON WORKER')}"
        )


def harakiri_kills_with_threads() -> tuple[bool, str]:
    with running({"harakiri": "1", "threads": "2"}) as server, ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        request = pool.submit(server.ask, "/sleep/5")
        others = 0
        while not request.done():
            with suppress(OSError):
                others += server.ask().status == 200
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        outcome = _outcome(request)
        return outcome != "200", (
            f"harakiri = 1, two threads: a request of 5 s got {outcome} after {seconds:.1f} s "
            f"while the other thread answered {others} requests"
        )


def chain_needs_lazy_apps() -> tuple[bool, str]:
    with ThreadPoolExecutor(2) as pool:
        preforked = pool.submit(_chain, "false")
        lazy = pool.submit(_chain, "true")
        old, new = preforked.result(), lazy.result()
    return (old, new) == ({"old"}, {"new"}), (
        "both chain reloads ended with “chain reloading complete” and new workers; without "
        f"lazy-apps they served the {'/'.join(sorted(old))} code, "
        f"with it the {'/'.join(sorted(new))} code"
    )


def _chain(lazy_apps: str) -> set[str]:
    """The versions of the code that answer after a chain reload over a change of the code."""
    with running({"processes": "2", "lazy-apps": lazy_apps}) as server:
        # A worker that does not accept yet would be left out of the chain, and keep its code.
        before = server.workers(2)
        server.set_version("new")
        server.command("c")
        server.wait(lambda: "chain reloading complete" in server.log, "“chain reloading complete”")
        if server.workers(2) & before:
            raise server.error("the chain reload left an old worker")
        return {server.ask().version for _ in range(20)}


def strict_refuses() -> tuple[bool, str]:
    with running({MISSPELT: "true"}):
        lax = "without strict it serves"
    with running({"strict": "true", MISSPELT: "true"}, serves=False) as server:
        code = server.exit_code()
        return code != 0, (
            f"{MISSPELT} = true: {lax}; with strict {server.line(MISSPELT)}, exit code {code}"
        )


def need_app_refuses() -> tuple[bool, str]:
    with running(app=BROKEN_APP) as server:
        status = server.ask().status
        lax = f"without need-app {server.line('no app loaded')}, and every answer is {status}"
    with running({"need-app": "true"}, app=BROKEN_APP, serves=False) as server:
        code = server.exit_code()
        return status == 500 and code != 0, f"{lax}; with it uWSGI ends with exit code {code}"


def vacuum_deletes() -> tuple[bool, str]:
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


# ---- Their names, as experiments write them ------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    says: str
    run: Callable[[], tuple[bool, str]]


PROBES: Mapping[str, Probe] = {
    "sigterm-reloads": Probe("without die-on-term SIGTERM reloads uWSGI", sigterm_reloads),
    "die-on-term-stops": Probe("with die-on-term SIGTERM stops uWSGI", die_on_term_stops),
    "die-on-term-finishes-requests": Probe(
        "with die-on-term a request in flight gets its answer", die_on_term_finishes
    ),
    "graceful-hook-finishes-requests": Probe(
        "with gracefully_kill_them_all on SIGTERM a request in flight gets its answer",
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
        "a misspelt option is skipped without strict and refused with it", strict_refuses
    ),
    "need-app-refuses-a-broken-app": Probe(
        "an app that cannot be imported answers 500 without need-app and ends uWSGI with it",
        need_app_refuses,
    ),
    "vacuum-deletes-sockets": Probe("vacuum deletes unix sockets at the stop", vacuum_deletes),
}


def probe(name: str) -> Fact:
    """Try one claim of PROBES. Raises FactError, or KeyError for a name that is none of them."""
    wanted = PROBES[name]
    with ThreadPoolExecutor(TRIES) as pool:
        tries = [future.result() for future in [pool.submit(wanted.run) for _ in range(TRIES)]]
    if len({holds for holds, _ in tries}) > 1:
        seen = "; then: ".join(observed for _, observed in tries)
        raise FactError(f"“{wanted.says}” came out differently in {TRIES} tries: {seen}")
    holds, observed = tries[0]
    return Fact(name, wanted.says, f"{observed} ({TRIES} of {TRIES} tries)", holds)


def gather(
    names: Collection[str], progress: Callable[[str], None] | None = None
) -> dict[str, Fact | FactError]:
    """Try the claims *names*, a few at a time; one that cannot be tried has its error as result.

    All take about a quarter of a minute. Raises KeyError for a name that is not in PROBES.
    """
    lock = threading.Lock()

    def one(name: str) -> Fact | FactError:
        try:
            result: Fact | FactError = probe(name)
        except FactError as error:
            result = error
        if progress is not None:
            with lock:
                progress(f"{PROBES[name].says}: {_word(result)}")
        return result

    for name in names:
        PROBES[name]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def kept(
    names: Collection[str], file: Path, progress: Callable[[str], None] | None = None
) -> dict[str, Fact | FactError]:
    """As gather(), but what *file* holds already is not tried again, and what is found is added.

    A report that is made anew so says what the run has seen. Failed probes are not kept.
    """
    known: dict[str, Fact] = {}
    if file.exists():
        known = {row["name"]: Fact(**row) for row in json.loads(file.read_text(encoding="utf-8"))}
    found = gather([name for name in names if name not in known], progress)
    known |= {name: result for name, result in found.items() if isinstance(result, Fact)}
    text = json.dumps([asdict(fact) for fact in known.values()], ensure_ascii=False, indent=1)
    file.write_text(text + "\n", encoding="utf-8")
    return {name: known.get(name) or found[name] for name in names}


def _word(result: Fact | FactError) -> str:
    if isinstance(result, FactError):
        return f"could not be tried ({str(result).splitlines()[0]})"
    return "yes" if result.holds else "no"
