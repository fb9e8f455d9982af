"""The security log, with the event names of OWASP's logging vocabulary.

Accounts are logged by id. A name typed at login is logged only as a keyed hash, because people type
their password into the wrong field. app/logs.py adds the time and the request id; the client's
address is in nginx's line with the same id.
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
