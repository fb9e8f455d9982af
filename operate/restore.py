"""`make restore`: puts the data of a backup in the place of the present ones.

All sessions and remember tokens end, those of the backup and those of today: some of the backup's
had ended by a logout, a new password or a deleted account.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operate import archive, detached, secret_files
from operate.one_at_a_time import one_at_a_time
from operate.redis_data import RedisData
from stack.checkout import CHECKOUT
from stack.choose import choose
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import Runtime


def restore(environ: Mapping[str, str]) -> int:
    """Restore FILE; BACKUP_IDENTITY is the file of an age identity. It asks; YES=1 answers.

    FROM names the copy that made the backup, if that is another one. SECRETS=yes restores the
    secrets that are in the backup.
    """
    if not environ.get("FILE"):
        raise StackError("FILE is missing", "make restore FILE=backups/…")
    file = Path(environ["FILE"])
    progress = Progress.to_terminal()
    runtime, _ = choose(environ, progress)
    with (
        one_at_a_time(runtime),
        tempfile.TemporaryDirectory(dir=CHECKOUT / "run" / runtime.name) as scratch,
    ):
        folder = Path(scratch)
        progress.step(f"checking {file}")
        manifest = archive.read(file, folder, environ.get("BACKUP_IDENTITY", ""))
        secrets = _secrets(folder, environ.get("SECRETS") == "yes", file, runtime)
        _check_origin(manifest, environ.get("FROM") or runtime.name, file)
        data = RedisData(runtime)
        try:
            progress.step("loading its data into a second Redis")
            with (folder / archive.DATA).open("rb") as rdb:
                before, after = data.stage(rdb, environ.get("REDIS_MAXMEMORY", ""))
            if before.lasting != manifest["lasting"]:
                raise StackError(
                    f"{file} is damaged: it should have {manifest['lasting']} keys without an "
                    f"expiry, and has {before.lasting}"
                )
            _check_memory(after.memory, data.limit(after), file)
            _confirm(environ, runtime, manifest)
            progress.step("putting them in force; pages with a session answer 503 meanwhile")
            password = secrets.pop("redis-password", b"")
            present = secret_files.read(runtime, "redis-password") if password else b""
            detached.finished(
                lambda: data.put_in_force(after, password, present),
                progress,
                "a moment: Redis must not stay stopped",
                f"make restore was killed. It was finished: Redis serves the data of {file}. "
                "Everybody has to log in again."
                + (" The other secrets are not restored: repeat the command." if secrets else ""),
            )
        finally:
            data.drop_stage()
        for secret, content in secrets.items():
            progress.step(f"restoring {secret}")
            secret_files.write(runtime, secret, content)
        if environ.get("SECRETS") == "yes":
            if isinstance(runtime, ComposeRuntime):
                runtime.compose("kill", "--signal", "HUP", "nginx")
            runtime.reload()
    print(f"Restored {file} of {manifest['time']}: {after}. Everybody has to log in again.")
    if not runtime.is_up():
        print("The stack is not up. The replaced data stay beside the new ones until a restore")
        print("while it is up.")
    return 0


def _secrets(folder: Path, asked: bool, file: Path, runtime: Runtime) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("secrets/*")}
    if not asked:
        return {}
    if not found:
        raise StackError(f"SECRETS=yes: {file} has no secrets", "restore it without SECRETS")
    runtime.require_up()
    if unknown := sorted(found.keys() - secret_files.FILES):
        raise StackError(f"{file} has secrets that are unknown here: {', '.join(unknown)}")
    if runtime.running_toggles()["STACK_TLS"] == "off":
        found = {name: content for name, content in found.items() if not name.startswith("tls-")}
    return found


def _check_origin(manifest: Mapping[str, Any], expected: str, file: Path) -> None:
    made_by = manifest.get("name")
    if made_by != expected:
        raise StackError(
            f"{file} is a backup of {made_by}, not of {expected}", f"FROM={made_by} restores it"
        )


def _check_memory(needed: int, limit: int, file: Path) -> None:
    if 0 < limit < needed:
        raise StackError(
            f"{file} needs {needed / 2**20:,.1f} MB, and REDIS_MAXMEMORY is "
            f"{limit / 2**20:,.1f} MB: Redis would refuse every write. Nothing was changed",
            "raise REDIS_MAXMEMORY and REDIS_MEMORY in .env, and `make down up`",
        )


def _confirm(environ: Mapping[str, str], runtime: Runtime, manifest: Mapping[str, Any]) -> None:
    if environ.get("YES") == "1":
        return
    print(f"The data of {runtime.name} ({CHECKOUT}) become those of {manifest['time']}.")
    print("Later accounts, passwords, roles and posts are lost, and everybody has to log in again.")
    answer = input("Type yes to continue: ") if sys.stdin.isatty() else ""
    if answer.strip() != "yes":
        raise StackError("nothing was changed", "type yes, or make restore YES=1")
