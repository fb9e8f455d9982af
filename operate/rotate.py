"""`make rotate`: replaces a secret while the stack serves. Nobody is logged out, no request fails.

Each rotation can be interrupted at any point and repeated: a new secret is kept in a file whose
name ends with `.next` until it is alone in force.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping

from operate import certificates, in_service, secret_files
from operate.one_at_a_time import one_at_a_time
from operate.redis_data import RedisData
from stack.choose import choose
from stack.cli import duration
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import SERVICES, Runtime

# Each request looks under each key, so they must not become many.
MOST_KEYS = 4
# Above STOP_GRACE_SECONDS of uwsgi/generation.py.
DRAIN_TIMEOUT_S = 120.0

Task = Callable[[Runtime, Mapping[str, str], Progress], None]


def rotate(environ: Mapping[str, str]) -> int:
    """Replace the secret WHAT: secret-key, redis-password or tls (with CERT and KEY).

    `secret-key` with DROP=yes only ends the older keys, once no session needs them.
    """
    what = environ.get("WHAT", "")
    if what not in TASKS:
        allowed = ", ".join(TASKS)
        raise StackError(f"WHAT={what!r} must be one of {allowed}", "make rotate WHAT=secret-key")
    progress = Progress.to_terminal()
    runtime, _ = choose(environ, progress)
    runtime.require_up()
    with one_at_a_time(runtime):
        TASKS[what](runtime, environ, progress)
    return 0


# ── The session key ──────────────────────────────────────────────────────────────────────────────


def _secret_key(runtime: Runtime, environ: Mapping[str, str], progress: Progress) -> None:
    key = secret_files.read(runtime, "secret-key").strip()
    pending = secret_files.read(runtime, "secret-key", ".next").strip()
    listed = secret_files.read(runtime, "secret-key.fallbacks").splitlines()
    others = [other for other in listed if other not in (key, pending)]
    absolute = float(runtime.running_toggles()["STACK_SESSION_ABSOLUTE"])
    # An older key signed nothing since the present one came.
    left = absolute - secret_files.age_s(runtime, "secret-key")
    if environ.get("DROP") == "yes":
        _drop_keys(runtime, progress, others, left, pending)
        return
    if pending != key:
        if len(key.splitlines()) != 1:
            raise StackError(
                "the session key is not one line of text", "use `openssl rand -hex 32`"
            )
        if left <= 0:
            others = []
        if len(others) + 2 > MOST_KEYS:
            raise StackError(
                f"{len(others) + 1} keys are needed by sessions, the newest for {duration(left)}",
                "rotate the key again after that",
            )
        if not pending:
            pending = secrets.token_hex(32).encode()
            secret_files.write(runtime, "secret-key", pending, ".next")
        progress.step("every worker learns the new key before one of them signs with it")
        known = b"\n".join([*others, key, pending])
        secret_files.write(runtime, "secret-key.fallbacks", known + b"\n")
        _reload(runtime, progress)
        secret_files.write(runtime, "secret-key", pending)
    progress.step("every worker signs with the new key")
    _reload(runtime, progress)
    secret_files.remove(runtime, "secret-key", ".next")
    print(f"The session key is new. The old one verifies for {duration(absolute)} at least: then")
    print("`make rotate WHAT=secret-key DROP=yes` ends it, or the next rotation does.")


def _drop_keys(
    runtime: Runtime, progress: Progress, others: list[bytes], left: float, pending: bytes
) -> None:
    if pending:
        raise StackError("a rotation was interrupted", "make rotate WHAT=secret-key")
    if not others:
        raise StackError("there is no older session key", "make rotate WHAT=secret-key makes one")
    if left > 0:
        raise StackError(
            f"sessions may need the older key for {duration(left)} (STACK_SESSION_ABSOLUTE)",
            "repeat the command after that",
        )
    secret_files.remove(runtime, "secret-key.fallbacks")
    _reload(runtime, progress)
    print("The older session keys are gone.")


# ── Redis's password ─────────────────────────────────────────────────────────────────────────────

_ACCESS = """
option=-s server=$REDIS_LISTEN
[ "$server" != tcp ] || option=-h server=127.0.0.1
[ -e "$REDIS_RUN/operator" ] || { echo "Redis was started by an older version" >&2; exit 1; }
REDISCLI_AUTH=$(cat "$REDIS_RUN/operator")
export REDISCLI_AUTH
for user in app monitor; do
    redis-cli -e "$option" "$server" --user operator acl setuser "$user" "$@" >/dev/null || exit
done
"""


def _redis_password(runtime: Runtime, _environ: Mapping[str, str], progress: Progress) -> None:
    new = secret_files.read(runtime, "redis-password", ".next").strip()
    if not new:
        new = secrets.token_hex(32).encode()
        secret_files.write(runtime, "redis-password", new, ".next")
    digest = f"#{hashlib.sha256(new).hexdigest()}"
    progress.step("Redis accepts both passwords")
    in_service.shell(runtime, "redis", _ACCESS, digest)
    secret_files.write(runtime, "redis-password", new)
    RedisData(runtime).live()
    progress.step("every worker takes the new one")
    _reload(runtime, progress)
    in_service.shell(runtime, "redis", _ACCESS, "resetpass", digest)
    secret_files.remove(runtime, "redis-password", ".next")
    print("Redis accepts the new password only. Restart other programs that use it.")
    if isinstance(runtime, ComposeRuntime):
        others = sorted(runtime.containers().keys() - {*SERVICES})
        if others:
            print(f"These may be among them: docker compose restart {' '.join(others)}")


def _reload(runtime: Runtime, progress: Progress) -> None:
    """Reload the app and wait until no request is served with the earlier secrets."""
    runtime.reload()
    wait_for_former_workers(runtime, progress)


def wait_for_former_workers(runtime: Runtime, progress: Progress) -> None:
    """Return once only the newest workers serve. Raises StackError after DRAIN_TIMEOUT_S."""
    begun = time.monotonic()
    while not _drained(runtime):
        waited = time.monotonic() - begun
        if waited > DRAIN_TIMEOUT_S:
            raise StackError("the former workers did not end", "see `make logs`, then repeat it")
        progress.detail(f"waiting for requests of the former workers: {waited:.0f} s")
        time.sleep(0.25)
    progress.clear()


# A master that has ended leaves no folder.
_MASTERS = 'set -- "${APP_RUN:-/tmp/uwsgi}"/[0-9]*; [ $# = 1 ]'


def _drained(runtime: Runtime) -> bool:
    commands = [["sh", "-c", _MASTERS]]
    if isinstance(runtime, ComposeRuntime):
        apps = [each for each in runtime.replicas() if each.service == "app"]
        commands = [["docker", "exec", app.id, "sh", "-c", _MASTERS] for app in apps]
    environ = in_service.environment(runtime)
    return all(
        subprocess.run(words, env=environ, check=False).returncode == 0 for words in commands
    )


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


def _tls(runtime: Runtime, environ: Mapping[str, str], progress: Progress) -> None:
    certificates.replace(runtime, environ.get("CERT", ""), environ.get("KEY", ""), progress)


TASKS: Mapping[str, Task] = {
    "secret-key": _secret_key,
    "redis-password": _redis_password,
    "tls": _tls,
}
