"""The environment of the local services: who listens where, and where each keeps what it needs.

The same variables stand in docker-compose.yml: an entrypoint does not know which of the two it was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from stack.programs import SEARCH_PATH

_NOT_INHERITED = re.compile(
    # STACK_ is replaced by checked values. uWSGI takes every UWSGI_* for an option, even one that
    # was meant for another stack on this machine. Make's are for the make that called.
    r"(STACK|UWSGI|NGINX|REDIS|APP|METRICS|TLS)_.*|SECRET_KEY_FILE|MAKE.*|MFLAGS|RUNTIME|PYTHONHOME"
)


def environment(
    run: Path,
    checkout: Path,
    binaries: Path,
    *,
    toggles: Mapping[str, str],
    ports: Mapping[str, int],
    settings: Mapping[str, str],
) -> dict[str, str]:
    """Return what redis, app and nginx are started with.

    *ports* are the internal ones: ``app`` (uwsgi protocol), ``metrics`` and ``status`` (nginx's
    counters). What else stands in this process's environment is passed on: an app of the user's own
    may need it.
    """
    inherited = {k: v for k, v in os.environ.items() if not _NOT_INHERITED.fullmatch(k)}
    bind = bracketed(toggles["STACK_BIND"])
    search = [os.fspath(checkout), os.environ.get("PYTHONPATH", "")]
    return {
        **inherited,
        **toggles,
        "PATH": os.pathsep.join([os.fspath(binaries), SEARCH_PATH]),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "PYTHONUNBUFFERED": "1",
        # nginx
        "NGINX_LISTEN": f"{bind}:{toggles['STACK_PORT']}",
        "NGINX_LISTEN_TLS": f"{bind}:{toggles['STACK_TLS_PORT']}",
        "NGINX_STATUS_LISTEN": f"127.0.0.1:{ports['status']}",
        "NGINX_RUN": f"{run}/nginx",
        "NGINX_STATIC": f"{run}/static",
        # Never asked, because APP_HOST is an address; but nginx wants to have one.
        "NGINX_RESOLVER": "127.0.0.1",
        "TLS_CERT_FILE": settings.get("TLS_CERT_FILE") or f"{run}/secrets/tls-certificate.pem",
        "TLS_KEY_FILE": settings.get("TLS_KEY_FILE") or f"{run}/secrets/tls-key.pem",
        "APP_HOST": "127.0.0.1",
        "APP_PORT": str(ports["app"]),
        # uWSGI and the app
        "APP_LISTEN": f"127.0.0.1:{ports['app']}",
        "METRICS_LISTEN": f"127.0.0.1:{ports['metrics']}",
        "UWSGI_RUN": f"{run}/uwsgi",
        "SECRET_KEY_FILE": f"{run}/secrets/secret-key",
        "REDIS_URL": f"unix://app@{run}/redis.sock?db=0",
        # Redis
        "REDIS_PASSWORD_FILE": f"{run}/secrets/redis-password",
        "REDIS_LISTEN": f"{run}/redis.sock",
        "REDIS_RUN": f"{run}/redis",
        "REDIS_DATA": f"{run}/data",
        "REDIS_MAXMEMORY": settings.get("REDIS_MAXMEMORY") or "128mb",
    }


def public_address(toggles: Mapping[str, str]) -> str:
    """Return where a client on this machine finds the stack."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound
    bind = toggles["STACK_BIND"]
    host = bracketed(everywhere.get(bind, bind))
    if toggles["STACK_TLS"] == "on":
        return f"https://{host}:{toggles['STACK_TLS_PORT']}"
    return f"http://{host}:{toggles['STACK_PORT']}"


def known_host(toggles: Mapping[str, str]) -> str:
    """Return a name that nginx answers to, or nothing where it answers to all."""
    first = toggles["STACK_HOSTS"].split(",")[0]
    return f"www{first}" if first.startswith(".") else first


def bracketed(address: str) -> str:
    """``::1`` → ``[::1]``, as it stands before a port."""
    return f"[{address}]" if ":" in address else address
