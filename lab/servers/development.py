"""``python -m lab.servers.development HOST PORT``: Werkzeug's server as `flask run` has it.

Not by that command, which writes a line for each request and has no switch against it.
"""

from __future__ import annotations

import sys

from werkzeug.serving import WSGIRequestHandler, run_simple

from lab.servers.hosted import application


class WithoutLog(WSGIRequestHandler):
    """No line for each request: none of the other servers writes one here."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main() -> None:
    host, port = sys.argv[1:]
    run_simple(host, int(port), application, threaded=True, request_handler=WithoutLog)


if __name__ == "__main__":
    main()
