"""Text that may be committed: it names no directory of a machine."""

from __future__ import annotations

import re

# A path below these root directories names a place on a machine. Paths of requests begin otherwise.
_ROOTS = (
    "bin|boot|builds|dev|etc|github|home|lib|lib64|media|mnt|nix|opt|private|proc|root|run|sbin|srv"
    "|sys|tmp|usr|Users|var|work|workspace|workspaces"
)
_PATH = re.compile(rf"(?<![\w.:/-])/(?:{_ROOTS})(?:/[\w.@+~-]+)+/?")


def without_paths(text: str) -> str:
    """*text* with every absolute path of a file reduced to the file's name."""
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)
