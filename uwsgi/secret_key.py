"""Creates the file that SECRET_KEY_FILE names. `python3 uwsgi/secret_key.py` does only that.

The file appears complete or not at all. If several programs start at once, one of them creates it
and the others use it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def provide(file: Path) -> bool:
    """Return whether *file* had to be created. Raises OSError if that fails."""
    if file.exists():
        return False
    new = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
        file.hardlink_to(new)
    except FileExistsError:
        return False
    finally:
        new.unlink(missing_ok=True)
    return True


if __name__ == "__main__":
    provide(Path(os.environ["SECRET_KEY_FILE"]))
