"""The security log: who did what to which account, in the words of OWASP's logging vocabulary.

Accounts appear by id. A name as it was typed at login never does, only a keyed hash of it: people
type their password into the wrong field. app/logs adds time and request id; the address is in
nginx's line with the same id.
"""

from __future__ import annotations

import logging

_log = logging.getLogger("app.security")


def record(event: str, **fields: str | int) -> None:
    """Something that happened as it should."""
    _log.info(event, extra=fields)


def warn(event: str, **fields: str | int) -> None:
    """Something that may be an attack, or is one when there are many of them."""
    _log.warning(event, extra=fields)
