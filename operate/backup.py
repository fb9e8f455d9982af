"""`make backup`: the data of Redis in one file, while the stack runs."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path

from operate import archive, secret_files
from operate.accounts import in_a_database
from operate.one_at_a_time import one_at_a_time
from operate.redis_data import RedisData
from stack.checkout import CHECKOUT
from stack.choose import running
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import Runtime


def backup(environ: Mapping[str, str]) -> int:
    """Write FILE, for BACKUP_RECIPIENT only if it is set; with SECRETS=yes the secrets as well."""
    runtime = running(environ)
    recipient = environ.get("BACKUP_RECIPIENT", "")
    file = _new_file(environ.get("FILE", ""), runtime.name, recipient)
    progress = Progress.to_terminal()
    with one_at_a_time(runtime):
        data = RedisData(runtime)
        progress.step("copying the data of Redis, and loading the copy into a second Redis")
        counts = data.copy()
        progress.step(f"the copy holds what Redis holds: {counts}")
        try:
            with archive.encrypting(file, recipient) as sink:
                writer = archive.Writer(sink, runtime.name)
                with data.open_copy() as copy:
                    assert copy.stdout is not None  # noqa: S101 - a pipe, as requested
                    writer.add(archive.DATA, counts.bytes, copy.stdout)
                if environ.get("SECRETS") == "yes":
                    for name, content in _secrets(runtime).items():
                        progress.step(f"adding {name}")
                        writer.add(f"secrets/{name}", len(content), io.BytesIO(content))
                writer.finish(
                    {
                        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                        "redis": counts.redis,
                        "keys": counts.keys,
                        "lasting": counts.lasting,
                    }
                )
        except OSError as error:
            raise StackError(f"FILE={file} cannot be written ({error})") from error
        finally:
            data.drop_copy()
    kept = "" if recipient else ". It is not encrypted, and has the hashes of passwords"
    print(f"Wrote {file}, {file.stat().st_size / 1e3:,.1f} kB{kept}")
    if left_out := what_is_left_out(runtime.running_toggles()):
        print(left_out)
    return 0


def what_is_left_out(toggles: Mapping[str, str]) -> str:
    """Return a sentence about accounts that are not in Redis, or nothing."""
    if not in_a_database(toggles):
        return ""
    return (
        "Not in it: the accounts, which are in the database of STACK_USERS_URL. "
        "PostgreSQL: pg_dump --format=custom --file=accounts.dump URL"
    )


def _new_file(asked: str, name: str, recipient: str) -> Path:
    if asked:
        file = Path(asked)
    else:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        file = CHECKOUT / "backups" / f"{name}-{now}.tar.gz{archive.suffix(recipient)}"
        file.parent.mkdir(mode=0o700, exist_ok=True)
    if file.exists():
        raise StackError(f"FILE={file} exists", "give another name")
    if not file.parent.is_dir():
        raise StackError(f"FILE={file}: there is no folder {file.parent}", f"mkdir {file.parent}")
    return file


def _secrets(runtime: Runtime) -> dict[str, bytes]:
    tls = runtime.running_toggles()["STACK_TLS"] == "on"
    names = [name for name in secret_files.FILES if tls or not name.startswith("tls-")]
    found = {name: secret_files.read(runtime, name) for name in names}
    return {name: content for name, content in found.items() if content}
