"""Puts STACK_BEFORE_START in front of the command that starts uWSGI.

The shell that runs it then executes uWSGI, so its pid, its stop and its time limit are uWSGI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Differs from uWSGI's own codes; the command's could be one of them.
FAILED = 23

_RUN_THEN_EXECUTE = f"""\
echo 'uwsgi/entrypoint: running STACK_BEFORE_START' >&2
sh -c "$0" || {{
    echo "uwsgi/entrypoint: STACK_BEFORE_START failed with exit code $?" >&2
    exit {FAILED}
}}
exec "$@"
"""

# -P: a package `app` in project/ is not ours.
_MIGRATE_THEN_EXECUTE = f"""\
PYTHONPATH="$0:$PYTHONPATH" python3 -P -m app.sql_users || {{
    echo 'uwsgi/entrypoint: STACK_USERS_URL cannot be used: see above (docs/day-two.md)' >&2
    exit {FAILED}
}}
exec "$@"
"""


def preceded(command: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return a command that runs STACK_BEFORE_START and, if that succeeds, becomes *command*.

    Before it, the tables of STACK_USERS_URL are brought up to date.
    """
    before = environ["STACK_BEFORE_START"]
    if before.strip():
        command = ["/bin/sh", "-c", _RUN_THEN_EXECUTE, before, *command]
    if environ["STACK_USERS_URL"] or environ["STACK_USERS_URL_FILE"]:
        root = str(Path(__file__).resolve().parent.parent)
        command = ["/bin/sh", "-c", _MIGRATE_THEN_EXECUTE, root, *command]
    return command
