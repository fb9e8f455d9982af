"""`python3 healthcheck.py [HOST:PORT or PATH]`: exits with 0 if the app responds, otherwise with 1.

It speaks the uwsgi protocol: curl cannot, and a second port for HTTP would be one more to protect.
The default address is where nginx asks: APP_SOCKET or, with STACK_SOCKET=tcp, APP_LISTEN. It
requests /livez, which uses neither Redis nor a session: a restart of the app does not bring its
database back. Every status below 500 passes, so an app without /livez is healthy with its 404.
"""

from __future__ import annotations

import os
import sys

from protocol import DEFAULT_LISTEN, get

PATH = "/livez"


def main(arguments: list[str]) -> int:
    default = os.environ.get("APP_LISTEN") or DEFAULT_LISTEN
    if os.environ.get("STACK_SOCKET") != "tcp":
        default = os.environ.get("APP_SOCKET") or default
    listen = (arguments or [default])[0]
    try:
        # Below the container's health check timeout of 3 s.
        status, _ = get(listen, PATH, timeout=2.5)
    except (OSError, ValueError) as error:
        print(f"{listen}{PATH}: {error}", file=sys.stderr)
        return 1
    print(f"{listen}{PATH}: {status}")
    return 0 if status < 500 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
