"""Addresses as clients on this machine use them, from the toggles that a copy runs with."""

from __future__ import annotations

from collections.abc import Mapping


def public_address(toggles: Mapping[str, str]) -> str:
    """Return where a client on this machine finds the stack, such as ``http://127.0.0.1:8080``."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound
    bind = toggles["STACK_BIND"]
    host = bracketed(everywhere.get(bind, bind))
    if toggles["STACK_TLS"] == "on":
        return f"https://{host}:{toggles['STACK_TLS_PORT']}{toggles['STACK_PREFIX']}"
    return f"http://{host}:{toggles['STACK_PORT']}{toggles['STACK_PREFIX']}"


def known_host(toggles: Mapping[str, str]) -> str:
    """Return a host name that nginx answers to; empty where it answers to every name."""
    first = toggles["STACK_HOSTS"].split(",")[0]
    return f"www{first}" if first.startswith(".") else first


def bracketed(address: str) -> str:
    """``::1`` → ``[::1]``, as it stands before a port."""
    return f"[{address}]" if ":" in address else address
