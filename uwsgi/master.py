"""What uWSGI's master says of itself: its statistics socket, a JSON document a connection."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, cast

TIMEOUT_SECONDS = 2.0


def statistics(run: Path) -> dict[str, Any]:
    """Return the document. Raises OSError while the master does not answer: starting, stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(str(run / "stats.sock"))
        with connection.makefile("rb") as stream:
            text = stream.read()
    try:
        return cast("dict[str, Any]", json.loads(text))
    except ValueError as error:
        raise ConnectionError(f"the statistics were cut off after {len(text)} bytes") from error
