"""The demo account that STACK_DEMO=on creates. docs/security.md publishes its password."""

from collections.abc import Mapping

DEMO_NAME = "demo"
DEMO_PASSWORD = "look-around-first"  # noqa: S105


def by_default(environ: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Return STACK_DEMO where nothing sets it: on where the stack is certainly for one person.

    STACK_BIND has to be given: outside of `make up` and Compose nobody knows who reaches the stack.
    A stack with TLS or a host name is for others too, perhaps through a proxy on this machine.
    """
    loopback = environ.get("STACK_BIND", "").startswith(("127.", "::1"))
    alone = loopback and values["STACK_TLS"] == "off" and not values["STACK_HOSTS"]
    return "on" if alone else "off"
