"""The app that a user brings in ``project/``: its folder, its packages and its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stack import dotenv
from stack.errors import StackError

FOLDER = Path("project")
PINS = FOLDER / "requirements.txt"
VARIABLES = FOLDER / "app.env"

# Those that the stack sets, and those of uWSGI, which its entrypoint removes.
_NOT_THE_APPS = re.compile(
    r"(STACK|UWSGI)_.*|APP_(ENVIRONMENT|LISTEN|RUN|SOCKET)|METRICS_LISTEN|REDIS_(URL|PASSWORD_FILE)|SECRET_KEY_FILE"
    r"|DATA_DIR|PATH|PYTHONPATH|VIRTUAL_ENV"
)


def variables(checkout: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``app.env``; the text may refer to *environ*.

    Raises StackError for a name that is not the app's: in containers the stack's value would win.
    """
    found = dotenv.read(checkout / VARIABLES, environ)
    if others := [name for name in found if _NOT_THE_APPS.fullmatch(name)]:
        raise StackError(
            f"{', '.join(others)} in {VARIABLES}: the stack sets this",
            "settings of the stack belong in .env",
        )
    return found


def strays(checkout: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the names in ``.env`` that nothing of the stack reads: usually they are the app's."""
    files = [checkout / ".env.example"]  # and Compose's files, and the variables of units
    files += [*checkout.glob("docker-compose*.yml"), *checkout.glob("docs/examples/*.yml")]
    files += checkout.glob("*/*.mk")
    known = {name for f in files for name in re.findall(r"\w+", f.read_text(encoding="utf-8"))}
    found = dotenv.read(checkout / ".env", environ)
    return [name for name in found if name not in known and not name.startswith("COMPOSE_")]
