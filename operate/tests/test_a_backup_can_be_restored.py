"""`make backup` copies the data while the stack serves; `make restore` brings them back, and no
session with them.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from operate import archive
from operate.backup import what_is_left_out
from operate.redis_data import SCRIPT, Counts, RedisData, difference
from operate.tests.people import Member, asking
from stack import project
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import Commands


def connect(folder: Path) -> redis.Redis:
    """As the app, whose rights are enough to look at keys by name."""
    password = (folder / "secrets" / "redis-password").read_text()
    socket = str(folder / "redis.sock")
    return redis.Redis(unix_socket_path=socket, username="app", password=password)


def backup(copy: Commands, name: str, *options: str, **environ: str) -> Path:
    file = copy.checkout / name
    done = copy.make("backup", f"FILE={file}", *options, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def restore(copy: Commands, file: Path, *options: str, **environ: str) -> str:
    """Return what the command printed; "" before it if it was refused."""
    done = copy.make("restore", f"FILE={file}", "YES=1", *options, **environ)
    return (done.stdout if done.returncode == 0 else "refused: ") + done.stderr


def test_a_backup_disturbs_nobody_and_is_for_its_owner_only(copy: Commands) -> None:
    member = Member(copy.url)
    with asking(member) as statuses:
        file = backup(copy, "quiet.tar.gz")
    assert len(statuses) > 5 and set(statuses) == {200}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["redis.rdb", "backup.json"]
    assert list((copy.run_dir / "data").iterdir()) == [copy.run_dir / "data" / "appendonlydir"]
    done = copy.make("backup", f"FILE={file}")
    assert done.returncode != 0 and f"FILE={file} exists" in done.stderr
    done = copy.make("backup", "FILE=/proc/no-such-file")
    assert "make backup: FILE=/proc/no-such-file cannot be written (" in done.stderr
    assert not list((copy.run_dir / "data").glob("copy"))


def test_without_a_name_it_lies_in_backups(copy: Commands) -> None:
    done = copy.make("backup")
    assert done.returncode == 0, done.stderr
    (file,) = (copy.checkout / "backups").iterdir()
    assert f"Wrote {file}, " in done.stdout
    assert file.name.startswith(f"{copy.name}-2") and file.name.endswith("Z.tar.gz")
    assert "/backups/" in (copy.checkout / ".gitignore").read_text().splitlines()


def test_accounts_in_a_database_are_said_to_be_left_out() -> None:
    url = "postgresql://app@db.example/accounts"
    assert "pg_dump" in what_is_left_out({"STACK_USERS_URL": url})
    assert url not in what_is_left_out({"STACK_USERS_URL": url})
    assert what_is_left_out({"STACK_USERS_URL": ""}) == ""


def test_accounts_come_back_and_sessions_do_not(copy: Commands) -> None:
    """Not those that were live, not one that was logged out, and none of today."""
    stays, leaves = Member(copy.url), Member(copy.url)
    as_it_was = [(cookie.name, cookie.value) for cookie in leaves.cookies]
    file = backup(copy, "sessions.tar.gz")
    leaves.fill_in("/home", action="/auth/logout")
    late = Member(copy.url)
    user = stays.get("/auth/whoami").json["id"]
    with connect(copy.run_dir) as app:
        app.hset(f"account:user:{user}", "epoch", 7)  # as after changes of the password
        app.set("app:later", "lost")
        app.set("session:generation", 3)

    said = restore(copy, file)
    assert "Everybody has to log in again" in said

    for cookie in leaves.cookies:
        cookie.value = dict(as_it_was).get(cookie.name, cookie.value)
    assert not stays.is_logged_in and not leaves.is_logged_in and not late.is_logged_in
    assert stays.log_in() == 200 and stays.is_logged_in
    assert leaves.log_in() == 200
    assert late.log_in() == 401, "an account that is newer than the backup"
    with connect(copy.run_dir) as app:
        assert int(app.hget(f"account:user:{user}", "epoch")) > 1_700_000_000
        assert int(app.get("session:generation")) > 1_700_000_000
        assert app.get("app:later") is None
        # Written as always: a kill loses nothing.
        app.set("app:after", "kept")
    assert backup(copy, "second.tar.gz").exists()


def test_a_bad_file_is_refused_by_name_and_nothing_changes(copy: Commands, tmp_path: Path) -> None:
    good = backup(copy, "good.tar.gz").read_bytes()
    with connect(copy.run_dir) as app:
        app.set("app:mark", "here")
    before = sorted(path.name for path in copy.run_dir.glob("data/**/*"))
    cut, flipped, empty, foreign, other = (tmp_path / name for name in "abcde")
    cut.write_bytes(good[:-30])
    middle = len(good) // 2
    flipped.write_bytes(good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :])
    empty.write_bytes(b"")
    with tarfile.open(foreign, "w:gz") as tar:
        tar.add(copy.checkout / "README.md", "README.md")
    with tarfile.open(other, "w:gz") as tar:
        for name in ("redis.rdb", "backup.json"):
            (tmp_path / name).write_text("{}")
            tar.add(tmp_path / name, name)
    for file, fault in (
        (cut, "damaged"),
        (flipped, "damaged"),
        (empty, "is not a backup: neither compressed nor encrypted"),
        (foreign, "is not a backup of this stack: it has README.md"),
        (other, "is not a backup of this version of the stack"),
        (tmp_path / "missing", "No such file"),
    ):
        (to := tmp_path / f"read-{file.name}").mkdir()
        with pytest.raises(StackError, match=f"{file}.*{fault}"):
            archive.read(file, to, "")
    said = restore(copy, flipped)
    assert said.startswith("refused: ") and f"{flipped} is damaged" in said
    said = restore(copy, copy.checkout / "good.tar.gz", "FROM=another-copy")
    assert f"is a backup of {copy.name}, not of another-copy" in said
    with connect(copy.run_dir) as app:
        assert app.get("app:mark") == b"here"
    assert sorted(path.name for path in copy.run_dir.glob("data/**/*")) == before


def test_it_asks_first(copy: Commands) -> None:
    file = backup(copy, "asked.tar.gz")
    done = copy.make("restore", f"FILE={file}")
    assert done.returncode != 0 and "nothing was changed" in done.stderr
    assert "FILE is missing" in copy.make("restore").stderr


def test_secrets_are_included_when_asked_and_come_back(copy: Commands) -> None:
    file = backup(copy, "secrets.tar.gz", "SECRETS=yes")
    key = copy.run_dir / "secrets" / "secret-key"
    password = copy.run_dir / "secrets" / "redis-password"
    before = key.read_text(), password.read_text()
    key.write_text("an other key, as after a new start of everything")
    assert restore(copy, file, "SECRETS=yes").startswith("  checking")
    assert (key.read_text(), password.read_text()) == before
    assert Member(copy.url).is_logged_in
    said = restore(copy, copy.checkout / "good.tar.gz", "SECRETS=yes")
    assert "good.tar.gz has no secrets" in said


@pytest.mark.encryption
@pytest.mark.parametrize("program", ["age", "gpg"])
def test_it_is_encrypted_for_a_recipient(copy: Commands, tmp_path: Path, program: str) -> None:
    if program == "age":
        identity = tmp_path / "identity"
        keygen = ["age-keygen", "-o", identity]
        done = subprocess.run(keygen, capture_output=True, text=True, check=True)
        environ = {"BACKUP_RECIPIENT": done.stderr.split()[-1]}
        decrypting = {"BACKUP_IDENTITY": str(identity)}
    else:
        home = tmp_path / "gpg"
        home.mkdir(mode=0o700)
        environ = {"GNUPGHOME": str(home), "BACKUP_RECIPIENT": "ops@example.org"}
        make = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "ops@example.org"]
        subprocess.run(make, env={**os.environ, **environ}, check=True, capture_output=True)
        decrypting = {"GNUPGHOME": str(home)}
    with connect(copy.run_dir) as app:
        app.set("app:mark", program)
    file = backup(copy, f"encrypted.{program}", **environ)
    assert b"redis.rdb" not in file.read_bytes() and file.read_bytes()[:2] != b"\x1f\x8b"
    with connect(copy.run_dir) as app:
        app.set("app:mark", "changed")
    assert "Restored" in restore(copy, file, **decrypting)
    with connect(copy.run_dir) as app:
        assert app.get("app:mark") == program.encode()

    refused = restore(copy, file, **({"BACKUP_IDENTITY": ""} if program == "age" else {}))
    assert "refused: " in refused and ("set BACKUP_IDENTITY" in refused or "gpg failed" in refused)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(file.read_bytes()[:-20])
    assert f"{program} failed" in restore(copy, damaged, **decrypting)
    subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **environ}, check=True)


@pytest.mark.encryption
def test_an_unknown_recipient_is_refused_before_anything_is_written(copy: Commands) -> None:
    done = copy.make("backup", "FILE=never", BACKUP_RECIPIENT="nobody@example.org")
    assert "BACKUP_RECIPIENT='nobody@example.org' is no recipient" in done.stderr
    assert not list(copy.checkout.glob("never*"))


@pytest.mark.encryption
def test_the_recipient_may_be_in_env(copy: Commands) -> None:
    (copy.checkout / ".env").write_text("BACKUP_RECIPIENT=age1nonsense\n")
    assert project.strays(copy.checkout, {}) == []
    refused = copy.make("backup", "FILE=never")
    assert refused.returncode != 0 and "age failed" in refused.stderr
    assert not list(copy.checkout.glob("never*"))
    (copy.checkout / ".env").unlink()


def answers(folder: Path) -> bool:
    try:
        with connect(folder) as app:
            return bool(app.ping())
    except redis.RedisError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.002)


# Each is true from one moment of a restore on.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "it loads the backup": lambda run: (run / "data" / "restore").exists(),
    "Redis is stopped": lambda run: not (run / "redis.sock").exists(),
    "the list is replaced": lambda run: bool([*run.glob("data/appendonlydir/replaced.*")]),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_restore_leaves_redis_running_with_all_old_or_all_new_data(
    copy: Commands, moment: str
) -> None:
    """Nothing stays stopped, half done or held, and the next restore succeeds."""
    with connect(copy.run_dir) as app:
        app.mset({"app:mark": "then", "app:then": "here"})
    file = backup(copy, f"{moment}.tar.gz")
    with connect(copy.run_dir) as app:
        app.set("app:mark", "later")
        app.delete("app:then")
    command = [sys.executable, "-m", "operate", "restore"]
    environ = {**copy.environ, "FILE": str(file), "YES": "1"}
    with subprocess.Popen(
        command, cwd=copy.checkout, env=environ, text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as killed:  # fmt: skip
        wait_until(lambda: MOMENTS[moment](copy.run_dir))
        os.killpg(killed.pid, signal.SIGKILL)
        said, _ = killed.communicate(timeout=120)
    wait_until(lambda: answers(copy.run_dir))
    with connect(copy.run_dir) as app:
        found = app.mget("app:mark", "app:then")
        new = found == [b"then", b"here"]
        assert new or found == [b"later", None]
        app.set("app:after", moment)
    if moment != "it loads the backup":
        assert new and "make restore was killed. It was finished: Redis serves the data" in said
    assert "Restored" in restore(copy, file)
    assert Member(copy.url).is_logged_in
    assert len(list((copy.run_dir / "data" / "appendonlydir").iterdir())) == 3
    assert [path.name for path in (copy.run_dir / "data").iterdir()] == ["appendonlydir"]
    assert not [line for line in copy.processes() if "redis-data" in line]


def test_after_a_crash_of_the_machine_a_restore_starts_redis_again(copy: Commands) -> None:
    """As when everything ends between the stop and the start of Redis."""
    file = backup(copy, "crash.tar.gz")
    data = RedisData(LocalRuntime(copy.environ, copy.checkout))
    data._stop()
    stray = copy.run_dir / "data" / "appendonlydir" / "appendonly.aof.77.base.rdb"
    stray.write_bytes(b"moved, and not yet in the list")
    assert not answers(copy.run_dir)
    done = copy.make("deploy")
    assert done.returncode != 0
    assert f"redis of the stack {copy.name} does not answer: `make logs`" in done.stderr
    assert "Restored" in restore(copy, file)
    assert answers(copy.run_dir) and not stray.exists()


def test_a_stack_that_is_down_can_be_restored(copy: Commands) -> None:
    with connect(copy.run_dir) as app:
        app.mset({"app:mark": "then", "app:bulk": "x" * 3_000_000})
    file = backup(copy, "down.tar.gz")
    with connect(copy.run_dir) as app:
        app.set("app:mark", "later")
    assert copy.make("down").returncode == 0
    before = sorted(path.name for path in copy.run_dir.glob("data/**/*"))
    said = restore(copy, file, REDIS_MAXMEMORY="2mb")
    assert "refused: " in said and f"{file} needs " in said
    assert " MB, and REDIS_MAXMEMORY is 2.0 MB: Redis would refuse every write" in said
    assert sorted(path.name for path in copy.run_dir.glob("data/**/*")) == before
    said = restore(copy, file)
    assert "Restored" in said and "The stack is not up. The replaced data stay" in said
    assert copy.make("up").returncode == 0
    with connect(copy.run_dir) as app:
        assert app.get("app:mark") == b"then"
    folder = copy.run_dir / "data" / "appendonlydir"
    assert len(list(folder.glob("replaced.*"))) == 1
    restore(copy, file)
    # The list and two files: all that was replaced is gone.
    assert len(list(folder.iterdir())) == 3


@pytest.fixture(scope="module")
def runtime() -> Iterator[LocalRuntime]:
    with LocalRuntime({"STACK_PORT": "0"}) as runtime:
        yield runtime


def test_a_restore_knows_the_default_of_redis() -> None:
    entrypoint = (CHECKOUT / "redis" / "entrypoint").read_text()
    assert re.findall(r"REDIS_MAXMEMORY-\w+", entrypoint) == re.findall(
        r"REDIS_MAXMEMORY-\w+", SCRIPT
    )


def check_a_failed_restore(runtime: LocalRuntime | ComposeRuntime) -> None:
    """Back up, restore in vain, then restore; both runtimes do the same."""
    data = RedisData(runtime)
    copied = data.copy()
    with data.open_copy() as copy:
        assert copy.stdout is not None
        _, after = data.stage(copy.stdout)
    data.drop_copy()
    before = data.live()
    assert data.limit(replace(after, limit=1)) == before.limit == after.limit == 128 << 20
    assert after.memory > 500_000
    with pytest.raises(StackError, match="instead of"):
        data.put_in_force(replace(after, keys=after.keys + 1))
    assert data.live().lasting == before.lasting == copied.lasting
    with pytest.raises(StackError, match="redis-data switch failed"):
        data.put_in_force(after)  # nothing is staged any more
    assert data.live().lasting == before.lasting


def test_the_replaced_data_are_served_if_the_new_are_not(runtime: LocalRuntime) -> None:
    check_a_failed_restore(runtime)


@pytest.mark.containers
def test_in_containers_as_well(stack: ComposeRuntime) -> None:
    check_a_failed_restore(stack)
    member = Member(stack.address())
    data = RedisData(stack)
    data.copy()
    with data.open_copy() as copy:
        assert copy.stdout is not None
        _, after = data.stage(copy.stdout)
    data.drop_copy()
    data.put_in_force(after)
    assert not member.is_logged_in
    assert member.log_in() == 200


@pytest.mark.parametrize("task", [["copy"], ["stage", "1"]])
def test_without_room_for_two_copies_nothing_is_written(tmp_path: Path, task: list[str]) -> None:
    """Redis would end: it confirms no write that is not on the disk."""
    (tmp_path / "data" / "appendonlydir").mkdir(parents=True)
    disk = tmp_path / "df"
    disk.write_text("#!/bin/sh\necho head\necho /dev/disk 99999 67231 32768 68% /\n")
    disk.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_DATA": str(tmp_path / "data")}
    done = subprocess.run(
        ["sh", "-c", SCRIPT, "redis-data", *task], env=environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has 32 MB free, and this needs 32 MB" in done.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["appendonlydir"]


def test_a_copy_must_agree_with_what_was_counted() -> None:
    def counted(keys: int, expiring: int = 0, changes: int = 0, expired: int = 0) -> Counts:
        return Counts(keys, expiring, changes, expired, "7")

    ten = counted(10)
    assert difference(ten, ten, ten, ten) == ""
    assert difference(ten, counted(12, changes=2), counted(11), counted(11)) == ""
    assert "made 0 changes" in difference(ten, ten, counted(9), counted(9))
    assert "loaded again" in difference(ten, ten, ten, counted(9))
    assert "restarted" in difference(counted(10, changes=5), ten, ten, ten)
    # Two sessions expired while the copy was loaded, one of them in Redis too.
    live, later = counted(15, 5), counted(14, 4, expired=1)
    assert difference(live, later, counted(13, 3, expired=2), counted(13, 3)) == ""
    assert "expired 0" in difference(live, live, counted(13, 3), counted(13, 3))
