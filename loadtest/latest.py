"""One folder a run, named for its start, and a link `latest` to the newest.

The load test and the lab both write `results/<name>/2026-11-25T18-20-00Z` and
`results/<name>/latest`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path


def new_folder(parent: Path) -> Path:
    """Create a folder named for the current time (UTC) in *parent* and return it.

    Later runs of the same second get `-2`, `-3` … behind the time. Raises OSError.
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder, number = parent / stamp, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = parent / f"{stamp}-{number}"
        else:
            return folder


def point_to(folder: Path) -> None:
    """Make `latest` beside *folder* a link to it.

    The old link is replaced in one step: a reader sees the old or the new run, never none.
    """
    link = folder.with_name(f".latest-{folder.name}")
    link.symlink_to(folder.name)
    link.replace(folder.with_name("latest"))
