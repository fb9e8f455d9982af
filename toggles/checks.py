"""The kinds of value that a toggle can hold, and the error for a value that is not allowed."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Protocol


class ToggleError(ValueError):
    """One or more values are not allowed. The text has one line per fault, with the variable."""


class Kind(Protocol):
    @property
    def allowed(self) -> str:
        """The end of the sentence "NAME must be …"."""

    @property
    def summary(self) -> str:
        """The same in the few words that fit into a column of a table."""

    def normalise(self, text: str) -> str | None:
        """Return the one spelling that every reader gets, or None if *text* is not allowed."""


@dataclass(frozen=True)
class Switch:
    """A boolean, or ``other``. uWSGI, nginx and Python code all read ``on`` and ``off``."""

    allowed: str = "on or off (or true/false, yes/no, 1/0)"
    summary: str = "on, off"
    other: str | None = None

    def normalise(self, text: str) -> str | None:
        lower = text.lower()
        if lower == self.other:
            return lower
        if lower in {"on", "true", "yes", "1"}:
            return "on"
        return "off" if lower in {"off", "false", "no", "0"} else None


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``, both included, or with ``zero`` also 0."""

    low: int
    high: int
    note: str = ""
    zero: bool = False
    auto: str = ""  # what `auto` means, if it is allowed

    @property
    def summary(self) -> str:
        zero = "0 or " if self.zero else ""
        auto = self.auto and f", or auto ({self.auto})"
        return f"{zero}{self.low} to {self.high}" + (self.note and f" ({self.note})") + auto

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.summary}"

    def normalise(self, text: str) -> str | None:
        if self.auto and text.lower() == "auto":
            return "auto"
        # int() also accepts "1_000", " 4" and non-ASCII digits, which uWSGI's atoi() misreads.
        if not re.fullmatch(r"[0-9]{1,12}", text):
            return None
        number = int(text)
        allowed = self.low <= number <= self.high or (self.zero and number == 0)
        return str(number) if allowed else None


@dataclass(frozen=True)
class Pattern:
    """Text that matches ``expression``. Values reach configuration files: allow no quotes."""

    expression: str
    allowed: str

    @property
    def summary(self) -> str:
        return self.allowed

    def normalise(self, text: str) -> str | None:
        return text if re.fullmatch(self.expression, text, re.ASCII) else None


@dataclass(frozen=True)
class Address:
    """An IP address. A host name could resolve to an interface that must not be published."""

    allowed: str = "an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
    summary: str = "an IP address; `0.0.0.0` for all interfaces"

    def normalise(self, text: str) -> str | None:
        try:
            return str(ipaddress.ip_address(text)) if "%" not in text else None
        except ValueError:
            return None


def _listed(text: str) -> list[str]:
    """The parts of a list with commas; an empty part between two commas stays, as a fault."""
    return [part.strip() for part in text.split(",")] if text.strip() else []


@dataclass(frozen=True)
class Hosts:
    """Host names, separated by commas."""

    allowed: str = (
        "host names without scheme or port, separated by commas "
        "(.example.org also matches its subdomains)"
    )
    summary: str = "host names, separated by commas; `.example.org` includes its subdomains"

    def normalise(self, text: str) -> str | None:
        names = _listed(text.lower())
        label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
        for name in names:
            if len(name) > 253 or not re.fullmatch(rf"\.?{label}(\.{label})*", name):
                return None
        return ",".join(dict.fromkeys(names))


@dataclass(frozen=True)
class Paths:
    """Paths of a URL, separated by commas. Each stands for itself and for all below it."""

    allowed: str = "paths such as /events, separated by commas"
    summary: str = "paths, separated by commas"

    def normalise(self, text: str) -> str | None:
        # No character that a regular expression or nginx's configuration interprets, but the dot.
        paths = [path.rstrip("/") for path in _listed(text)]
        if not all(re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path, re.ASCII) for path in paths):
            return None
        return ",".join(dict.fromkeys(paths))


@dataclass(frozen=True)
class Networks:
    """IP networks, separated by commas. Wider ones than /8 would trust much of the internet."""

    allowed: str = "networks like 10.0.0.0/8 or fd00::/8, separated by commas, none wider than /8"
    summary: str = "networks, separated by commas, none wider than /8"

    def normalise(self, text: str) -> str | None:
        try:
            networks = [ipaddress.ip_network(network) for network in _listed(text)]
        except ValueError:
            return None
        wide = any(network.prefixlen < 8 for network in networks)
        return None if wide else ",".join(dict.fromkeys(map(str, networks)))
