"""Checks the address to load, and refuses addresses of others.

A load test of somebody else's server is an attack. Without ``ALLOW_REMOTE=yes`` only this machine
and the stack's own container are loaded.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

# The service of docker-compose.yml that speaks HTTP. Other names without a dot are refused, because
# an office's DNS resolves them too.
COMPOSE_SERVICE = "nginx"

# A stack that was just started may say "not yet": a worker's first connection to Redis takes longer
# than a check of readiness may.
PATIENCE_S = 5.0


class TargetError(Exception):
    """The address cannot be loaded. *remedy* says what to do; *usage*: the option is wrong."""

    def __init__(self, message: str, remedy: str, *, usage: bool = False) -> None:
        super().__init__(f"{message}: {remedy}")
        self.usage = usage


def refuse_foreign(url: str, environ: Mapping[str, str]) -> None:
    """Raise TargetError unless *url* is this machine, our container, or ALLOW_REMOTE is set."""
    name = _host_of(url)
    if name is None:
        raise TargetError(
            f"HOST={url!r} is not an address",
            "give scheme, host, port and STACK_PREFIX only, such as http://127.0.0.1:8080",
            usage=True,
        )
    if environ.get("ALLOW_REMOTE") == "yes":
        return
    addresses = _addresses(name)
    this_machine = all(_is_ours(address) for address in addresses)
    container = name == COMPOSE_SERVICE and all(address.is_private for address in addresses)
    if not this_machine and not container:
        raise TargetError(
            f"{name} is not this machine and not the stack's own container",
            "load only your own servers; if this one is yours, set ALLOW_REMOTE=yes",
            usage=True,
        )


def check_answers(url: str) -> None:
    """Raise TargetError unless the stack at *url* answers and is ready within PATIENCE_S."""
    # Like Locust, without the proxy of http_proxy, and with a self-signed certificate too.
    https = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())  # noqa: S323
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with direct.open(f"{url}/readyz", timeout=10):
                return
        except urllib.error.HTTPError as error:
            if error.code == 404:  # an app without our /readyz does answer
                return
            if error.code != 503 or time.monotonic() > deadline:
                message = f"{url} answers but is not ready (GET /readyz: {error.code})"
                raise TargetError(message, "look at `make status` and `make logs`") from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise TargetError(
                f"{url} does not answer ({reason})", "start the stack with `make up`, or give HOST="
            ) from error
        time.sleep(1)  # the Retry-After of /readyz


def _host_of(url: str) -> str | None:
    """The host of a base URL; None if *url* is not one."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is out of range
    except ValueError:
        return None
    extra = parts.query or parts.fragment or parts.username
    return None if parts.scheme not in {"http", "https"} or extra else parts.hostname


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether *address* is one of this machine's (STACK_BIND may name any of them)."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))  # for UDP: looks up the route, sends nothing
        except OSError:
            return False
        return str(probe.getsockname()[0]) == str(address)


def _addresses(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TargetError(
            f"the name {name} has no address ({error.strerror})", "check HOST="
        ) from error
    # A link-local address carries its interface behind a %.
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]
