"""The table of ``STACK_*`` variables: defaults, allowed values, readers and their documentation.

The table in the documentation, .env.example and nginx/toggles.sh are generated from this file: run
`make docs` after a change. docker-compose.yml lists the same variables by hand, and a test compares
the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toggles.checks import (
    Address,
    Hosts,
    Kind,
    Networks,
    Paths,
    Pattern,
    Switch,
    ToggleError,
    Whole,
)

PREFIX = "STACK_"
NGINX, APP, CERTIFICATES = "nginx", "app", "certificates"


@dataclass(frozen=True)
class Toggle:
    """One variable of the environment."""

    default: str
    kind: Kind
    meaning: str  # one line, for the table
    advice: str  # the consequence of a change, for .env.example
    production: str = ""  # the production value, where it differs from the default
    readers: tuple[str, ...] = (APP,)  # empty: only the runtime that starts the services reads it
    secret: bool = False  # no command prints its value

    def parse(self, name: str, text: str) -> str:
        """Return *text* in its normal spelling. Raises ToggleError, which names what is allowed."""
        if not text and self.default:
            raise ToggleError(
                f"{name} is empty: must be {self.kind.allowed}; "
                f"unset it for the default, {self.default}"
            )
        value = self.kind.normalise(text) if text else ""
        if value is None:
            raise ToggleError(f"{name}={text!r}: must be {self.kind.allowed}")
        return value


_PORT = Whole(1, 65535)

SECTIONS: Mapping[str, Mapping[str, Toggle]] = {
    "This copy": {
        "STACK_NAME": Toggle(
            "flask-uwsgi-stack",
            Pattern(
                # Also a name of Compose projects and of images.
                r"(?=.{1,41}$)[a-z0-9]+((_{1,2}|-+)[a-z0-9]+)*",
                "up to 41 lowercase letters, digits, - and _, with a letter or digit at both ends",
            ),
            "name of this copy; copies with different names and ports are independent",
            "Prefix of containers, images and volumes, or the directory run/<name>/. One for each "
            "copy.",
        ),
        "STACK_APP": Toggle(
            "app.wsgi:application",
            Pattern(
                r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?",
                "module:callable or module:factory()",
            ),
            "the WSGI app to serve",
            "module:callable or module:factory(), found in project/, on PYTHONPATH or in this "
            "directory.",
        ),
        "STACK_BEFORE_START": Toggle(
            "",
            Pattern(r"[^\0\r\n]*", "a shell command in one line"),
            "command that runs in project/ before the workers start and before a reload",
            "For migrations, such as `flask --app shop db upgrade`. If it fails, the app does not "
            "start, or a reload keeps the running code. Each container runs it.",
        ),
        "STACK_USERS_URL": Toggle(
            "",
            Pattern(r"(?s).*", "a URL like postgresql://user@host/database"),
            "database of the accounts (PostgreSQL or SQLite); empty: Redis",
            "The app does not read DATABASE_URL for it. Needs packages (docs/day-two.md). May hold "
            "a password, so no error repeats it.",
            secret=True,
        ),
        "STACK_USERS_URL_FILE": Toggle(
            "",
            Pattern(r"[^\0\r\n]*", "a path in one line"),
            "file that holds this URL, instead of STACK_USERS_URL",
            "For a URL with a password: secrets/users-url is project/secrets/users-url.",
        ),
    },
    "Network": {
        "STACK_BIND": Toggle(
            "127.0.0.1",
            Address(),
            "address that nginx is published on",
            "Also set STACK_HOSTS and STACK_TLS. Behind a proxy on this machine, keep 127.0.0.1.",
            "0.0.0.0",  # noqa: S104 - an example
            readers=(APP,),
        ),
        "STACK_PORT": Toggle(
            "8080",
            _PORT,
            "port that nginx is published on",
            "Port for HTTP.",
            "80",
            readers=(),
        ),
        "STACK_HOSTS": Toggle(
            "",
            Hosts(),
            "host names to answer; empty: all",
            "nginx refuses every other Host header, so that no link or cached page can point to a "
            "forged host. Empty (all) is safe only while the port is not reachable from outside.",
            "www.example.org,.example.net",
            readers=(NGINX, APP, CERTIFICATES),
        ),
        "STACK_TLS": Toggle(
            "off",
            Switch(),
            "serve HTTPS as well",
            "On: HTTP only redirects, cookies are Secure with the __Host- prefix, and HSTS is "
            "sent. Also where TLS ends in a proxy in front, with STACK_TRUSTED_PROXIES.",
            "on",
            readers=(NGINX, APP, CERTIFICATES),
        ),
        "STACK_TLS_PORT": Toggle(
            "8443",
            _PORT,
            "port that HTTPS is published on",
            "Port for HTTPS.",
            "443",
            readers=(NGINX,),
        ),
        "STACK_ACME": Toggle(
            "",
            Pattern(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", "a mail address such as ops@example.org"),
            "mail address of an account with Let's Encrypt, which then certifies STACK_HOSTS",
            "The certificate is obtained and renewed while the stack serves. Needs STACK_TLS=on, "
            "exact names in STACK_HOSTS, and port 80 reachable from outside.",
            "ops@example.org",
            readers=(CERTIFICATES,),
        ),
        "STACK_ACME_SERVER": Toggle(
            "production",
            Pattern(
                r"production|staging|https://[\w.:/\[\]-]+", "production, staging or a https:// URL"
            ),
            "Let's Encrypt's server, its staging server, or the directory of another one",
            "Try staging first: production limits failures to five an hour. Browsers do not trust "
            "certificates of staging.",
            readers=(CERTIFICATES,),
        ),
        "STACK_PREFIX": Toggle(
            "",
            Pattern(
                r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", "a path such as /shop, without / at its end"
            ),
            "path below which the app is served; empty: the whole host",
            "The app gets it as SCRIPT_NAME. Everything else is 404. A proxy in front must pass "
            "the whole path on.",
            readers=(NGINX, APP),
        ),
        "STACK_MERGE_SLASHES": Toggle(
            "on",
            Switch(),
            "// in a path is /",
            "Off for an app that has addresses in its paths, such as /proxy/http://example.org.",
            readers=(NGINX,),
        ),
        "STACK_BODY_LIMIT": Toggle(
            "1",
            Whole(1, 1024, "MiB"),
            "largest request body",
            "MiB, for nginx, the app and what is read of a refused body. In containers, uploads "
            "fill nginx's tmpfs (docs/operations.md).",
            readers=(NGINX, APP),
        ),
        "STACK_CLIENT_REQUESTS": Toggle(
            "256",
            Whole(0, 1024, "0: no limit"),
            "requests that one client address may have in progress",
            "An IPv6 /64 counts as one address. An office shares one, and so do all clients behind "
            "a proxy that is not trusted. Two fifths of the requests may have a body. Of all "
            "clients, 1280 may be in progress, and 1024 with a body.",
            readers=(NGINX,),
        ),
        "STACK_TRUSTED_PROXIES": Toggle(
            "",
            Networks(),
            "proxies in front, such as a load balancer; empty: none",
            "nginx takes the client's address, scheme and host from X-Forwarded-For, -Proto and "
            "-Host of these addresses only. (!) A machine with one of them can claim any client's "
            "address: list the proxies and nothing wider, and set STACK_HOSTS.",
            "10.0.0.0/24",
            readers=(NGINX,),
        ),
        "STACK_PROXY_PROTOCOL": Toggle(
            "off",
            Switch(),
            "expect the PROXY protocol from the proxies",
            "On: for a proxy that passes TCP on. Every connection must then begin with the PROXY "
            "protocol, and X-Forwarded headers are not used.",
            readers=(NGINX,),
        ),
        "STACK_ISOLATED": Toggle(
            "on",
            Switch(),
            "in containers: keep the app from reaching other machines",
            "Off for an app that calls others: a database elsewhere, mail, payments. Containers "
            "only; local processes use this machine's network.",
            readers=(),
        ),
    },
    "Between nginx and uWSGI": {
        "STACK_SOCKET": Toggle(
            "unix",
            Pattern("unix|tcp", "unix or tcp"),
            "what nginx and uWSGI talk over, if they share a host",
            "A unix socket costs a third less CPU time than TCP. More than one app container needs "
            "tcp. Streams and services on different hosts always use TCP.",
            readers=(NGINX, APP),
        ),
        "STACK_STREAM_PATHS": Toggle(
            "",
            Paths(),
            "paths whose answers are sent chunk by chunk and may last: server-sent events, exports",
            "Such as /events,/export. nginx sends each chunk at once and waits an hour for the "
            "next, and harakiri does not watch them. Each open answer occupies a thread.",
            readers=(NGINX,),
        ),
    },
    "Content": {
        "STACK_CSP": Toggle(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
            "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
            # nginx reads it between double quotes and expands variables in it.
            Pattern(r"[A-Za-z0-9 ;:/.,*?=&%+_'-]+", "a Content-Security-Policy in one line"),
            "Content-Security-Policy of pages whose app sends none",
            "Allows neither inline styles or scripts nor other origins. For inline code and a CDN: "
            "default-src 'self' 'unsafe-inline' https://cdn.example.org; frame-ancestors 'none'",
            readers=(NGINX,),
        ),
        "STACK_DEMO": Toggle(
            "off",
            Switch(),
            "create the demo account",
            "On creates an account with a public password. It is on if nothing sets it, STACK_BIND "
            "is a loopback address, and STACK_HOSTS and STACK_TLS are not set. This line turns it "
            "off.",
        ),
        "STACK_INSIDE": Toggle(
            "off",
            Pattern("off|admin|users", "off, admin or users"),
            "serve /inside/, the path of a request, to admins or to all users",
            "Records what each request runs, which costs CPU time. It is `users` where nothing "
            "sets it or STACK_DEMO, and STACK_DEMO is on.",
        ),
        "STACK_WORKLOAD": Toggle(
            "off",
            Switch(),
            "serve /workload/, the views for load tests",
            "On serves views for load tests, with which any client can load the machine.",
        ),
        "STACK_APP_METRICS": Toggle(
            "off",
            Switch(),
            "count and time the app's requests by endpoint, for /metrics",
            "On also serves what the app counts with prometheus_client, of all workers. It costs "
            "CPU time in each request (docs/operations.md).",
        ),
    },
    "Capacity": {
        "STACK_PROCESSES": Toggle(
            "auto",
            Whole(1, 128, auto="the cores it may use, 2 to 8"),
            "uWSGI worker processes",
            "Only processes use more than one core. auto counts the cores that affinity and the "
            "container's CPU limit allow, at most 8, or 4 with STACK_LAZY_APPS, so that a reload "
            "fits into APP_MEMORY. Name a larger number if there are more cores and memory.",
        ),
        "STACK_THREADS": Toggle(
            "4",
            Whole(1, 64),
            "threads per worker",
            "Threads overlap waits for Redis. Use 1 if the app is not thread-safe. Harakiri ends "
            "the requests of all threads of a worker.",
        ),
        "STACK_THUNDER_LOCK": Toggle(
            "on",
            Switch(),
            "wake one worker per connection, not all",
            "Off wakes every idle worker for each connection. uwsgi/uwsgi.ini says when that is "
            "faster.",
        ),
        "STACK_LAZY_APPS": Toggle(
            "off",
            Switch("on, off or auto", "on, off, auto", "auto"),
            "load the app in each worker instead of once before the fork",
            "On: each worker imports the app, for libraries that do not survive a fork. It costs "
            "memory and start-up time. Auto: as on, but only for an app that starts threads or "
            "opens connections at import; the log then names them.",
        ),
        "STACK_LISTEN": Toggle(
            "1024",
            Whole(16, 4096),
            "connections that may wait for a worker",
            "A longer queue means longer waits before an error. At most the kernel's "
            "net.core.somaxconn.",
        ),
        "STACK_START_TIMEOUT": Toggle(
            "60",
            Whole(1, 3600, "seconds"),
            "time that the app may take to start",
            "Seconds for the import of the app and the start of its workers. After that a start "
            "fails, and a reload leaves the old code in place.",
        ),
        "STACK_HARAKIRI": Toggle(
            "30",
            Whole(1, 60, "seconds"),
            "time after which a stuck worker is killed",
            "Seconds until uWSGI kills a worker, with all its threads. nginx gives up 5 s later.",
            readers=(NGINX, APP),
        ),
        "STACK_MAX_REQUESTS": Toggle(
            "0",
            Whole(0, 1_000_000_000, "0: never"),
            "requests after which a worker is replaced",
            "Only until a memory leak is found. A replacement costs a fork; with STACK_LAZY_APPS, "
            "an import.",
        ),
        "STACK_MAX_WORKER_LIFETIME": Toggle(
            "0",
            Whole(11, 2_592_000, "seconds; 0: never", zero=True),
            "age at which a worker is replaced",
            "(!) With threads, a worker past its lifetime can wait without limit for idle threads "
            "(https://github.com/unbit/uwsgi/issues/1221).",
        ),
        "STACK_BUFFER_SIZE": Toggle(
            "32768",
            Whole(8192, 65535, "bytes"),
            "largest request line and headers that uWSGI accepts",
            "Bytes for request line and headers. More allows larger cookies; allocated once per "
            "thread.",
            readers=(NGINX, APP),
        ),
        "STACK_MAX_FD": Toggle(
            "4096",
            Whole(256, 1_048_576),
            "open files per process",
            "uWSGI allocates a table of all. A container engine's default of 2^30 costs 8 GB and "
            "minutes at start (https://github.com/unbit/uwsgi/issues/2299).",
        ),
    },
    "Logins and sessions": {
        "STACK_LOGIN_RATE": Toggle(
            "30",
            Whole(0, 6000, "0: no limit"),
            "logins and registrations per minute and client address",
            "An IPv6 /64 counts as one address. Password checks count too. Load tests set 0.",
            readers=(NGINX,),
        ),
        "STACK_LOGIN_PATHS": Toggle(
            "/auth/login,/auth/register,/auth/reauthenticate,/auth/password",
            Paths(),
            "paths whose POST requests STACK_LOGIN_RATE limits",
            "List each form of your app that checks a password or sends mail.",
            readers=(NGINX,),
        ),
        "STACK_SESSION_IDLE": Toggle(
            "1800",
            Whole(1, 2_592_000, "seconds"),
            "time without a request after which a session ends",
            "Seconds. Shorter is safer on shared computers; longer asks for the password less "
            "often.",
        ),
        "STACK_SESSION_ABSOLUTE": Toggle(
            "28800",
            Whole(1, 31_536_000, "seconds"),
            "time after login at which a session ends in any case",
            "Seconds after login. At least STACK_SESSION_IDLE.",
        ),
    },
}

TOGGLES: Mapping[str, Toggle] = {
    name: toggle for section in SECTIONS.values() for name, toggle in section.items()
}
SERVICES = (NGINX, APP, "redis")
