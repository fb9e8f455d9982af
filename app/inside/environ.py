"""The WSGI environ of a request for readers: each key with its meaning, secrets redacted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# PEP 3333, https://peps.python.org/pep-3333/#environ-variables, and what nginx adds here.
MEANINGS: Mapping[str, str] = {
    "REQUEST_METHOD": "the method, such as GET",
    "SCRIPT_NAME": "the part of the path that belongs to the app as a whole (STACK_PREFIX)",
    "PATH_INFO": "the rest of the path, decoded: Flask matches its rules against it",
    "QUERY_STRING": "what follows the question mark, still encoded",
    "REQUEST_URI": "path and query as the client sent them",
    "CONTENT_TYPE": "the type of the body; empty without one",
    "CONTENT_LENGTH": "the length of the body in bytes; empty without one",
    "SERVER_NAME": "the host that the client asked for",
    "SERVER_PORT": "the port that nginx listens on",
    "SERVER_PROTOCOL": "the version of HTTP between the client and nginx",
    "REMOTE_ADDR": "the client's address, as nginx determined it",
    "HTTP_HOST": "the Host header: one of ours, or nginx would have refused it",
    "HTTP_X_REQUEST_ID": "the id that nginx gave this request; it joins all logs",
    "NGINX_TIMES": "nginx's clock at the hand-over, and the time that it took to read the request",
    "wsgi.version": "the version of this contract: 1.0",
    "wsgi.url_scheme": "http or https, for building addresses",
    "wsgi.input": "a file with the body; nothing of it is in memory until the app reads it",
    "wsgi.errors": "a file for messages to the server's log",
    "wsgi.multithread": "whether another thread of this process may call the app meanwhile",
    "wsgi.multiprocess": "whether another process may serve the same app",
    "wsgi.run_once": "whether the server expects to call the app only once",
    "wsgi.file_wrapper": "makes an iterable of a file that the server sends without copying",
    "uwsgi.version": "the server's own addition",
    "uwsgi.node": "the server's own addition: the name of this host",
}
_SECRET = ("COOKIE", "AUTHORIZATION", "TOKEN", "SECRET", "PASSWORD")


def described(environ: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Key, value and meaning of each entry that the server made, in alphabetical order."""
    return list(_lines(environ))


def _lines(environ: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in sorted(environ):
        # Flask's, Werkzeug's and our own entries are made later.
        if not (key.isupper() or key.startswith(("wsgi.", "uwsgi."))):
            continue
        meaning = MEANINGS.get(key)
        if meaning is None:
            if not key.startswith("HTTP_"):
                continue
            meaning = f"the header {key.removeprefix('HTTP_').replace('_', '-').title()}"
        value = environ[key]
        shown = value if isinstance(value, str) else repr(value)
        if any(word in key for word in _SECRET):
            shown = f"[{len(shown)} characters, not shown]"
        yield key, shown[:200], meaning
