"""``python -m lab.servers.development HOST PORT``: the server of `flask run`, without its log.

`flask run` logs each request and has no option to turn that off.
"""

from __future__ import annotations

import sys

from werkzeug.serving import WSGIRequestHandler, run_simple

from lab.servers.hosted import application


class WithoutLog(WSGIRequestHandler):
    """Logs no requests, like the other servers here."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main() -> None:
    host, port = sys.argv[1:]
    run_simple(host, int(port), application, threaded=True, request_handler=WithoutLog)


if __name__ == "__main__":
    main()
