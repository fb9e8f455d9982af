"""`make accounts-move`: takes the accounts to where .env says, and lets the app use them there.

While the accounts are copied and the app is replaced, nobody can write them: registrations and
changes of accounts get a 503 with Retry-After, everything else goes on. So nothing is lost, and the
copy is whole when the app begins to use it. Sessions are not touched. The former accounts stay.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from operate import in_service
from operate.accounts import URLS, in_a_database
from operate.deploy import replace_app
from operate.one_at_a_time import one_at_a_time
from operate.rotate import wait_for_former_workers
from stack.checkout import CHECKOUT
from stack.choose import choose
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.runtime import Runtime
from toggles import TOGGLES

# -P: a package `app` in project/ is not ours.
_MOVE = 'PYTHONPATH="$1:$PYTHONPATH" exec python3 -P -m app.sql_users.move "$2"'

# as USER PASSWORD-FILE COMMAND…
_REDIS_CLI = """
set -f
option=-s server=$REDIS_LISTEN
[ "$server" != tcp ] || option=-h server=127.0.0.1
as() {
    user=$1
    REDISCLI_AUTH=$(cat "$2") || exit
    export REDISCLI_AUTH
    shift 2
    redis-cli -e "$option" "$server" --user "$user" "$@" >/dev/null
}
"""

# The keys of the user `app` as redis/entrypoint set them, with those of accounts as given.
_PERMIT = """
keys=
for word in $(grep '^user app ' "$REDIS_RUN/users.acl"); do
    case $word in
        '~account:*') keys="$keys $1" ;;
        '~'*) keys="$keys $word" ;;
    esac
done
as operator "$REDIS_RUN/operator" acl setuser app resetkeys $keys
"""

# While this key exists, the app may begin with a database that lacks the accounts in Redis
# (app/sql_users/accounts.py).
_MAY_STAY = "account:may-stay"


def accounts_move(environ: Mapping[str, str]) -> int:
    """Copy, verify, switch. EXTRA=keep|delete: the accounts that only the target has.

    DROP=yes deletes the accounts in Redis, once the app uses those in the database. COPY=no copies
    nothing: the app begins with the accounts that are there already, or with none.
    """
    progress = Progress.to_terminal()
    # As `make up` does: Compose compares the settings.
    environ = {"STACK_BIND": TOGGLES["STACK_BIND"].default, **environ}
    for name, allowed in {"EXTRA": ("keep", "delete"), "DROP": ("yes",), "COPY": ("no",)}.items():
        if environ.get(name) and environ[name] not in allowed:
            raise StackError(
                f"{name}={environ[name]!r} must be {' or '.join(allowed)}", "see docs/day-two.md"
            )
    runtime, _ = choose(environ, progress)
    if isinstance(runtime, LocalRuntime):
        # It leaves a setting that is no more in .env as it was.
        runtime = LocalRuntime({**dict.fromkeys(URLS, ""), **environ}, progress=progress)
    runtime.require_up()
    running = runtime.running_toggles()
    in_database, wanted = in_a_database(running), in_a_database(runtime.toggles)
    with runtime.changing(alone=True), one_at_a_time(runtime):
        _permit(runtime, "~account:*")  # a move may have been killed
        if environ.get("DROP"):
            return _drop(runtime, running, in_database=in_database)
        if in_database == wanted:
            where = "the database" if wanted else "Redis"
            raise StackError(
                f"the app has its accounts in {where} already", "set or empty STACK_USERS_URL_FILE"
            )
        if environ.get("COPY"):
            _leave(runtime, progress, to_database=wanted)
        else:
            extra = environ.get("EXTRA", "")
            _move(runtime, running, progress, to_database=wanted, extra=extra)
        if not wanted:
            _redis(runtime, "DEL", _MAY_STAY)
    return 0


def _move(
    runtime: Runtime,
    running: Mapping[str, str],
    progress: Progress,
    *,
    to_database: bool,
    extra: str,
) -> None:
    database = runtime.toggles if to_database else running
    task = "to-database" if to_database else "to-redis"
    progress.step("copying the accounts; until the app uses the copy, they cannot be changed")
    begun = time.monotonic()
    try:
        if to_database:
            _permit(runtime, "%R~account:*")
        with _beside_the_app(runtime, task, database, progress, extra) as count:
            progress.step(f"read back {count} accounts; the app begins to use them")
            replace_app(runtime, progress)
            wait_for_former_workers(runtime, progress)
    finally:
        _permit(runtime, "~account:*")
    if to_database:
        print(f"{count} accounts are in the database. Those in Redis stay until DROP=yes.")
    else:
        print(f"{count} accounts are in Redis. Those in the database stay there.")
    print(f"For {time.monotonic() - begun:.1f} s they could be read and not changed.")


def _leave(runtime: Runtime, progress: Progress, *, to_database: bool) -> None:
    here, there = ("Redis", "the database") if to_database else ("the database", "Redis")
    if to_database:
        _redis(runtime, "SET", _MAY_STAY, "1")
    replace_app(runtime, progress)
    print(f"The app uses the accounts in {there}. Those in {here} stay there.")


def _drop(runtime: Runtime, running: Mapping[str, str], *, in_database: bool) -> int:
    if not in_database:
        raise StackError("DROP=yes: the app uses the accounts in Redis")
    with _beside_the_app(runtime, "drop-redis", running, Progress(), "") as count:
        print(f"Deleted {count} accounts in Redis. The app uses those in the database.")
    return 0


@contextmanager
def _beside_the_app(
    runtime: Runtime, task: str, database: Mapping[str, str], progress: Progress, extra: str
) -> Iterator[str]:
    """Run app/sql_users/move.py where the app runs; yield the number of accounts once it is done.

    The URL of the database goes through a pipe: arguments are public.
    """
    root = "/srv" if isinstance(runtime, ComposeRuntime) else str(CHECKOUT)
    words = in_service.command(runtime, "app", "sh", "-c", _MOVE, "sh", root, task)
    with subprocess.Popen(
        words,
        env=in_service.environment(runtime),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as mover:
        assert mover.stdin and mover.stdout and mover.stderr  # noqa: S101 - pipes, as asked
        given = {"environ": {url: database[url] for url in URLS}, "extra": extra}
        mover.stdin.write(json.dumps(given) + "\n")
        mover.stdin.flush()
        for line in mover.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "ready":
                break
            (progress.step if word == "left" else progress.detail)(line.strip())
        else:
            raise StackError(
                "the accounts were not moved",
                "the app needs the packages of docs/day-two.md, and has to read the URL's file",
                log=mover.stderr.read().strip(),
            )
        progress.clear()
        yield rest  # to-redis ends with its input, at the end of this block


def _permit(runtime: Runtime, keys: str) -> None:
    """Let the app use the keys of accounts as *keys* says, from its next command on."""
    in_service.shell(runtime, "redis", _REDIS_CLI + _PERMIT, keys)


def _redis(runtime: Runtime, *command: str) -> None:
    """Run a command of Redis as the user `app`."""
    script = _REDIS_CLI + 'as app "$REDIS_PASSWORD_FILE" "$@"'
    in_service.shell(runtime, "redis", script, *command)
