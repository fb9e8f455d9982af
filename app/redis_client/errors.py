"""Errors between the app and Redis.

A key that cannot be looked up is always one: taken for a missing key, it would show a logged-in
person the page of a stranger, or accept a revoked session.
"""

from __future__ import annotations

from werkzeug.exceptions import ServiceUnavailable


class StoreUnavailable(ServiceUnavailable):
    """Redis refuses connections, stalls, is too slow, read-only, full or restarting.

    A view that raises it answers 503 with `Retry-After`. `@app.errorhandler(503)` sets the page,
    which must not access the session.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The server cannot reach its data at the moment. Please try again in a few seconds.",
            retry_after=1,
        )
        self.reason = reason  # for the log: it can name hosts, so the page does not show it

    def __str__(self) -> str:
        return self.reason


class ReplyError(Exception):
    """Redis rejected the command itself. A retry would fail again."""

    @property
    def code(self) -> str:
        """The first word of the reply: `WRONGTYPE`, `NOSCRIPT`, `ERR`, …"""
        return str(self).partition(" ")[0]
