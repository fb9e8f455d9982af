"""The app's log: JSON lines on stderr, joined to nginx's access log by the request id.

Everything goes through the standard logging tree, so libraries' records look the same as ours. A
request that went well leaves no line here: nginx has logged it.
"""

from __future__ import annotations

import logging
import sys

import structlog
from flask import has_request_context, request
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
# Nobody logs these on purpose. A dict that is logged whole may hold one.
SECRET_WORDS = ("cookie", "password", "secret", "authorization", "csrf", "session_id")


def configure(*, readable: bool = False) -> None:
    """Send the whole logging tree to stderr, as JSON or, while developing, *readable*."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(readable=readable))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def formatter(*, readable: bool = False) -> logging.Formatter:
    """Turn log records, with their `extra` fields, into one line each."""
    last: list[Processor]
    if readable:
        last = [structlog.dev.ConsoleRenderer()]
    else:
        # The plain traceback: structlog's dict form would write out local variables, and a
        # password is one in a login view.
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_request,
            redact,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def add_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the request that a record belongs to, if any; its query string may hold anything."""
    if has_request_context():
        event["request_id"] = request_id()
        event["method"] = request.method
        event["path"] = request.path
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in event:
        if any(word in name.lower() for word in SECRET_WORDS):
            event[name] = REDACTED
    return event


def request_id() -> str:
    """The id that nginx gave this request; empty where no nginx stands before the app."""
    found: str = request.environ.get("HTTP_X_REQUEST_ID", "")
    return found
