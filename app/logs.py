"""The app's log: JSON lines on stderr. The request id joins them to nginx's access log.

All records pass through the standard logging tree, so those of libraries have the same form.
Successful requests are not logged here: nginx logs them.
"""

from __future__ import annotations

import logging

import structlog
from flask import has_request_context, request
from structlog.typing import EventDict, WrappedLogger

# Fields whose names contain one of these are redacted: a dict that is logged whole may hold one.
SECRET_NAMES = ("cookie", "password", "secret", "authorization", "csrf", "session_id")


def configure(*, readable: bool = False) -> None:
    """Log everything to stderr, as JSON or, for development, as *readable* text."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(readable=readable))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def formatter(*, readable: bool = False) -> logging.Formatter:
    """A formatter that writes each record, with its `extra` fields, as one line."""
    # A plain traceback: structlog's dict form has local variables, in the login view a password.
    json = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    renderers = [structlog.dev.ConsoleRenderer()] if readable else json
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_request,
            redact,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def add_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the current request, if any. The query string is left out: it may hold secrets."""
    if has_request_context():
        event["request_id"] = request_id()
        if trace := request.environ.get("HTTP_TRACEPARENT"):
            event["traceparent"] = trace
        event["method"] = request.method
        event["path"] = request.path
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in event:
        if any(secret in name.lower() for secret in SECRET_NAMES):
            event[name] = "[redacted]"
    return event


def request_id() -> str:
    """The id that nginx assigned to this request; empty without nginx."""
    return str(request.environ.get("HTTP_X_REQUEST_ID", ""))
