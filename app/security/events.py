"""The security log, with the event names of OWASP's logging vocabulary.

Accounts are logged by id, and a name typed at login as a keyed hash, because people type their
password into the wrong field. The client's address is in nginx's line with the same request id.
"""

from __future__ import annotations

import logging

_log = logging.getLogger("app.security")


def record(event: str, **fields: str | int) -> None:
    """Log a regular event."""
    _log.info(event, extra=fields)


def warn(event: str, **fields: str | int) -> None:
    """Log an event that can be part of an attack."""
    _log.warning(event, extra=fields)
