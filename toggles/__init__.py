"""Every ``STACK_*`` variable: its default, what it may be, and what it means.

Both runtimes, uWSGI's entrypoint and the app read their switches through this table, because uWSGI
itself does not complain: to it ``thunder-lock =`` and ``thunder-lock = flase`` both mean *enabled*.
Nothing here may need more than the standard library: ``make up`` reads it before any package is
installed.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

PREFIX = "STACK_"


class ToggleError(ValueError):
    """A value that cannot be used. Its text holds one line a fault, each naming its variable."""


class Kind(Protocol):
    """What a value may be. ``allowed`` completes the sentence "… must be"."""

    @property
    def allowed(self) -> str: ...

    def normalise(self, text: str) -> str | None:
        """The one spelling that everything downstream sees, or None for a value not allowed."""


@dataclass(frozen=True)
class Switch:
    """A boolean. ``on`` and ``off`` are the spellings that uWSGI, nginx and people all read."""

    allowed: str = "on or off (true/false, yes/no and 1/0 are understood)"

    def normalise(self, text: str) -> str | None:
        word = text.lower()
        if word in {"on", "true", "yes", "1"}:
            return "on"
        return "off" if word in {"off", "false", "no", "0"} else None


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``, both included."""

    low: int
    high: int
    note: str = ""

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}" + (self.note and f" ({self.note})")

    def normalise(self, text: str) -> str | None:
        # int() also takes "1_000", " 4" and other scripts' digits; uWSGI's atoi() does not.
        if not re.fullmatch(r"[0-9]{1,12}", text) or not self.low <= int(text) <= self.high:
            return None
        return str(int(text))


@dataclass(frozen=True)
class Pattern:
    """Text of one shape. Values end up in configuration files, so none may let a quote through."""

    expression: str
    allowed: str

    def normalise(self, text: str) -> str | None:
        return text if re.fullmatch(self.expression, text, re.ASCII) else None


@dataclass(frozen=True)
class Address:
    """An IP address. A host name could resolve to an interface that nobody meant to publish on."""

    allowed: str = "an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"

    def normalise(self, text: str) -> str | None:
        try:
            return str(ipaddress.ip_address(text)) if "%" not in text else None
        except ValueError:
            return None


@dataclass(frozen=True)
class Hosts:
    """Host names, comma-separated. The only kind for which empty is a value of its own."""

    allowed: str = (
        "host names without scheme or port, separated by commas (.example.org: also all below it)"
    )

    def normalise(self, text: str) -> str | None:
        names = [name.strip().lower() for name in text.split(",")] if text.strip() else []
        label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
        for name in names:
            if len(name) > 253 or not re.fullmatch(rf"\.?{label}(\.{label})*", name):
                return None
        return ",".join(dict.fromkeys(names))


@dataclass(frozen=True)
class Toggle:
    """One variable of the environment."""

    name: str
    default: str
    kind: Kind
    meaning: str

    def parse(self, text: str) -> str:
        """Return *text* in its normal spelling. Raises ToggleError, which names what is allowed."""
        if not text and not isinstance(self.kind, Hosts):
            # Compose passes ${X:-} as an empty string; guessing would hide a typo in an .env file.
            raise ToggleError(
                f"{self.name} is empty: must be {self.kind.allowed}; "
                f"leave it out for the default, {self.default}"
            )
        value = self.kind.normalise(text)
        if value is None:
            raise ToggleError(f"{self.name}={text!r}: must be {self.kind.allowed}")
        return value


_PORT = Whole(1, 65535)

TOGGLES: Mapping[str, Toggle] = {
    toggle.name: toggle
    for toggle in (
        Toggle(
            "STACK_NAME",
            "flask-uwsgi-stack",
            Pattern(
                r"[a-z0-9][a-z0-9_-]{0,40}",
                "up to 41 small letters, digits, - and _, beginning with a letter or digit",
            ),
            "name of this copy; copies with different names and ports do not see each other",
        ),
        Toggle(
            "STACK_APP",
            "app.wsgi:application",
            Pattern(
                r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?",
                "module:callable or module:factory()",
            ),
            "the WSGI app to serve",
        ),
        Toggle("STACK_BIND", "127.0.0.1", Address(), "address that nginx is published on"),
        Toggle("STACK_PORT", "8080", _PORT, "port that nginx is published on"),
        Toggle("STACK_HOSTS", "", Hosts(), "host names that are answered; empty: every one"),
        Toggle("STACK_DEMO", "off", Switch(), "create the demo account"),
        Toggle("STACK_WORKLOAD", "off", Switch(), "serve /workload/, the views for load tests"),
        Toggle("STACK_TLS", "off", Switch(), "serve HTTPS as well"),
        Toggle("STACK_TLS_PORT", "8443", _PORT, "port that HTTPS is published on"),
        Toggle("STACK_PROCESSES", "4", Whole(1, 128), "uWSGI worker processes"),
        Toggle("STACK_THREADS", "2", Whole(1, 64), "threads in each worker"),
        Toggle("STACK_THUNDER_LOCK", "on", Switch(), "wake one worker per connection, not all"),
        Toggle("STACK_LAZY_APPS", "off", Switch(), "load the app in each worker, not before fork"),
        Toggle("STACK_LISTEN", "1024", Whole(16, 4096), "connections that may wait for a worker"),
        Toggle(
            "STACK_HARAKIRI", "30", Whole(1, 60, "seconds"), "time after which a worker is killed"
        ),
        Toggle(
            "STACK_MAX_REQUESTS",
            # Recycling hides a leak and costs a fork (with lazy-apps: an import) at a moment that
            # nobody chose. The app has no leak; who has one sets this until it is found.
            "0",
            Whole(0, 1_000_000_000, "0: never"),
            "requests after which a worker is replaced",
        ),
        Toggle(
            "STACK_MAX_WORKER_LIFETIME",
            # Beside that, uWSGI may wait for ever for a recycled worker's idle threads (#1221).
            "0",
            Whole(0, 2_592_000, "seconds; 0: never"),
            "age at which a worker is replaced",
        ),
        Toggle(
            "STACK_BUFFER_SIZE",
            "32768",
            Whole(8192, 65535, "bytes"),
            "largest request line and headers that uWSGI takes",
        ),
        Toggle("STACK_MAX_FD", "4096", Whole(256, 1_048_576), "open files per process"),
        Toggle(
            "STACK_LOGIN_RATE",
            "30",
            Whole(0, 6000, "0: no limit"),
            "logins and registrations a minute and address",
        ),
        Toggle(
            "STACK_SESSION_IDLE",
            "1800",
            Whole(1, 2_592_000, "seconds"),
            "time without a request after which a session ends",
        ),
        Toggle(
            "STACK_SESSION_ABSOLUTE",
            "28800",
            Whole(1, 31_536_000, "seconds"),
            "time after login at which a session ends in any case",
        ),
    )
}


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """Return every toggle's value, defaults filled in, in the table's order.

    Raises ToggleError with one line for each fault, so that a file of settings is put right in one
    go. A ``STACK_`` name that is not in the table is a fault: it is a typo more often than not.
    """
    faults = [_unknown(name) for name in environ if name.startswith(PREFIX) and name not in TOGGLES]
    values: dict[str, str] = {}
    for name, toggle in TOGGLES.items():
        try:
            values[name] = toggle.parse(environ.get(name, toggle.default))
        except ToggleError as error:
            faults.append(str(error))
    if not faults:
        faults = _disagreements(values)
    if faults:
        raise ToggleError("\n".join(faults))
    return values


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, TOGGLES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(TOGGLES)}"
    return f"{name}: no such setting; {hint}"


def _disagreements(values: Mapping[str, str]) -> list[str]:
    faults = []
    if int(values["STACK_SESSION_ABSOLUTE"]) < int(values["STACK_SESSION_IDLE"]):
        faults.append(
            f"STACK_SESSION_ABSOLUTE={values['STACK_SESSION_ABSOLUTE']!r}: must be at least "
            f"STACK_SESSION_IDLE, which is {values['STACK_SESSION_IDLE']}"
        )
    if values["STACK_TLS"] == "on" and values["STACK_TLS_PORT"] == values["STACK_PORT"]:
        faults.append(f"STACK_TLS_PORT={values['STACK_TLS_PORT']!r}: must differ from STACK_PORT")
    return faults
