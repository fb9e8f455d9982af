"""Reads the statistics of uWSGI's master from its socket: one JSON document per connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


def run_directory(environ: Mapping[str, str]) -> Path:
    """Return the only directory that is written to; the entrypoint's own holds the generations'."""
    return Path(environ.get("APP_RUN") or "/tmp/uwsgi")  # noqa: S108 - a tmpfs of the container


def serves(directory: Path) -> bool:
    """Whether *directory* is that of the generation that serves, not of one that starts or ends."""
    try:
        return (directory.parent / "current").readlink().name == directory.name
    except OSError:
        return True  # started without uwsgi/entrypoint


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
