"""The table of ``STACK_*`` variables: defaults, allowed values, readers and their documentation.

The table in the documentation, .env.example and nginx/toggles.sh are generated from this file: run
`make docs` after a change. docker-compose.yml lists the same variables by hand, and a test compares
the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toggles.checks import Address, Hosts, Kind, Pattern, Switch, ToggleError, Whole

PREFIX = "STACK_"
NGINX, APP = "nginx", "app"


@dataclass(frozen=True)
class Toggle:
    """One variable of the environment."""

    name: str
    default: str
    kind: Kind
    meaning: str  # one line, for the table
    readers: tuple[str, ...]  # services; without any, only the runtime that starts them reads it
    advice: str  # a paragraph, for .env.example
    production: str = ""  # the production value, where it differs from the default

    def parse(self, text: str) -> str:
        """Return *text* in its normal spelling. Raises ToggleError, which names what is allowed."""
        if not text and not isinstance(self.kind, Hosts):
            raise ToggleError(
                f"{self.name} is empty: must be {self.kind.allowed}; "
                f"unset it for the default, {self.default}"
            )
        value = self.kind.normalise(text)
        if value is None:
            raise ToggleError(f"{self.name}={text!r}: must be {self.kind.allowed}")
        return value


_PORT = Whole(1, 65535)

SECTIONS: Mapping[str, tuple[Toggle, ...]] = {
    "This copy": (
        Toggle(
            "STACK_NAME",
            "flask-uwsgi-stack",
            Pattern(
                # Also a name of Compose projects and of images.
                r"(?=.{1,41}$)[a-z0-9]+((_{1,2}|-+)[a-z0-9]+)*",
                "up to 41 lowercase letters, digits, - and _, with a letter or digit at both ends",
            ),
            "name of this copy; copies with different names and ports are independent",
            (APP,),
            "Prefix of the containers, images and volumes, or the directory run/<name>/. Copies "
            "with different names and ports run side by side.",
        ),
        Toggle(
            "STACK_APP",
            "app.wsgi:application",
            Pattern(
                r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?",
                "module:callable or module:factory()",
            ),
            "the WSGI app to serve",
            (APP,),
            "The WSGI app to serve, as module:callable or module:factory(). PYTHONPATH is searched "
            "first, then this directory: see docs/make-it-yours.md.",
        ),
    ),
    "Network": (
        Toggle(
            "STACK_BIND",
            "127.0.0.1",
            Address(),
            "address that nginx is published on",
            (),
            "In production without another proxy in front, publish on every interface and also set "
            "STACK_HOSTS and STACK_TLS.",
            "0.0.0.0",  # noqa: S104 - an example
        ),
        Toggle(
            "STACK_PORT",
            "8080",
            _PORT,
            "port that nginx is published on",
            (),
            "Port for HTTP.",
            "80",
        ),
        Toggle(
            "STACK_HOSTS",
            "",
            Hosts(),
            "host names to answer; empty: all",
            (NGINX,),
            "nginx refuses every other Host header, so that no link or cached page can point to a "
            "forged host. Empty accepts every well-formed name, which is safe only while the port "
            "is not reachable from outside.",
            "www.example.org,.example.net",
        ),
        Toggle(
            "STACK_TLS",
            "off",
            Switch(),
            "serve HTTPS as well",
            (NGINX, APP),
            "On: HTTP only redirects, cookies are Secure with the __Host- prefix, and HSTS is "
            "sent. (!) Off behind a proxy that terminates TLS sends session cookies without "
            "Secure: let that proxy speak TLS to this one. `make up` publishes the port in "
            "containers; plain Compose also needs COMPOSE_FILE, see below.",
            "on",
        ),
        Toggle(
            "STACK_TLS_PORT",
            "8443",
            _PORT,
            "port that HTTPS is published on",
            (NGINX,),
            "Port for HTTPS.",
            "443",
        ),
    ),
    "Content": (
        Toggle(
            "STACK_DEMO",
            "off",
            Switch(),
            "create the demo account",
            (APP,),
            "On creates an account with a public password. `make up` turns it on while nothing "
            "sets it and STACK_BIND is a loopback address; this line turns that off.",
        ),
        Toggle(
            "STACK_WORKLOAD",
            "off",
            Switch(),
            "serve /workload/, the views for load tests",
            (APP,),
            "On serves views that use CPU and time on purpose. Only load tests need them; every "
            "client that reaches them can load the machine.",
        ),
    ),
    "Capacity": (
        Toggle(
            "STACK_PROCESSES",
            "4",
            Whole(1, 128),
            "uWSGI worker processes",
            (APP,),
            "Only processes use more than one core: start with one or two per core. Each keeps its "
            "own copy of the memory that the app changes after import.",
        ),
        Toggle(
            "STACK_THREADS",
            "2",
            Whole(1, 64),
            "threads per worker",
            (APP,),
            "Threads overlap waits for Redis and other services; the threads of a worker share one "
            "core. Use 1 if the app or one of its libraries is not thread-safe; harakiri is then "
            "exact as well.",
        ),
        Toggle(
            "STACK_THUNDER_LOCK",
            "on",
            Switch(),
            "wake one worker per connection, not all",
            (APP,),
            "Off: each new connection wakes every idle worker, and all but one find nothing. Try "
            "off on a server whose workers are always busy (uwsgi/uwsgi.ini has the figures).",
        ),
        Toggle(
            "STACK_LAZY_APPS",
            "off",
            Switch(),
            "load the app in each worker instead of once before the fork",
            (APP,),
            "On: each worker imports the app, which costs memory and start-up time. Libraries that "
            "do not survive a fork need it. `make reload` then replaces one worker at a time.",
        ),
        Toggle(
            "STACK_LISTEN",
            "1024",
            Whole(16, 4096),
            "connections that may wait for a worker",
            (APP,),
            "Length of the queue while all workers are busy. A longer queue makes clients wait "
            "longer before they get an error. Must not exceed the kernel's net.core.somaxconn.",
        ),
        Toggle(
            "STACK_HARAKIRI",
            "30",
            Whole(1, 60, "seconds"),
            "time after which a stuck worker is killed",
            (NGINX, APP),
            "Seconds after which uWSGI kills a worker that does not finish a request, with all its "
            "threads. nginx gives up 5 s later.",
        ),
        Toggle(
            "STACK_MAX_REQUESTS",
            "0",
            Whole(0, 1_000_000_000, "0: never"),
            "requests after which a worker is replaced",
            (APP,),
            "Set this only until a memory leak is found: each replacement costs a fork, with "
            "STACK_LAZY_APPS=on an import.",
        ),
        Toggle(
            "STACK_MAX_WORKER_LIFETIME",
            "0",
            Whole(0, 2_592_000, "seconds; 0: never"),
            "age at which a worker is replaced",
            (APP,),
            "The same by age. (!) With threads, a worker past its lifetime can wait without limit "
            "for idle threads (https://github.com/unbit/uwsgi/issues/1221).",
        ),
        Toggle(
            "STACK_BUFFER_SIZE",
            "32768",
            Whole(8192, 65535, "bytes"),
            "largest request line and headers that uWSGI accepts",
            (NGINX, APP),
            "Size of request line and headers in the uwsgi protocol. A larger buffer allows larger "
            "cookies and is allocated once per thread.",
        ),
        Toggle(
            "STACK_MAX_FD",
            "4096",
            Whole(256, 1_048_576),
            "open files per process",
            (APP,),
            "uWSGI allocates a table of all of them. A container engine's default limit of 2^30 "
            "costs 8 GB and minutes at start (https://github.com/unbit/uwsgi/issues/2299).",
        ),
    ),
    "Logins and sessions": (
        Toggle(
            "STACK_LOGIN_RATE",
            "30",
            Whole(0, 6000, "0: no limit"),
            "logins and registrations per minute and client address",
            (NGINX,),
            "Logins, registrations and password checks per minute and client address. Load tests "
            "set 0, no limit.",
        ),
        Toggle(
            "STACK_SESSION_IDLE",
            "1800",
            Whole(1, 2_592_000, "seconds"),
            "time without a request after which a session ends",
            (APP,),
            "Seconds without a request after which a session ends. Shorter is safer on shared "
            "computers; longer asks for the password less often.",
        ),
        Toggle(
            "STACK_SESSION_ABSOLUTE",
            "28800",
            Whole(1, 31_536_000, "seconds"),
            "time after login at which a session ends in any case",
            (APP,),
            "Seconds after login at which a session ends even if it is in use. At least "
            "STACK_SESSION_IDLE.",
        ),
    ),
}

TOGGLES: Mapping[str, Toggle] = {
    toggle.name: toggle for section in SECTIONS.values() for toggle in section
}
SERVICES = (NGINX, APP, "redis")
