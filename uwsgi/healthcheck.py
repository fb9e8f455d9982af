"""`python3 healthcheck.py HOST:PORT [PATH]`: does the app answer? Exit code 0 or 1.

Speaks the uwsgi protocol itself: curl cannot, and a second port for HTTP would be one more way in.
The default path, /livez, asks neither Redis nor a session: an app is not to be restarted because
its database is away. With an app of yours that has no /livez, a 404 is a sign of life too.
"""

from __future__ import annotations

import sys

from protocol import status_of

TIMEOUT_SECONDS = 2.5  # below the container's health check timeout of 3 s


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    listen, path = arguments[0], (arguments[1:] or ["/livez"])[0]
    try:
        status = status_of(listen, path, TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        print(f"{listen}{path}: {error}", file=sys.stderr)
        return 1
    print(f"{listen}{path}: {status}")
    return 0 if status < 500 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
