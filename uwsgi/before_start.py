"""Puts STACK_BEFORE_START in front of the command that starts uWSGI.

The shell that runs it then executes uWSGI, so its pid, its stop and its time limit are uWSGI's.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def preceded(command: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return a command that runs STACK_BEFORE_START and, if that succeeds, becomes *command*."""
    before = environ["STACK_BEFORE_START"]
    return ["/bin/sh", "-c", _RUN_THEN_EXECUTE, before, *command] if before.strip() else command
