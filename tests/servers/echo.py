"""A WSGI app that shows each request as it arrived, and misbehaves on request.

It uses no framework, so that a test sees the servers alone.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    status, headers, body = "200 OK", [("Content-Type", "text/plain")], b"ok\n"
    if path == "/read":
        size = sum(len(part) for part in iter(lambda: environ["wsgi.input"].read(65536), b""))
        body = f"{size}\n".encode()
    elif path == "/refuse":
        status, body = "422 Unprocessable Content", b"refused without reading the body\n"
    elif path == "/own-headers":
        headers += [
            ("Content-Security-Policy", "default-src 'self'; style-src 'unsafe-inline'"),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Request-ID", "the-app-says-so"),
            ("Cache-Control", "private"),
        ]
    elif path == "/x-accel":
        headers += [
            ("X-Accel-Redirect", "/nginx-error.html"),
            ("X-Accel-Limit-Rate", "1"),
            ("X-Accel-Expires", "600"),
            ("X-Accel-Charset", "utf-16"),
        ]
    elif path == "/own-404":
        status, body = "404 Not Found", b"the app's own page\n"
    elif path == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    elif path == "/large":
        body = b"x" * 300_000
    else:
        headers = [("Content-Type", "application/json")]
        body = json.dumps(_seen(environ)).encode()
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]


def _seen(environ: Environ) -> dict[str, str]:
    seen = {name: value for name, value in environ.items() if isinstance(value, str)}
    return seen | {"pid": str(os.getpid())}
