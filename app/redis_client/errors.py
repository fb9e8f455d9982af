"""Errors between the app and Redis, separated by what the caller can do about them.

A missing key is never an error. A key that cannot be looked up always is: treating the second as
the first would show a logged-in person the page of a stranger, or accept a revoked session.
"""

from __future__ import annotations

from werkzeug.exceptions import ServiceUnavailable


class StoreUnavailable(ServiceUnavailable):
    """Redis refuses connections, stalls, is too slow, read-only, full or restarting.

    It is an HTTP exception, so a view that raises it answers 503 with `Retry-After` without an
    error handler. `@app.errorhandler(503)` sets the page; that page must not touch the session,
    which would raise again.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The server cannot reach its data at the moment. Please try again in a few seconds.",
            retry_after=1,
        )
        # For the log. It can name hosts, so the page does not show it.
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ReplyError(Exception):
    """Redis rejected the command itself. A retry would fail again."""

    @property
    def code(self) -> str:
        """The first word of the reply: `WRONGTYPE`, `NOSCRIPT`, `ERR`, …"""
        return str(self).partition(" ")[0]
