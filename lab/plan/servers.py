"""The servers that an arm can name, and what a reader of a comparison has to know about each.

All run behind the same nginx with the same number of request slots: processes times threads. nginx
offers keep-alive to those that speak HTTP. `keep_alive` states what each does with the offer,
because a comparison that leaves this open compares connections instead of servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack.checkout import CHECKOUT

SERVERS_FOLDER = "lab/servers"
HTTP_NGINX = f"{SERVERS_FOLDER}/nginx"

# uWSGI's settings that another server has only if its `supports` lists them. It would ignore the
# others without a message, and the comparison would be wrong.
NOT_EVERYWHERE = (
    "STACK_THUNDER_LOCK",
    "STACK_LAZY_APPS",
    "STACK_MAX_REQUESTS",
    "STACK_MAX_WORKER_LIFETIME",
    "STACK_MAX_FD",
    "STACK_SOCKET",
)


@dataclass(frozen=True)
class AppServer:
    """The entrypoints of an app server and of its nginx, as paths in the checkout.

    Both get the environment of stack.local.wiring. The app server listens on APP_LISTEN, or at the
    unix socket APP_SOCKET if it can.
    """

    entrypoint: str
    nginx: str
    speaks: Literal["uwsgi", "http"]


@dataclass(frozen=True)
class Server:
    """A server by its name in experiments.

    note: what else matters in a comparison, above all when it loads the app. shape: how it maps
    processes and threads: ``as asked``, ``processes`` (one process per slot), ``threads`` (one
    process with one thread per slot) or ``any`` (one process, threads without limit).
    threads_option: its command-line option for threads. supports: those of NOT_EVERYWHERE that it
    implements.
    """

    name: str
    program: AppServer
    keep_alive: str
    note: str
    shape: str = "as asked"
    threads_option: str = ""
    supports: frozenset[str] = frozenset()

    @property
    def speaks(self) -> str:
        return self.program.speaks

    @property
    def is_uwsgi(self) -> bool:
        """Whether it has uWSGI's metrics, options and log."""
        return self.name.startswith("uwsgi")

    def command(self) -> str:
        """The command line in its executable."""
        text = Path(CHECKOUT, self.program.entrypoint).read_text(encoding="utf-8")
        found = re.search(r"^exec .*(?:\n[ \t].*)*", text, re.MULTILINE)
        if found is None:
            return "uwsgi --ini uwsgi/uwsgi.ini"
        return re.sub(r"\s*\\\n\s*", " ", found[0]).removeprefix("exec ")

    def workers_and_threads(self, values: Mapping[str, str]) -> tuple[int, int | None]:
        """The worker processes, and the threads of each, that these toggles lead to; None: no
        limit."""
        each, threads = int(values["STACK_PROCESSES"]), int(values["STACK_THREADS"])
        if self.shape == "processes":
            return each * threads, 1
        if self.shape == "threads":
            return 1, each * threads
        if self.shape == "any":
            return 1, None
        return each, threads

    def unsupported(self, settings: Mapping[str, str]) -> list[str]:
        """Those of an arm's settings that it would ignore."""
        if self.speaks == "uwsgi":
            return []
        ignored = ("STACK_SOCKET",) if self.is_uwsgi else NOT_EVERYWHERE
        return [name for name in ignored if name in settings and name not in self.supports]


def _http(name: str, *, unix: bool = False) -> AppServer:
    nginx = f"{HTTP_NGINX}-unix" if unix else HTTP_NGINX
    return AppServer(f"{SERVERS_FOLDER}/{name}", nginx, "http")


SERVERS: Mapping[str, Server] = {
    server.name: server
    for server in (
        Server(
            "uwsgi",
            AppServer("uwsgi/entrypoint", "nginx/entrypoint", "uwsgi"),
            "none: nginx's uwsgi_pass opens a connection per request",
            "loads the app before the fork",
        ),
        Server(
            "uwsgi-reuse-port",
            AppServer(f"{SERVERS_FOLDER}/uwsgi-reuse-port", "nginx/entrypoint", "uwsgi"),
            "none: nginx's uwsgi_pass opens a connection per request",
            "a queue for each worker, over TCP and without the lock",
        ),
        Server(
            "uwsgi-http",
            _http("uwsgi-http"),
            "nginx to router: yes (30 s); router to workers: a connection per request",
            "uwsgi.ini with http instead of socket; the router's CPU time counts as the app's",
        ),
        Server(
            "uwsgi-http-socket",
            _http("uwsgi-http-socket"),
            "none: it closes after each response",
            "uwsgi.ini with http-socket instead of socket",
        ),
        Server(
            "gunicorn-sync",
            _http("gunicorn-sync", unix=True),
            "none: it closes after each response",
            "no threads: a process per slot; loads the app before the fork (--preload)",
            shape="processes",
            supports=frozenset({"STACK_LAZY_APPS", "STACK_MAX_REQUESTS"}),
        ),
        Server(
            "gunicorn-gthread",
            _http("gunicorn-gthread", unix=True),
            "yes, 30 s",
            "loads the app before the fork (--preload)",
            threads_option="--threads",
            supports=frozenset({"STACK_LAZY_APPS", "STACK_MAX_REQUESTS"}),
        ),
        Server(
            "granian",
            _http("granian", unix=True),
            "yes, 30 s, its default",
            "loads the app in each worker; it has no preloading",
            threads_option="--blocking-threads",
        ),
        Server(
            "waitress",
            _http("waitress", unix=True),
            "yes, 120 s, its default",
            "a single process with a thread per slot",
            shape="threads",
            threads_option="--threads",
        ),
        Server(
            "flask-dev",
            _http("flask-dev"),
            "none: it closes after each response",
            "a single process with a thread per connection, without limit",
            shape="any",
        ),
    )
}
