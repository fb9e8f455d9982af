"""Reads the statistics of uWSGI's master from its socket: one JSON document per connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


def run_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of the master's socket and fifo, the only one that is written to."""
    return Path(environ.get("APP_RUN") or "/tmp/uwsgi")  # noqa: S108 - a tmpfs of the container


def statistics(run: Path) -> dict[str, Any]:
    """Return the document. Raises OSError while the master is starting or stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2.0)
        connection.connect(str(run / "stats.sock"))
        with connection.makefile("rb") as stream:
            text = stream.read()
    try:
        return cast("dict[str, Any]", json.loads(text))
    except ValueError as error:
        raise ConnectionError(f"the statistics were cut off after {len(text)} bytes") from error
