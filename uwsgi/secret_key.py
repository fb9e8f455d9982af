"""Creates the file that SECRET_KEY_FILE names. `python3 uwsgi/secret_key.py` does only that.

The file appears complete or not at all. If several programs start at once, one of them creates it
and the others use it.
"""

from __future__ import annotations

import os
import secrets
import sys
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


def main() -> int:
    name = os.environ.get("SECRET_KEY_FILE")
    if not name:
        print("secret_key: SECRET_KEY_FILE is not set", file=sys.stderr)
        return 2
    try:
        provide(Path(name))
    except OSError as error:
        print(f"secret_key: cannot create {name}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
