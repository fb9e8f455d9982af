"""What can go wrong between the app and Redis, told apart by what the caller can do about it.

"There is no such session" is never an error. "Redis cannot say whether there is one" always is:
mistaking the second for the first would show somebody a page as a stranger, or let a revoked
session pass.
"""

from __future__ import annotations

from werkzeug.exceptions import ServiceUnavailable


class StoreUnavailable(ServiceUnavailable):
    """Redis is refused, stalled, slow, read-only, full or restarting.

    It is an HTTP error by birth: raised anywhere inside a view it becomes 503 with `Retry-After`,
    with no error handler to install, and `@app.errorhandler(503)` decides what the page looks
    like. Such a page must not touch the session: that would raise again.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The server cannot reach its data at the moment. Please try again in a few seconds.",
            retry_after=1,
        )
        # For the log only: it may name hosts, so the page does not show it.
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ReplyError(Exception):
    """Redis answered that the command itself is wrong; trying again would not help."""

    @property
    def code(self) -> str:
        """The first word of Redis's answer: `WRONGTYPE`, `NOSCRIPT`, `ERR`, …"""
        return str(self).partition(" ")[0]


class SessionTooLarge(ValueError):
    """The session would outgrow its limit; what it held before is kept."""
